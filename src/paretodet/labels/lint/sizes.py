"""How large boxes are in their images: enough to say how large they will be on any canvas, and no more.

The side of a box is the root of its area. On a canvas it is the share of the image's side that it had in the image,
times a scale that depends on the image's aspect and the canvas alone; so shares are counted by aspect.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from paretodet.labels.lint.subject import LabeledSplit

OCTAVE = 16  # bins of a share in which it doubles
OCTAVES = 12  # the smallest share that is counted is 2 ** -12 of the image's side; smaller ones are counted there
ASPECTS = 8  # bins of an aspect in which it doubles
SHOWN = 20  # of the commonest image sizes


def sizes(parts: Sequence[LabeledSplit]) -> dict[str, Any]:
    """JSON-ready: for images of about the same aspect (width / height), how many boxes have which share.

    `counts[n]` boxes have a side of 2 ** (n / octave - octaves) times the image's, up to the next; crowds do not count.
    """
    images = np.concatenate([part.data.sizes for part in parts]).astype(np.float64)
    aspects = np.log2(images[:, 1] / images[:, 0])
    owners, shares = _shares(parts)
    bins = np.round(aspects * ASPECTS).astype(int)
    return {
        "octave": OCTAVE,
        "octaves": OCTAVES,
        "boxes": len(shares),
        "shapes": [_shape(aspects[bins == each], shares[bins[owners] == each]) for each in np.unique(bins).tolist()],
        "images": _images(images.astype(int)),
    }


def _shares(parts: Sequence[LabeledSplit]) -> tuple[np.ndarray, np.ndarray]:
    """Of every box that is no crowd: its image, counted through all parts, and the log2 of its share."""
    owners, shares, before = [], [], 0
    for part in parts:
        kept = ~part.data.crowd
        sides = (part.data.boxes[:, 2:] - part.data.boxes[:, :2])[kept].astype(np.float64)
        area = part.data.sizes[part.owners[kept]].astype(np.float64).prod(1)
        shares.append(np.log2(sides.prod(1) / area) / 2)
        owners.append(part.owners[kept] + before)
        before += len(part.data)
    return np.concatenate(owners), np.concatenate(shares)


def _shape(aspects: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
    places = np.floor((shares + OCTAVES) * OCTAVE).astype(int).clip(0, OCTAVE * OCTAVES - 1)
    counts = np.bincount(places, minlength=OCTAVE * OCTAVES).tolist()
    return {"aspect": round(float(2 ** aspects.mean()), 4), "images": len(aspects), "counts": counts}


def _images(images: np.ndarray) -> list[dict[str, int]]:
    """The commonest sizes."""
    seen = Counter(map(tuple, images.tolist())).most_common(SHOWN)
    return [{"height": height, "width": width, "images": count} for (height, width), count in seen]
