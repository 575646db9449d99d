"""COCO's matching of detections to ground truths, at one overlap and in one range of sizes."""

from collections.abc import Iterator

import numpy as np

from paretodet.evaluation.table import ImageRows, Table, groups

SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # px²
RIGHT, IGNORED, WRONG = 1, -1, 0
Rivals = list[tuple[int, list[tuple[float, int]]]]  # a detection, its truths and the overlaps; by falling score


def rivals(rows: Table, overlap: float) -> Rivals:
    """Each detection with the truths of its category that it overlaps by at least `overlap`."""
    found: Rivals = []
    for group in groups(rows):
        if group.overlaps.size:
            mine = rows.finds.category[group.finds, None] == rows.truths.category[None, group.truths]
            found += _rivals(group, mine & (group.overlaps >= overlap))
    return found


def _rivals(group: ImageRows, enough: np.ndarray) -> Iterator[tuple[int, list[tuple[float, int]]]]:
    finds, truths = np.nonzero(enough)
    shares = group.overlaps[finds, truths].tolist()
    edges = np.flatnonzero(np.diff(finds, prepend=-1)).tolist() + [len(finds)]
    for start, end in zip(edges, edges[1:], strict=False):
        pairs = zip(shares[start:end], truths[start:end].tolist(), strict=True)
        yield int(finds[start]) + group.finds.start, [(share, each + group.truths.start) for share, each in pairs]


def match(rivals: Rivals, counted: np.ndarray, crowd: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """COCO's matching: the best free truth that counts, else one that does not; of equal ones the last."""
    state, taken = np.zeros(count, np.int8), np.zeros(len(crowd), bool)
    for find, truths in rivals:
        free = [pair for pair in truths if crowd[pair[1]] or not taken[pair[1]]]
        if free:
            _, _, best = max((counted[each], share, each) for share, each in free)
            taken[best] = True
            state[find] = RIGHT if counted[best] else IGNORED
    return state, taken
