"""How much boxes overlap, in float64 as COCO's evaluator computes it."""

import numpy as np


def overlaps(detected: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """[D, 4] and [G, 4] x, y, w, h -> IoU [D, G]; for a crowd, intersection over the detection's area."""
    return paired_overlaps(detected[:, None], truth[None], crowd)


def paired_overlaps(detected: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """[..., 4] and [..., 4] x, y, w, h, of shapes that fit to each other -> IoU [...] as `overlaps` has it."""
    low = np.maximum(detected[..., :2], truth[..., :2])
    high = np.minimum(detected[..., :2] + detected[..., 2:], truth[..., :2] + truth[..., 2:])
    inside = np.clip(high - low, 0, None).prod(-1)
    areas = detected[..., 2] * detected[..., 3]
    union = np.where(crowd, areas, areas + truth[..., 2] * truth[..., 3] - inside)
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
