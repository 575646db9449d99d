"""How much two configurations have in common, as a sum of components with one variance each.

A component is a few terms of the numbers (a constant, a slope, a product) that either all configurations share, or
only those with the same category, or only those with the same number. Measured rows decide how large each is: it is
the mixed model of statistics, and the same as a Gaussian process with the sum of these kernels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.features import NETWORK, SIZE, Features
from paretodet.frontier.values import Floats

Codes = NDArray[np.int64]
Rows = NDArray[np.intp]
FEW = 2  # terms of a code, up to which its many groups are computed together
TILES = (64, 128, 256)  # pixels; devices compute whole tiles, so that the work is that of the next multiple
# What is usual of a standardized value, as the standard deviation of each kind of component. The work of any
# convolution grows with the square of the size, so that slopes of the size hardly depend on the category.
CONSTANT, SLOPE, TILE, PRODUCT, LEVEL, NOISE = 1.0, 1.0, 0.2, 0.03, 0.04, 0.03
CATEGORY, CATEGORY_SLOPE, CATEGORY_SIZE_SLOPE, CATEGORY_PRODUCT = 0.2, 0.08, 0.04, 0.03
SAME_NETWORK, SAME_NETWORK_SIZE_SLOPE = 0.05, 0.03


class Component(NamedTuple):
    """Terms that those configurations share which have the same code in a column."""

    code: int
    terms: slice
    usual: float  # standard deviation


class Basis(NamedTuple):
    """N configurations: terms [N, T] of their numbers, and codes [N, M]; column 0 is the same for all."""

    terms: Floats
    codes: NDArray[np.int64]

    def where(self, rows: Rows | NDArray[np.bool_]) -> "Basis":
        """Some of the configurations."""
        return Basis(self.terms[rows], self.codes[rows])

    def joined(self, other: "Basis") -> "Basis":
        """Both lists of configurations, these first."""
        return Basis(np.concatenate([self.terms, other.terms]), np.concatenate([self.codes, other.codes]))


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Components of features whose numbers have this center and scale."""

    center: Floats
    scale: Floats
    size: int | None  # the column of the image's size
    network: int | None  # the column of the network without its size
    categories: tuple[int, ...]  # the other columns
    together: bool  # whether equality in all categories says more than equality in one
    components: tuple[Component, ...]

    @classmethod
    def of(cls, features: Features) -> "Covariance":
        numbers = features.numbers
        stated = np.isfinite(numbers)
        count = np.maximum(stated.sum(0), 1)
        center = np.where(stated, numbers, 0).sum(0) / count
        scale = np.sqrt((np.where(stated, numbers - center, 0) ** 2).sum(0) / count)
        size = features.number_names.index(SIZE) if SIZE in features.number_names else None
        network = features.category_names.index(NETWORK) if NETWORK in features.category_names else None
        categories = tuple(place for place in range(len(features.category_names)) if place != network)
        codes = features.categories[:, categories]
        most = max((len(np.unique(column)) for column in codes.T), default=0)
        together = codes.shape[1] > 1 and len(np.unique(codes, axis=0)) > most
        return cls(
            center=center, scale=np.where(scale > 0, scale, 1.0), size=size, network=network, categories=categories,
            together=together,
            components=tuple(_components(numbers.shape[1], len(categories) + together, size, network is not None)),
        )  # fmt: skip

    @property
    def usual(self) -> Floats:
        """[G] the usual variances of the components."""
        return np.array([part.usual**2 for part in self.components])

    def basis(self, features: Features) -> Basis:
        numbers = features.numbers
        standard = np.nan_to_num((numbers - self.center) / self.scale)
        rows, columns = np.triu_indices(standard.shape[1])
        parts = [np.ones((len(numbers), 1)), standard, standard[:, rows] * standard[:, columns]]
        if self.size is not None:
            parts.append(_tiles(np.exp(numbers[:, self.size])))
        levels = np.where(np.isfinite(numbers), np.round(1e6 * numbers), -(2.0**62)).astype(np.int64)
        categories = features.categories[:, self.categories]
        codes = [np.zeros(len(numbers), dtype=np.int64), categories]
        if self.together:
            codes.append(categories @ (1 + 2 * np.arange(categories.shape[1])))
        codes.append(levels)
        if self.network is not None:
            codes.append(features.categories[:, self.network])
        return Basis(np.column_stack(parts), np.column_stack(codes))

    def parts(self, basis: Basis) -> Floats:
        """[G, N, N] the covariances of each component at variance 1."""
        return np.array([
            (basis.codes[:, None, part.code] == basis.codes[None, :, part.code])
            * (basis.terms[:, part.terms] @ basis.terms[:, part.terms].T)
            for part in self.components
        ])  # fmt: skip

    def roots(self, basis: Basis) -> list[Floats]:
        """[N, R] for each component, times its transpose the covariance of the component at variance 1."""
        ranks = [np.unique(codes, return_inverse=True)[1] for codes in basis.codes.T]
        return [_root(basis.terms[:, part.terms], ranks[part.code]) for part in self.components]

    def between(self, one: Basis, other: Basis, variances: Floats) -> Floats:
        """[N, M] the covariance of two lists of configurations.

        What only depends on the terms is computed once for all that have the same ones: the same network in several
        runtimes.
        """
        weights = list(self._weights(one, variances))
        first, place = _alike_terms(one.terms)
        if 2 * len(first) > len(one.terms):
            total = np.zeros((len(one.terms), len(other.terms)))
            for code, weight in weights:
                _add(total, one, other, code, weight)
            return total
        representatives = one.where(first)
        shared = (one.codes == representatives.codes[place]).all(0)
        few = np.zeros((len(first), len(other.terms)))
        for code, weight in weights:
            if shared[code]:
                _add(few, representatives, other, code, weight)
        total = few[place]
        for code, weight in weights:
            if not shared[code]:
                _add(total, one, other, code, weight)
        return total

    def of_each(self, basis: Basis, variances: Floats) -> Floats:
        """[N] the variance of each configuration."""
        return basis.terms**2 @ np.sum([weights for _, weights in self._weights(basis, variances)], axis=0)

    def draws(self, basis: Basis, variances: Floats, *, count: int, random: np.random.Generator) -> Floats:
        """[count, N] functions of this covariance at the configurations, by coefficients of their terms."""
        first, place = _alike_terms(basis.terms)
        representatives = basis.where(first)
        shared = (basis.codes == representatives.codes[place]).all(0)
        few, total = np.zeros((len(first), count)), np.zeros((len(place), count))
        for code, weights in self._weights(basis, variances):
            values, ranks = np.unique(basis.codes[:, code], return_inverse=True)
            coefficients = random.standard_normal((int((weights > 0).sum()), len(values), count))
            if shared[code]:
                _add_drawn(few, representatives.terms, ranks[first], weights, coefficients)
            else:
                _add_drawn(total, basis.terms, ranks, weights, coefficients)
        total += few[place]
        return total.T

    def _weights(self, basis: Basis, variances: Floats) -> Iterator[tuple[int, Floats]]:
        """The variance of each term [T], for each column of codes."""
        for code in range(basis.codes.shape[1]):
            weights = np.zeros(basis.terms.shape[1])
            for part, variance in zip(self.components, variances, strict=True):
                if part.code == code:
                    weights[part.terms] += variance
            yield code, weights


