"""Detections on photographs, as data and as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from paretodet.data.draw import Found
from paretodet.data.images import Photographs
from paretodet.detect import detect, document, draw_all
from paretodet.evaluation.evaluator import decode
from paretodet.images import ImageError
from paretodet.types import Detections

PICTURES = Photographs(
    (np.full((40, 60, 3), 9, np.uint8), np.full((30, 20, 3), 9, np.uint8)), ("a.png", "b.png"), "here"
)


class Corner:
    """Finds the whole image as label 2, its left half as label 0, and leaves a slot empty."""

    name = "corner"
    labels = ("half", None, "whole")

    def prepare(self, images: Sequence[np.ndarray]) -> int:
        return len(images)

    def infer(self, batch: int) -> Tensor:
        return torch.tensor([[0.75, 0.25, 0.0]]).expand(batch, 3)

    def finish(self, outputs: Tensor, sizes: Tensor) -> Detections:
        (height, width), zero = sizes[0], torch.tensor(0.0)
        whole, half = torch.stack((zero, zero, width, height)), torch.stack((zero, zero, width / 2, height))
        return Detections(torch.stack((whole, half, whole))[None], outputs, torch.tensor([[2, 0, 0]]))


def test_boxes_are_named_in_pixels_of_each_photograph() -> None:
    first, second = detect(Corner(), PICTURES.images)
    assert [(item.label, item.score, item.box) for item in first] == [
        ("whole", 0.75, (0, 0, 60, 40)),
        ("half", 0.25, (0, 0, 30, 40)),
    ]
    assert second[0].box == (0, 0, 20, 30)


def test_names_may_be_given_and_numbers_stand_where_there_are_none() -> None:
    assert [item.label for item in next(detect(Corner(), PICTURES.images, labels=("x",)))] == ["2", "x"]


def test_the_document() -> None:
    found = list(detect(Corner(), PICTURES.images))
    assert document(PICTURES, found)[1] == {
        "image": "b.png",
        "width": 20,
        "height": 30,
        "detections": [
            {"label": "whole", "score": 0.75, "box": [0, 0, 20, 30]},
            {"label": "half", "score": 0.25, "box": [0, 0, 10, 30]},
        ],
    }


class Shaped(Corner):
    """As `Corner`, each box with a full mask."""

    def finish(self, outputs: Tensor, sizes: Tensor) -> Detections:
        return super().finish(outputs, sizes)._replace(masks=torch.ones(1, 3, 28, 28))


def test_masks_are_in_the_document_as_run_lengths() -> None:
    found = list(detect(Shaped(), PICTURES.images))
    whole, half = document(PICTURES, found)[0]["detections"]
    assert whole["segmentation"]["size"] == half["segmentation"]["size"] == [40, 60]
    assert decode(whole["segmentation"])[1:39, 1:59].all()
    assert decode(half["segmentation"])[1:39, 1:29].all() and not decode(half["segmentation"])[:, 32:].any()


def test_pictures_are_drawn_under_their_own_names(tmp_path: Path) -> None:
    box = (5.0, 10.0, 50.0, 35.0)
    found = [[Found(label="sure", score=0.9, box=box)], [Found(label="faint", score=0.1, box=(2, 2, 15, 20))]]
    paths = draw_all(PICTURES, found, tmp_path / "out")
    assert paths == (tmp_path / "out" / "a.png", tmp_path / "out" / "b.png")
    drawn = [np.asarray(Image.open(path)) for path in paths]
    assert (drawn[0] != 9).any() and (drawn[1] == 9).all()  # the faint one is drawn only when asked for
    assert (np.asarray(Image.open(draw_all(PICTURES, found, tmp_path / "all", score=0.05)[1])) != 9).any()


def test_no_photograph_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    pictures = Photographs(PICTURES.images[:1], (str(tmp_path / "a.png"),), "here")
    with pytest.raises(ImageError, match="would replace a picture"):
        draw_all(pictures, [[]], tmp_path)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    twins = Photographs(PICTURES.images, ("x/a.png", "y/a.png"), "here")
    with pytest.raises(ImageError, match="would replace a picture"):
        draw_all(twins, [[], []], tmp_path / "out")
