"""In which order an SSD of TensorFlow's detection API has the anchors of a cell, from what a file tells of them.

In graphs of 2017 the square between two scales is the second anchor of a cell, in later ones the last. Weights of both
have equal shapes, and boxes of the wrong order are up to the whole image wrong.
"""

from collections.abc import Mapping
from math import isclose
from typing import Literal

from torch import Tensor

Order = Literal["second", "last"]
GRID = "MultipleGridAnchorGenerator/"
RATIOS = 6  # of the anchors in a cell of all maps but the first
TOLERANCE = 0.02  # of ratios; quantized anchors are this far off


def anchor_order(tensors: Mapping[str, Tensor]) -> Order | None:
    """Where the second square is; None if the tensors do not tell.

    They tell it as the constant from which a graph computes anchors, their ratios, or as the anchors themselves: rows
    of (y, x, y, x) or (y, x, height, width), of which the last six are those of one cell.
    """
    for name, tensor in tensors.items():
        if GRID in name and tensor.dim() == 1 and (order := _of_ratios(tensor.double().tolist())):
            return order
    for tensor in tensors.values():
        if 2 <= tensor.dim() <= 3 and tensor.shape[-1] == 4 and tensor.shape[-2] > RATIOS:
            last = tensor.flatten(0, -2)[-RATIOS:].double()
            for sides in (last[:, 2:] - last[:, :2], last[:, 2:]):
                if (sides > 0).all() and (order := _of_ratios((sides[:, 1] / sides[:, 0]).tolist())):
                    return order
    return None


def _of_ratios(ratios: list[float]) -> Order | None:
    """The order of width / height of the anchors in a cell; None if they are no cell's."""
    for order, wanted in (("second", (1, 1, 2, 1 / 2, 3, 1 / 3)), ("last", (1, 2, 1 / 2, 3, 1 / 3, 1))):
        if len(ratios) == RATIOS and all(map(_near, ratios, wanted)):
            return order  # type: ignore[return-value]
    return None


def _near(found: float, wanted: float) -> bool:
    return isclose(found, wanted, rel_tol=TOLERANCE)
