"""Whether results are of all labeled images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paretodet.evaluation.fields import Row
from paretodet.labels.model import Labels, Purpose
from paretodet.labels.read import read_labels, splits

MOST = 0.9  # of the images with objects: some images have no detection in any results


def missing_images(
    rows: Sequence[Row], labels: Labels, path: Path, *, split: str | None, images: Path | None = None
) -> tuple[str, ...]:
    """A note if many images of `labels` have no row, with the split of `path` that the others are, if no split was
    named. `images` is the folder given beside the labels.
    """
    seen = {row["image_id"] for row in rows}
    there, objects = np.isin(labels.keys, list(seen)), np.diff(labels.offsets) > 0
    if (there & objects).sum() >= MOST * objects.sum():
        return ()
    only = _only_split(seen, path, images) if split is None and seen else None
    advice = f": `--data-split {only}` scores the images of that split alone" if only else ""
    count, total = int(there.sum()), len(labels)
    return (
        f"the results have rows for {count} of {total} images, and the other {total - count} count as images without "
        f"detections{advice}",
    )


def _only_split(seen: set[int], path: Path, images: Path | None) -> str | None:
    """The smallest split that has all these images."""
    sizes = dict[str, int]()
    for name in splits(path):
        try:
            keys = set(read_labels(path, split=name, images=images, purpose=Purpose.SCORE).keys.tolist())
        except ValueError:
            continue  # it cannot be read, so no results were made on it
        if seen <= keys:
            sizes[name] = len(keys)
    return min(sizes, key=sizes.__getitem__, default=None)
