"""Components of a covariance in blocks of equal codes, against the plain formulas."""

import numpy as np
import pytest

from paretodet.frontier.covariance import Covariance
from paretodet.frontier.features import Features, of_names

SIZES = (160, 200, 256, 300, 416)


def features() -> Features:
    """45 names of three families, in an order that mixes them."""
    names = [f"{family}net-d{d}w0.5-{size}" for size in SIZES for family in "abc" for d in (0.33, 0.67, 1)]
    runtimes = ["eager", "compiled", "openvino", "eager", "eager"] * 9
    return of_names([names[place * 7 % 45] for place in range(45)], known={"runtime": runtimes})


def variances(covariance: Covariance) -> np.ndarray:
    return np.random.default_rng(2).uniform(0.1, 2.0, len(covariance.components))


def test_a_root_times_its_transpose_is_the_covariance_of_a_component() -> None:
    covariance = Covariance.of(features())
    basis = covariance.basis(features().where(np.arange(0, 45, 2)))
    roots = covariance.roots(basis)
    assert all(root.shape[1] <= len(basis.terms) for root in roots[1:])
    for root, part in zip(roots, covariance.parts(basis), strict=True):
        np.testing.assert_allclose(root @ root.T, part, atol=1e-12)


def test_the_covariance_between_two_lists_is_a_part_of_that_of_both() -> None:
    covariance = Covariance.of(features())
    one, other = (covariance.basis(features().where(rows)) for rows in (np.arange(30), np.arange(20, 45)))
    weights = variances(covariance)
    whole = np.tensordot(weights, covariance.parts(one.joined(other)), 1)
    np.testing.assert_allclose(covariance.between(one, other, weights), whole[:30, 30:], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(covariance.of_each(one, weights), np.diag(whole)[:30], rtol=1e-10)


@pytest.mark.parametrize("count", [1, 7])
def test_draws_are_the_sum_of_all_terms_times_the_coefficients_of_their_codes(count: int) -> None:
    covariance = Covariance.of(features())
    basis, weights, random = covariance.basis(features()), variances(covariance), np.random.default_rng(5)
    found = covariance.draws(basis, weights, count=count, random=np.random.default_rng(5))
    plain = np.zeros((45, count))
    for code in range(basis.codes.shape[1]):
        each = np.zeros(basis.terms.shape[1])
        for part, variance in zip(covariance.components, weights, strict=True):
            each[part.terms] += variance * (part.code == code)
        values, places = np.unique(basis.codes[:, code], return_inverse=True)
        coefficients = random.standard_normal(((each > 0).sum(), len(values), count))
        for coefficient, term in zip(coefficients, (basis.terms * np.sqrt(each))[:, each > 0].T, strict=True):
            plain += term[:, None] * coefficient[places]
    np.testing.assert_allclose(found, plain.T, atol=1e-12)
