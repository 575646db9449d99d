"""What is decided about frontiers that are known, and the hypervolume of a few points."""

from dataclasses import replace

import numpy as np
import pytest

from paretodet.frontier.dominance import pareto_mask
from paretodet.frontier.features import of_names
from paretodet.frontier.search import (
    Space,
    Standing,
    _undominated,
    assumed,
    choose,
    expected_improvement,
    hypervolume,
    standing,
)
from paretodet.frontier.values import Columns, Floats, Mask

SIZES, WIDTHS = (160, 192, 224, 256, 320, 384, 448), (0.25, 0.5, 0.75, 1)
PARTS = [(family, w, size) for family in "ab" for w in WIDTHS for size in SIZES]
NAMES = [f"{family}-w{w}_{size}" for family, w, size in PARTS]
COST = np.array([w * size**2 / 1e4 * (1.5 if family == "a" else 1) for family, w, size in PARTS])
GAIN = np.array([30 + 8 * np.log(w) + 12 * np.log(size / 100) for family, w, size in PARTS])


def space(measured: Floats, gain: Floats | None = None) -> Space:
    cost = np.where(measured, COST, np.nan)
    gains = np.where(measured, GAIN, np.nan) if gain is None else gain
    return Space(
        features=of_names(NAMES),
        cost=Columns(cost, cost, cost),
        gain=Columns(gains, gains, gains),
        seconds=np.ones(len(NAMES)),
        excluded=np.zeros(len(NAMES), dtype=np.bool_),
    )


MACS = np.array([1e9, 2e9, 4e9, 3e9, 6e9, 9e9, 2e11, 4e11])
LAYERS = np.array([40, 80, 60, 120, 100, 150, 12, 30])
SUMS = 1e-8 * MACS + 0.5 * LAYERS


def of_sums(seen: Mask, gain: list[float], *, parts: bool = True) -> Standing:
    """Eight networks whose costs are sums of their parts, which the features state or not."""
    known = {"macs": MACS.tolist(), "layers": LAYERS.tolist(), "parameters": [1e6] * 8, "moved": [1e6] * 8}
    names = [f"net{place}-300" for place in range(8)]
    cost, gains = np.where(seen, SUMS, np.nan), np.array(gain)
    return standing(
        Space(
            features=of_names(names, known=known if parts else {}),
            cost=Columns(cost, cost, cost),
            gain=Columns(gains, gains, gains),
            seconds=np.ones(8),
            excluded=np.zeros(8, np.bool_),
        )
    )


def test_networks_unlike_all_measured_cost_the_sum_of_their_parts() -> None:
    """The last two have 20 to 400 times the work of the six that are measured, and few layers."""
    near = np.arange(8) < 6
    found, by_names = (of_sums(near, [9.0] * 6 + [5.0] * 2, parts=parts) for parts in (True, False))
    assert found.cost.point[6:] == pytest.approx(SUMS[6:], rel=0.15)
    assert (found.cost.low[6:] < SUMS[6:]).all() and (SUMS[6:] < found.cost.high[6:]).all()
    assert (by_names.cost.point[6:] < 0.2 * SUMS[6:]).all()
    assert found.membership[6:] == pytest.approx(0) and found.decided[6:].all()


def test_joint_draws_begin_with_the_sum_of_parts_too() -> None:
    """The fourth costs about 90, and the third dominates it unless it costs less than 70."""
    found = of_sums(np.arange(8) != 3, [1.0, 2.0, 9.0, 8.0, 9.5, 9.6, 9.7, 9.8])
    assert found.cost.low[3] < SUMS[2] < found.cost.point[3]
    assert 0 < found.membership[3] < 0.5


def test_the_hypervolume_of_two_points() -> None:
    area = hypervolume([np.e, np.e**2], [3.0, 5.0], reference=(np.e**4, 1.0))
    assert area == pytest.approx((3 - 1) * 1 + (5 - 1) * 2)
    assert hypervolume([np.e**5, 1.0], [9.0, 0.5], reference=(np.e**4, 1.0)) == 0


def test_measured_memberships_are_the_frontier() -> None:
    all_measured = space(np.ones(len(NAMES)))
    result = standing(all_measured)
    assert (result.membership == pareto_mask(COST, GAIN)).all() and result.decided.all()
    assert choose(all_measured, result) is None


def test_the_frontiers_of_draws_are_pareto_masks() -> None:
    random = np.random.default_rng(3)
    cost, gain = random.integers(1, 9, (50, 40)).astype(float), random.integers(1, 9, (50, 40)).astype(float)
    for row, one, other in zip(_undominated(cost, gain, np.full(cost.shape, True)), cost, gain, strict=True):
        assert (row == pareto_mask(one, other)).all()


