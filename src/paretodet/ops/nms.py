"""Non-maximum suppression (NMS).

Greedy suppression is one operator, `paretodet::nms`, opaque to export and compile. It is exact: equal to visiting the
boxes in order of falling score and keeping each box that no kept box of its class overlaps by more than `overlap`.
Candidates are taken in strips of falling score (so most scores are never sorted), strips are cut into blocks, a block
is compared with the boxes already kept, and a fixed-point iteration decides within a block. Memory is O(block x
survivors). Labels are compared to separate classes: adding an offset per class to coordinates is wrong in float32.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from paretodet.ops.operator import opaque

BLOCKS = (128, 512)  # boxes decided at once: the first size, doubled up to the last, which fits the cache
STRIP = 1024  # scores sorted at once, at least
GROUPS = 16  # groups of scores for each score that is needed
X1, Y1, X2, Y2, AREA, LABEL = range(6)  # rows of a table of candidates, [6, n]


def nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None = None,
    *,
    overlap: float,
    keep: int,
    sizes: Tensor | None = None,
    threshold: float = -math.inf,
    candidates_per_class: int | None = None,
    keep_per_class: int | None = None,
    class_aware: bool = True,
) -> Tensor:
    """Indices of the kept boxes by falling score, ties by lower index, -1 in empty slots: [B, keep] int64.

    Dense form: boxes [B, N, 4] or one for each class [B, N, K, 4], scores [B, N, K]; an index is n * K + k.
    List form: boxes [B, M, 4], scores [B, M], labels [B, M] (None: all have the same class); an index is m.

    Only scores above `threshold` take part (NaN and -inf never), and of each class the best `candidates_per_class`. A
    box is suppressed if a better kept box has IoU > `overlap`, both in float32 (for >= pass the next lower float32),
    and has the same class or, without `class_aware`, any class. At most `keep_per_class` boxes of a class are kept.

    With `sizes` [B, 2] (height, width; px), boxes that would have no area after clipping to their image are not
    returned: they suppress others and count in `keep_per_class`, but not in `keep` (TF's multiclass suppression: the
    best of each class, then clip, then the best of all). Boxes are not clipped here.
    Raises ValueError for shapes that do not fit, or limits out of range.
    """
    _check_shapes(boxes, scores, labels)
    if sizes is not None and tuple(sizes.shape) != (scores.shape[0], 2):  # `len` fixes the number in an export
        raise ValueError(f"sizes: got shape {tuple(sizes.shape)}, allowed {(scores.shape[0], 2)}")
    _check_counts(keep=keep, candidates_per_class=candidates_per_class, keep_per_class=keep_per_class)
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap: got {overlap}, allowed 0..1")
    if keep_per_class is not None and not class_aware:
        raise ValueError("keep_per_class: needs class_aware=True")
    return _nms(
        boxes, scores, labels, sizes, overlap, keep, threshold, candidates_per_class, keep_per_class, class_aware
    )


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}: got {value}, allowed 1 or more")


def _check_shapes(boxes: Tensor, scores: Tensor, labels: Tensor | None) -> None:
    fits = {2: ((*scores.shape, 4),), 3: ((*scores.shape[:2], 4), (*scores.shape, 4))}.get(scores.dim(), ())
    if tuple(boxes.shape) not in fits:
        raise ValueError(f"boxes: got shape {tuple(boxes.shape)}, which does not fit scores {tuple(scores.shape)}")
    if labels is not None and (scores.dim() != 2 or labels.shape != scores.shape):
        raise ValueError(
            f"labels: got shape {tuple(labels.shape)}; they go with scores [B, M], got {tuple(scores.shape)}"
        )


def _compute(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    sizes: Tensor | None,
    overlap: float,
    keep: int,
    threshold: float,
    candidates_per_class: int | None,
    keep_per_class: int | None,
    class_aware: bool,
) -> Tensor:
    classes = scores.shape[2] if scores.dim() == 3 else 1
    aware = class_aware and (classes > 1 or labels is not None)
    limits = _Limits(overlap, keep, threshold, candidates_per_class, keep_per_class, aware)
    out = scores.new_full((len(scores), keep), -1, dtype=torch.int64)
    for image in range(len(scores)):
        flat = scores[image].reshape(-1).float()
        candidates = _Candidates(boxes[image], _of(labels, image), classes, _of(sizes, image))
        kept = _greedy(flat, candidates, limits)
        out[image, : len(kept)] = kept
    return out


def _fake(boxes, scores, labels, sizes, overlap, keep, threshold, candidates_per_class, keep_per_class, class_aware):  # type: ignore[no-untyped-def]
    return scores.new_empty((scores.shape[0], keep), dtype=torch.int64)


_nms = opaque("nms", _compute, _fake)


def _of(batch: Tensor | None, image: int) -> Tensor | None:
    return None if batch is None else batch[image]


class _Limits(NamedTuple):
    """The arguments of `nms`; `aware`: only boxes with the same label suppress each other."""

    overlap: float
    keep: int
    threshold: float
    candidates_per_class: int | None
    keep_per_class: int | None
    aware: bool


class _Candidates(NamedTuple):
    """The candidates of one image, by flat index."""

    boxes: Tensor  # [N, 4] or [N, K, 4]
    labels: Tensor | None  # [N], None: the class follows from the index
    classes: int
    size: Tensor | None

    def rows(self, index: Tensor) -> Tensor:
        """[n] -> [6, n]"""
        label = index % self.classes if self.labels is None else self.labels[index]
        return _describe(self._picked(index), label)

    def inside(self, index: Tensor) -> Tensor:
        """Those of indices [n] that may be returned."""
        if self.size is None:
            return index
        boxes = self._picked(index)
        low, high = boxes[:, :2], boxes[:, 2:]
        return index[(torch.minimum(high, self.size.flip(0)) - low.clamp(min=0)).amin(1) > 0]

    def max_survivors(self, keep_per_class: int | None) -> float:
        """An upper bound of the number of survivors."""
        return math.inf if keep_per_class is None or self.labels is not None else keep_per_class * self.classes

    def _picked(self, index: Tensor) -> Tensor:
        shared = self.boxes.dim() == 2
        return self.boxes.reshape(-1, 4)[index // self.classes if shared else index].float()


def _describe(boxes: Tensor, labels: Tensor) -> Tensor:
    """[n, 4], [n] -> [6, n]. A box whose area is not finite becomes empty, so that no NaN appears later."""
    x1, y1, x2, y2 = boxes.unbind(1)
    area = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    rows = torch.stack([x1, y1, x2, y2, area]).masked_fill_(~area.isfinite(), 0)
    return torch.cat([rows, labels.to(rows.dtype)[None]])


def _greedy(scores: Tensor, candidates: _Candidates, limits: _Limits) -> Tensor:
    """Flat indices of at most `keep` survivors by falling score."""
    kept, chosen, labels = scores.new_empty(6, 0), [scores.new_empty(0, dtype=torch.int64)], scores.new_empty(0)
    max_survivors = candidates.max_survivors(limits.keep_per_class)
    for index in _strips(scores, limits.threshold, max(STRIP, 4 * limits.keep)):
        rows = candidates.rows(index)
        if limits.candidates_per_class is not None:
            labels = torch.cat([labels, rows[LABEL]])
            best = _ranks(labels)[-len(index) :] < limits.candidates_per_class
            index, rows = index[best], rows[:, best]
        for start, stop in _blocks(len(index)):
            block = rows[:, start:stop]
            survivors = _suppress(block, kept, limits)
            chosen.append(index[start + survivors])
            kept = torch.cat([kept, block[:, survivors]], 1)
            full = kept.shape[1] >= max_survivors
            if full or sum(map(len, chosen)) >= limits.keep:
                chosen = [candidates.inside(torch.cat(chosen))]
                if full or len(chosen[0]) >= limits.keep:
                    return chosen[0][: limits.keep]
    return candidates.inside(torch.cat(chosen))


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    start, size = 0, BLOCKS[0]
    while start < count:
        yield start, start + size
        start, size = start + size, min(2 * size, BLOCKS[1])


def _strips(scores: Tensor, threshold: float, size: int) -> Iterator[Tensor]:
    """Indices of all scores above `threshold` in strips, each sorted and of lower scores than the one before.

    The first has at least `size`, if there are as many. Later ones are larger, because they are rarely needed.
    """
    lowest = max(_next_above(threshold), torch.finfo(torch.float32).min)
    while len(index := _best(scores, size, lowest)):
        yield index
        scores, size = scores.index_fill(0, index, -math.inf), size * 8


def _next_above(threshold: float) -> float:
    """The lowest float32 above a threshold."""
    limit = torch.tensor(threshold, dtype=torch.float32)
    return limit.item() if limit.item() > threshold else torch.nextafter(limit, limit.new_tensor(math.inf)).item()


def _best(scores: Tensor, size: int, lowest: float) -> Tensor:
    """Sorted indices of the best scores from `lowest` on: at least `size` if there are as many; ties by lower index."""
    index, found = _candidates(scores, size, lowest)
    if len(index) > 8 * size:  # many ties, as bfloat16 has few distinct numbers
        minimum = found.min()
        above, last = index[found > minimum], index[found == minimum]
        index = torch.cat([above, last[: max(size - len(above), 1)]])
        found = scores[index]
    return index[found.sort(descending=True, stable=True).indices]


def _candidates(scores: Tensor, size: int, lowest: float) -> tuple[Tensor, Tensor]:
    """Rising indices of at least the `size` best scores (or all from `lowest` on, if they are fewer), and those scores.

    `size` groups have a maximum at or above the size-th largest maximum, so at least `size` scores do; only these
    groups are searched.
    """
    if len(scores) <= 2 * size:
        index = (scores >= lowest).nonzero()[:, 0]
        return index, scores[index]
    members = max(len(scores) // (GROUPS * size), 2)
    count = len(scores) // members
    groups, rest = scores[: count * members].view(members, count), scores[count * members :]
    maxima = groups.amax(0)
    lowest = max(lowest, maxima.topk(size, sorted=False).values.min().item())  # `lowest` if that is NaN
    columns = (~(maxima < lowest)).nonzero()[:, 0]
    inside = groups[:, columns]
    row, column = (inside >= lowest).nonzero().unbind(1)
    last = (rest >= lowest).nonzero()[:, 0]
    index = torch.cat([row * count + columns[column], count * members + last])
    return index, torch.cat([inside[row, column], rest[last]])


def _ranks(labels: Tensor) -> Tensor:
    """The number of equal labels before each: [n] -> [n]."""
    order = labels.argsort(stable=True)
    grouped = labels[order]
    place = torch.arange(len(labels), device=labels.device) - torch.searchsorted(grouped, grouped)
    return torch.empty_like(order).index_copy_(0, order, place)


def _suppress(block: Tensor, kept: Tensor, limits: _Limits) -> Tensor:
    """Positions in the block [6, n] of the boxes that greedy suppression keeps after `kept` [6, k]."""
    alive = torch.arange(block.shape[1], device=block.device)
    if kept.shape[1]:
        alive = (_overlap(kept, block, limits.aware).amax(0) <= limits.overlap).nonzero()[:, 0]
        block = block[:, alive]
    beats = (_overlap(block, block, limits.aware) > limits.overlap).float().triu_(1)
    state, before = (beats.sum(0) == 0).float(), torch.ones_like(block[0])
    while not torch.equal(state, before):  # a box survives if no surviving better box overlaps it
        state, before = (state @ beats == 0).float(), state
    survives = state > 0
    return alive[survives][_allowed(block[LABEL, survives], kept[LABEL], limits)]


def _allowed(labels: Tensor, before: Tensor, limits: _Limits) -> Tensor | slice:
    """Which survivors with these labels `keep_per_class` allows, after survivors with the labels `before`."""
    limit, count = limits.keep_per_class, len(before)
    if limit is None or count + len(labels) <= limit:
        return slice(None)
    return _ranks(torch.cat([before, labels]))[count:] < limit if limits.aware else slice(limit - count)


def _overlap(a: Tensor, b: Tensor, aware: bool) -> Tensor:
    """IoU of every pair, [6, n] and [6, m] -> [n, m]; 0 if they do not overlap or, with `aware`, labels differ."""
    width = torch.minimum(a[X2, :, None], b[X2]).sub_(torch.maximum(a[X1, :, None], b[X1])).clamp_(min=0)
    common = torch.minimum(a[Y2, :, None], b[Y2]).sub_(torch.maximum(a[Y1, :, None], b[Y1])).mul_(width)
    union = (a[AREA, :, None] + b[AREA]).sub_(common).clamp_(min=torch.finfo(torch.float32).tiny)
    ratio = common.div_(union)
    return ratio.masked_fill_(a[LABEL, :, None] != b[LABEL], 0) if aware else ratio
