"""The area of every object, by which AP is split into sizes."""

from dataclasses import replace

import numpy as np

from paretodet.labels.model import Labels
from paretodet.labels.rle import Runs


def with_areas(data: Labels) -> Labels:
    """With an area of every box."""
    return (
        data if data.areas is not None and not np.isnan(data.areas).any() else replace(data, areas=filled_areas(data))
    )


def filled_areas(data: Labels) -> np.ndarray:
    """[M] float64 px²: as written, else of the outline, else of the box."""
    areas = np.full(len(data.boxes), np.nan) if data.areas is None else data.areas
    missing = np.isnan(areas)
    areas = np.where(missing, data.xywh[:, 2:].prod(1), areas)
    sizes = data.sizes[data.owners]
    for row in np.flatnonzero(missing & data.outlined).tolist():
        height, width = sizes[row].tolist()
        mask = data.mask(row)
        if isinstance(mask, Runs) or (mask is not None and height and width):
            areas[row] = mask.area((height, width))
    return areas