def test_what_fails_in_a_draw_dominates_nothing_and_is_compared_with_what_works() -> None:
    random = np.random.default_rng(3)
    cost, gain = random.integers(1, 9, (50, 20)).astype(float), random.integers(1, 9, (50, 20)).astype(float)
    works = random.random(cost.shape) < 0.6
    for row, one, other, alive in zip(_undominated(cost, gain, works), cost, gain, works, strict=True):
        for place in range(20):
            kept = alive.copy()
            kept[place] = True
            assert row[place] == pareto_mask(np.where(kept, one, np.inf), other)[place]


def test_the_improvement_of_what_is_certain_is_the_area_it_adds() -> None:
    measured = np.arange(len(NAMES)) % 5 == 0
    known = space(measured)
    certain = standing(space(np.ones(len(NAMES))))
    reference = (COST.max(), GAIN.min())
    unit = np.log(COST.max() / COST.min()) * np.ptp(GAIN)
    before = hypervolume(COST[measured], GAIN[measured], reference=reference)
    for place, improvement in enumerate(expected_improvement(known, certain)):
        rows = [*np.flatnonzero(measured), place]
        added = hypervolume(COST[rows], GAIN[rows], reference=reference) - before
        assert improvement * unit == pytest.approx(added, abs=1e-9)


def test_a_search_finds_the_frontier_and_stops() -> None:
    measured = np.zeros(len(NAMES))
    for _ in NAMES:
        current = space(measured)
        result = standing(current)
        if (chosen := choose(current, result)) is None:
            break
        assert not measured[chosen]
        measured[chosen] = 1
    assert measured.sum() < len(NAMES)
    truth = pareto_mask(COST, GAIN)
    assert (truth == (result.membership > 0.5)).mean() > 0.95
    assert measured[(result.membership > 0.5)].all()


def test_what_is_excluded_is_never_chosen_nor_a_member() -> None:
    current = space(np.zeros(len(NAMES)))
    current.excluded[1:] = True
    assert choose(current, standing(current)) == 0
    current.excluded[0] = True
    assert choose(current, standing(current)) is None and not standing(current).membership.any()


def test_a_cost_that_makes_no_sense_can_be_excluded() -> None:
    current, sound = (space(np.arange(len(NAMES)) % 3 == 0) for _ in range(2))
    for bound in current.cost:
        bound[0] = -5.0
    sound.cost.point[0] = np.nan
    current.excluded[0] = sound.excluded[0] = True
    assert standing(current).membership.tolist() == standing(sound).membership.tolist()


def test_predictions_of_what_nothing_measured_is_like_are_marked() -> None:
    family, small = np.array([name[0] == "a" for name in NAMES]), np.array([part[2] < 320 for part in PARTS])
    assert (standing(space(family)).known == family).all()
    assert (standing(space(family & small)).known == (family & small)).all()


def test_the_costly_of_two_equal_measurements_waits() -> None:
    current = space(np.arange(len(NAMES)) % 3 == 0)
    result = standing(current)
    chosen = choose(current, result)
    assert chosen is not None
    current.seconds[chosen] = 1e9
    assert choose(current, result) != chosen


def test_what_is_chosen_stays_the_same() -> None:
    chosen = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        cost, gain = COST * np.exp(random.normal(0, 0.1, len(NAMES))), GAIN + random.normal(0, 1, len(NAMES))
        unknown = random.permutation(len(NAMES))[9 + 3 * seed :]
        cost[unknown] = gain[unknown] = np.nan
        current = replace(space(np.zeros(len(NAMES))), cost=Columns(cost, cost, cost), gain=Columns(gain, gain, gain))
        chosen.append(choose(current, standing(current)))
    assert chosen == [30, 35, 52, 49, 31, 50, 35, 55]  # as before decisions were made faster


def test_what_is_being_measured_counts_as_it_is_predicted() -> None:
    current = space(np.arange(len(NAMES)) % 5 == 0)
    result = standing(current)
    running = list[int]()
    for _ in range(3):
        there, then = assumed(current, result, running)
        chosen = choose(there, then)
        assert chosen is not None and chosen not in running and not current.measured[chosen]
        running.append(chosen)
    for predicted, column in ((result.cost, there.cost), (result.gain, there.gain)):
        for bound, given in zip(predicted, column, strict=True):
            assert (given[running[:2]] == bound[running[:2]]).all()
    alone, beside = expected_improvement(current, result), expected_improvement(there, then)
    assert beside[running[2]] < alone[running[0]]
    unchanged = assumed(current, result, [int(np.flatnonzero(current.measured)[0])])
    assert unchanged[0] is current and unchanged[1] is result


