"""How probably a configuration works, from how many of its kind did."""

import numpy as np
import pytest

from paretodet.frontier.failures import USUAL, Working, working

# Two runtimes; the first has two precisions, in the second precision are two sources.
KINDS = np.array([[0, 0, 0]] * 10 + [[0, 1, 1]] * 10 + [[0, 1, 2]] * 10 + [[1, 2, 3]] * 10)


def after(*, worked: list[int], failed: list[int]) -> Working:
    return working(KINDS, *(np.isin(np.arange(len(KINDS)), rows) for rows in (worked, failed)))


def test_before_any_try_all_are_as_usual() -> None:
    np.testing.assert_allclose(after(worked=[], failed=[]).mean, USUAL)


def test_a_failure_says_most_about_its_own_kind_and_least_about_others() -> None:
    mean = after(worked=[], failed=[10, 11, 12]).mean
    assert mean[10] == 0 and mean[13] < mean[20] < mean[0] < mean[30] < USUAL
    assert 0 < mean[13] < 0.15 and mean[20] > 0.3 and mean[0] > 0.5 and mean[30] > 0.7


def test_more_failures_of_a_kind_leave_less_and_never_nothing() -> None:
    means = [after(worked=[30, 31], failed=list(range(10, 10 + count))).mean[19] for count in range(10)]
    assert means == sorted(means, reverse=True) and means[-1] > 0
    assert means[1] > 0.25 and 0.1 < means[3] < 0.2 and means[9] < 0.06


def test_what_worked_makes_up_for_an_accident() -> None:
    means = [after(worked=list(range(11, 11 + count)), failed=[10]).mean[19] for count in range(4)]
    assert means == sorted(means) and means[0] > 0.25 and means[1] > 0.5 and 0.7 < means[3] < USUAL


def test_the_mean_is_that_of_nested_beta_distributions_that_count_every_try_once() -> None:
    mean = after(worked=[0, 20, 30], failed=[10, 11, 31]).mean
    others = (10 * USUAL + 1) / (10 + 2)  # of the other runtime
    other_precision = (8 * others + 1) / (8 + 1)
    other_source = (2 * other_precision + 1) / (2 + 1)
    assert mean[19] == pytest.approx(0.5 * other_source / (0.5 + 2))


def test_draws_have_the_mean_and_one_value_for_all_of_a_kind() -> None:
    known = after(worked=[30, 11], failed=[10, 31])
    rows = np.array([10, 11, 12, 13, 20, 30])
    drawn = known.draws(rows, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(0), known.mean[rows], atol=0.01)
    assert (drawn[:, 0] == 0).all() and (drawn[:, 1] == 1).all() and (drawn[:, 2] == drawn[:, 3]).all()
    assert abs(np.corrcoef(drawn[:, 2], drawn[:, 4])[0, 1]) < 0.05


def test_what_surely_works_is_not_drawn() -> None:
    random = np.random.default_rng(0)
    assert (Working.surely(5).draws(np.arange(3), 4, random) == np.ones((4, 3))).all()
    assert random.random() == np.random.default_rng(0).random()