def _alike(one: Codes, other: Codes) -> Iterator[tuple[Rows, Rows]]:
    """The rows of both lists that have the same code, for each code that is in both."""
    both = np.intersect1d(one, other)
    yield from zip(_rows(one, both), _rows(other, both), strict=True)


def _add(total: Floats, one: Basis, other: Basis, code: int, weights: Floats) -> None:
    """Adds to `total` [N, M] the covariance of two lists whose terms have these weights where the code is equal."""
    used = weights > 0
    weighted, terms = one.terms[:, used] * weights[used], other.terms[:, used]
    if code == 0:
        total += weighted @ terms.T
        return
    for rows, columns in _alike(one.codes[:, code], other.codes[:, code]):
        total[np.ix_(rows, columns)] += weighted[rows] @ terms[columns].T


def _add_drawn(total: Floats, terms: Floats, ranks: Rows, weights: Floats, coefficients: Floats) -> None:
    """Adds to `total` [N, S] the terms times the coefficients [T, groups, S] of the group at the rank of a row."""
    used = weights > 0
    scaled = terms[:, used] * np.sqrt(weights[used])
    if len(coefficients) <= FEW:
        for term, coefficient in zip(scaled.T, coefficients, strict=True):
            total += term[:, None] * coefficient[ranks]
        return
    for group, rows in enumerate(_rows(ranks, np.arange(coefficients.shape[1]))):
        total[rows] += scaled[rows] @ coefficients[:, group]


