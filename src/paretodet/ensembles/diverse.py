"""Selection of ensemble members: the best candidates that differ from each other (Huang et al. 2017, section 4.2).

The AP vector of a candidate is `evaluation.coco.per_category(truth, results(candidate, truth, folder))`, on images that
are used neither for training nor for scoring the ensemble.
"""

from collections.abc import Hashable, Mapping

import numpy as np

Vector = Mapping[Hashable, float | None]  # category: AP, None if it has no objects


def diverse(candidates: Mapping[str, Vector], *, size: int, similarity: float) -> tuple[str, ...]:
    """Names of at most `size` candidates, the best first; fewer if no other candidate is different enough.

    In order of falling mean AP (ties by name), a candidate is chosen unless the cosine between its AP vector and that
    of a chosen candidate is above `similarity`. The paper gives no number; its "distance" above a threshold is read as
    similarity. AP is never negative and the same categories are hard for all detectors, so useful thresholds are close
    to 1. Raises ValueError for a threshold outside 0..1, a size below 1, or vectors of different categories.
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
    """The cosine of the angle between two vectors; 0 if one of them is zero."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def _vectors(candidates: Mapping[str, Vector]) -> dict[str, np.ndarray]:
    """The candidates' AP vectors, in the same order of the categories that have objects."""
    known = {name: {key: ap for key, ap in vector.items() if ap is not None} for name, vector in candidates.items()}
    first = next(iter(known), None)
    if first is None:
        return {}
    order = list(known[first])
    for name, vector in known.items():
        if vector.keys() != set(order):
            raise ValueError(f"candidates: {name} and {first} were scored in different categories")
        if not vector:
            raise ValueError(f"candidates: {name} was scored in no category")
    return {name: np.array([vector[key] for key in order]) for name, vector in known.items()}
