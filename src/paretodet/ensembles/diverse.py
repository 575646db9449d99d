"""Which detectors to join: the best, each unlike those already chosen (Huang et al. section 4.2).

What a candidate scores in each category is `evaluation.coco.per_category(truth, results(candidate, truth, folder))`,
on images that neither trained it nor will judge the ensemble.
"""

from collections.abc import Hashable, Mapping

import numpy as np

Vector = Mapping[Hashable, float | None]  # category: AP, None where there is nothing to find


def diverse(candidates: Mapping[str, Vector], *, size: int, similarity: float) -> tuple[str, ...]:
    """Names of at most `size` candidates, the best first, fewer where no other is different enough.

    By falling mean AP, ties by name, each joins unless the cosine between its AP vector and that of one already chosen
    is above `similarity`. The paper gives no number, and its "distance" above a threshold can only mean similarity.
    AP is never negative and detectors find the same categories hard, so useful thresholds are close to 1.
    Raises ValueError for a threshold out of 0..1, a size under 1, or vectors of different categories.
    """
    if size < 1:
        raise ValueError(f"size: got {size}, at least 1 is needed")
    if not 0 <= similarity <= 1:
        raise ValueError(f"similarity: got {similarity}, allowed is 0..1")
    vectors = _vectors(candidates)
    chosen: list[str] = []
    for name in sorted(vectors, key=lambda name: (-vectors[name].mean(), name)):
        alike = any(cosine(vectors[name], vectors[other]) > similarity for other in chosen)
        if len(chosen) < size and not alike:
            chosen.append(name)
    return tuple(chosen)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two vectors; 0 where one is zero."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def _vectors(candidates: Mapping[str, Vector]) -> dict[str, np.ndarray]:
    """Each candidate's AP in the one order of the categories that hold something."""
    held = {name: {key: ap for key, ap in vector.items() if ap is not None} for name, vector in candidates.items()}
    first = next(iter(held), None)
    if first is None:
        return {}
    order = list(held[first])
    for name, vector in held.items():
        if vector.keys() != set(order):
            raise ValueError(f"candidates: {name} and {first} were scored in different categories")
        if not vector:
            raise ValueError(f"candidates: {name} was scored in no category")
    return {name: np.array([vector[key] for key in order]) for name, vector in held.items()}