def _alike_terms(terms: Floats) -> tuple[Rows, Rows]:
    """The first of all rows [N, T] with the same terms, and for each row [N] which of these it is like."""
    sums = terms @ np.sqrt(np.arange(2.0, 2.0 + terms.shape[1]))  # different for different terms, but by accident
    _, first, place = np.unique(sums, return_index=True, return_inverse=True)
    equal = np.array_equal(terms[first[place]], terms)
    return (first, place) if equal else (np.arange(len(terms)), np.arange(len(terms)))


def _rows(codes: Codes, values: Codes) -> Iterator[Rows]:
    """The rows of each of some codes."""
    order = np.argsort(codes, kind="stable")
    starts, ends = (np.searchsorted(codes[order], values, side=side).tolist() for side in ("left", "right"))
    return (order[start:end] for start, end in zip(starts, ends, strict=True))


def _root(terms: Floats, ranks: Rows) -> Floats:
    """[N, R] whose product with its transpose is that of the terms [N, T] inside each group of equal ranks, else 0.

    A group has no more columns than rows.
    """
    count = int(ranks.max()) + 1
    if terms.shape[1] == 1:
        root = np.zeros((len(terms), count))
        root[np.arange(len(terms)), ranks] = terms[:, 0]
        return root
    groups = list(_rows(ranks, np.arange(count)))
    blocks = [terms[rows] for rows in groups]
    blocks = [_triangle(block) if block.shape[0] < block.shape[1] else block for block in blocks]
    root = np.zeros((len(terms), sum(block.shape[1] for block in blocks)))
    end = 0
    for rows, block in zip(groups, blocks, strict=True):
        start, end = end, end + block.shape[1]
        root[rows, start:end] = block
    return root


def _triangle(block: Floats) -> Floats:
    """[N, N] whose product with its transpose is that of a block [N, T]."""
    return np.asarray(np.linalg.qr(block.T, mode="r")).T


def _components(numbers: int, categories: int, size: int | None, network: bool) -> Iterator[Component]:
    constant, products = slice(0, 1), slice(1 + numbers, 1 + numbers + numbers * (numbers + 1) // 2)
    slopes = [slice(1 + place, 2 + place) for place in range(numbers)]
    yield Component(0, constant, CONSTANT)
    yield from (Component(0, slope, SLOPE) for slope in slopes)
    yield Component(0, products, PRODUCT)
    if size is not None:
        yield Component(0, slice(products.stop, products.stop + len(TILES)), TILE)
    for code in range(1, 1 + categories):
        yield Component(code, constant, CATEGORY)
        for place, slope in enumerate(slopes):
            yield Component(code, slope, CATEGORY_SIZE_SLOPE if place == size else CATEGORY_SLOPE)
        yield Component(code, products, CATEGORY_PRODUCT)
    yield from (Component(1 + categories + place, constant, LEVEL) for place in range(numbers))
    if network:
        yield Component(1 + categories + numbers, constant, SAME_NETWORK)
    if network and size is not None:
        yield Component(1 + categories + numbers, slopes[size], SAME_NETWORK_SIZE_SLOPE)


def _tiles(size: Floats) -> Floats:
    """[N, tiles] by how much whole tiles exceed the size, as a logarithm; 0 where it is not stated."""
    stated = np.nan_to_num(size, nan=float(TILES[-1]))[:, None]
    return np.log(np.ceil(stated / TILES - 1e-9) * TILES / stated)