def test_what_is_being_measured_before_there_are_predictions_is_not_chosen_again() -> None:
    current = space(np.zeros(len(NAMES)))
    running = list[int]()
    for _ in range(4):
        there, then = assumed(current, standing(current), running)
        chosen = choose(there, then)
        assert chosen is not None and chosen not in running
        running.append(chosen)
    assert {NAMES[place][0] for place in running} == {"a", "b"}


def test_a_gain_that_is_known_before_is_kept() -> None:
    current = space(np.arange(len(NAMES)) % 3 == 0, GAIN)
    assert standing(current).gain.point.tolist() == GAIN.tolist()


def test_an_uncertain_gain_that_two_share_leaves_the_costlier_one_beaten() -> None:
    points = {"a-x_100": (10.0, 20.0), "a-y_100": (15.0, 20.0), "b-x_100": (20.0, 20.4)}
    cost, gain = (np.array(column) for column in zip(*points.values(), strict=True))
    apart = Space(
        features=of_names(list(points)),
        cost=Columns(cost, 0.99 * cost, 1.01 * cost),
        gain=Columns(gain, gain - 0.5, gain + 0.5),
        seconds=np.ones(3),
        excluded=np.zeros(3, dtype=np.bool_),
    )
    assert 0.3 < standing(apart).membership[1] < 0.7
    together = standing(replace(apart, shared=np.array([7, 7, 8])))
    assert together.membership[1] == 0 and together.decided[:2].all()
    assert together.membership[2] == pytest.approx(standing(apart).membership[2], abs=0.25)


def replayed(fails: Mask, *, budget: int = len(NAMES), kinds: bool = True) -> Mask:
    """Which configurations a search tries of a space whose gain is known, where some fail; a kind is a family."""
    measured, failed = np.zeros((2, len(NAMES)), dtype=np.bool_)
    family = np.array([part[0] == "b" for part in PARTS]).astype(np.int64)[:, None] if kinds else None
    while (measured | failed).sum() < budget:
        current = replace(space(measured, GAIN), excluded=failed, kinds=family)
        if (chosen := choose(current, standing(current))) is None:
            break
        (failed if fails[chosen] else measured)[chosen] = True
    return measured | failed


def test_few_of_a_kind_that_always_fails_are_tried_before_all_others_that_matter() -> None:
    cheap = np.array([part[0] == "b" for part in PARTS])  # the kind of all members, if it worked
    assert (cheap >= pareto_mask(COST, GAIN)).all()
    members = pareto_mask(np.where(cheap, np.nan, COST), GAIN)
    tried, blindly = (replayed(cheap, budget=members.sum() + 7, kinds=kinds) for kinds in (True, False))
    assert 2 <= (tried & cheap).sum() <= 6 < (blindly & cheap).sum() / 2
    assert tried[members].mean() > 0.7 > blindly[members].mean()


@pytest.mark.parametrize("place", range(28, 56, 5))
def test_a_failure_by_accident_does_not_end_the_search_of_its_kind(place: int) -> None:
    accident = np.arange(len(NAMES)) == place
    members = pareto_mask(np.where(accident, np.nan, COST), GAIN)
    assert replayed(accident)[members].mean() > 0.9


def test_the_chance_to_work_multiplies_what_a_measurement_promises() -> None:
    current = space(np.arange(len(NAMES)) % 3 == 0, GAIN)
    result = standing(current)
    chosen = choose(current, result)
    assert chosen is not None and (result.works == 1).all()
    doubtful = result.works.copy()
    doubtful[chosen] = 1e-6
    assert choose(current, result._replace(works=doubtful)) != chosen


@pytest.mark.parametrize("failing", [False, True])
def test_a_search_begins_with_every_word_that_names_have(failing: bool) -> None:
    words = [
        f"{family}-{word}-w{w}_{size}" for family in "ab" for word in ("x", "y", "z") for w in WIDTHS for size in SIZES
    ]
    rare = ["c-v-w1_160", "c-u-w1_160"]
    features = of_names([*words, *rare])
    count = len(features.numbers)
    known, failed = np.zeros((2, count), dtype=np.bool_)
    for _ in range(5):
        numbers = np.where(known, 1.0 + np.arange(count), np.nan)
        current = Space(
            features=features,
            cost=Columns(numbers, numbers, numbers),
            gain=Columns(numbers, numbers, numbers),
            seconds=np.ones(count),
            excluded=failed,
        )
        chosen = choose(current, standing(current))
        assert chosen is not None
        (failed if failing and chosen >= len(words) else known)[chosen] = True
    tried = features.where(known | failed)
    for column, name in enumerate(features.category_names):
        if name != "network":
            assert len(np.unique(tried.categories[:, column])) == len(np.unique(features.categories[:, column]))
