"""PicoDet and NanoDet-Plus: boxes by the arithmetic of their code bases."""

from pathlib import Path

import numpy as np
import pytest

from made_onnx import SIDE, write
from opened_files import best, layout_of, opened
from paretodet.layouts.layout import IMAGENET


@pytest.mark.parametrize("batch", [True, False])
def test_picodet_has_a_distribution_for_each_side_of_four_strides(tmp_path: Path, batch: bool) -> None:
    """The box by PaddleDetection's arithmetic: the center of a cell, and the mean of each distribution in strides."""
    outputs: dict[str, np.ndarray] = {}
    for kind, width in (("cls", 3), ("tmp_", 32)):
        outputs |= {f"{kind}{s}": np.zeros((1, (SIDE // s) ** 2, width), np.float32) for s in (8, 16, 32, 64)}
    row, column = 3, 2  # of stride 32: the point (80, 112)
    outputs["cls32"][0, row * 6 + column, 2] = 0.8
    sides = outputs["tmp_32"][0, row * 6 + column].reshape(4, 8)
    sides[:] = -50
    for side, (nearer, farther) in enumerate(((1, 1), (2, 2), (1, 2), (0, 1))):
        sides[side, [nearer, farther]] = 50
    found = outputs if batch else {name: each[0] for name, each in outputs.items()}
    candidate = opened(write(tmp_path / "pico.onnx", found))
    assert best(candidate) == ([48, 48, 128, 128], pytest.approx(0.8), 2)
    assert layout_of(candidate).family == "PicoDet" and layout_of(candidate).pixels == IMAGENET


def test_nanodet_plus_has_the_corners_of_cells(tmp_path: Path) -> None:
    cells = [(SIDE // stride) ** 2 for stride in (8, 16, 32, 64)]
    head = np.zeros((1, sum(cells), 80 + 32), np.float32)
    head[0, :, 80:] = np.random.default_rng(0).uniform(-3, 3, (sum(cells), 32))
    index = sum(cells[:2]) + 3 * 6 + 2  # row 3 and column 2 of stride 32: the point (64, 96)
    head[0, index, 80:], head[0, index, 5] = -50, 0.8
    for side, distance in enumerate((1, 1, 2, 1)):
        head[0, index, 80 + side * 8 + distance] = 50
    candidate = opened(write(tmp_path / "plus.onnx", {"output": head}))
    assert best(candidate) == ([32, 64, 128, 128], pytest.approx(0.8), 5)
    assert layout_of(candidate).family == "NanoDet-Plus"
