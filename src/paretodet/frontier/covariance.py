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

from paretodet.frontier.features import SIZE, Features
from paretodet.frontier.values import Floats

TILES = (64, 128)  # pixels; devices compute whole tiles, so that the work of a size is that of the next multiple
# What is usual of a standardized value, as the standard deviation of each kind of component.
CONSTANT, SLOPE, TILE, PRODUCT, LEVEL, CATEGORY, CATEGORY_SLOPE, CATEGORY_PRODUCT, NOISE = (
    1.0, 1.0, 0.1, 0.05, 0.04, 0.2, 0.1, 0.03, 0.03,
)  # fmt: skip


class Component(NamedTuple):
    """Terms that those configurations share which have the same code in a column."""

    code: int
    terms: slice
    usual: float  # standard deviation


class Basis(NamedTuple):
    """N configurations: terms [N, T] of their numbers, and codes [N, M]; column 0 is the same for all."""

    terms: Floats
    codes: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Components of features whose numbers have this center and scale."""

    center: Floats
    scale: Floats
    size: int | None  # the column of the image's size
    components: tuple[Component, ...]

    @classmethod
    def of(cls, features: Features) -> "Covariance":
        numbers = features.numbers
        stated = np.isfinite(numbers)
        count = np.maximum(stated.sum(0), 1)
        center = np.where(stated, numbers, 0).sum(0) / count
        scale = np.sqrt((np.where(stated, numbers - center, 0) ** 2).sum(0) / count)
        size = features.number_names.index(SIZE) if SIZE in features.number_names else None
        components = _components(numbers.shape[1], features.categories.shape[1], size is not None)
        return cls(center=center, scale=np.where(scale > 0, scale, 1.0), size=size, components=tuple(components))

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
        same = np.zeros((len(numbers), 1), dtype=np.int64)
        together = (features.categories * (1 + 2 * np.arange(features.categories.shape[1]))).sum(1, keepdims=True)
        return Basis(np.column_stack(parts), np.column_stack([same, features.categories, together, levels]))

    def parts(self, basis: Basis) -> Floats:
        """[G, N, N] the covariances of each component at variance 1."""
        return np.array([
            (basis.codes[:, None, part.code] == basis.codes[None, :, part.code])
            * (basis.terms[:, part.terms] @ basis.terms[:, part.terms].T)
            for part in self.components
        ])  # fmt: skip

    def between(self, one: Basis, other: Basis, variances: Floats) -> Floats:
        """[N, M] the covariance of two lists of configurations."""
        total = np.zeros((len(one.terms), len(other.terms)))
        for code, weights in self._weights(one, variances):
            same = one.codes[:, None, code] == other.codes[None, :, code]
            total += np.where(same, (one.terms * weights) @ other.terms.T, 0)
        return total

    def of_each(self, basis: Basis, variances: Floats) -> Floats:
        """[N] the variance of each configuration."""
        return np.asarray(sum(basis.terms**2 @ weights for _, weights in self._weights(basis, variances)))

    def _weights(self, basis: Basis, variances: Floats) -> Iterator[tuple[int, Floats]]:
        """The variance of each term [T], for each column of codes."""
        for code in range(basis.codes.shape[1]):
            weights = np.zeros(basis.terms.shape[1])
            for part, variance in zip(self.components, variances, strict=True):
                if part.code == code:
                    weights[part.terms] += variance
            yield code, weights


def _components(numbers: int, categories: int, sized: bool) -> Iterator[Component]:
    constant, products = slice(0, 1), slice(1 + numbers, 1 + numbers + numbers * (numbers + 1) // 2)
    slopes = [slice(1 + place, 2 + place) for place in range(numbers)]
    yield Component(0, constant, CONSTANT)
    yield from (Component(0, slope, SLOPE) for slope in slopes)
    yield Component(0, products, PRODUCT)
    if sized:
        yield Component(0, slice(products.stop, products.stop + len(TILES)), TILE)
    together = 1 + categories
    for code in range(1, together + (categories > 1)):
        yield Component(code, constant, CATEGORY)
        yield from (Component(code, slope, CATEGORY_SLOPE) for slope in slopes)
        yield Component(code, products, CATEGORY_PRODUCT)
    yield from (Component(together + 1 + place, constant, LEVEL) for place in range(numbers))


def _tiles(size: Floats) -> Floats:
    """[N, tiles] by how much whole tiles exceed the size, as a logarithm; 0 where it is not stated."""
    stated = np.nan_to_num(size, nan=float(TILES[-1]))[:, None]
    return np.log(np.ceil(stated / TILES - 1e-9) * TILES / stated)
