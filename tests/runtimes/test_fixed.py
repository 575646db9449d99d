"""Sessions of a fixed batch with any number of images: their calls, their stages, and the times of their layers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from paretodet.records.profile import LayerTime
from paretodet.runtimes.fixed import in_batches, of_call, staged
from paretodet.types import Detections, Images

SIZE = 2


class Program:
    """Detects in each image its first pixel; it takes two images, and remembers what it was given."""

    def __init__(self, *, masks: bool) -> None:
        self.masks, self.sizes = masks, list[int]()

    def read(self, images: Images) -> Tensor:
        self.sizes.append(len(images.pixels))
        return images.pixels[:, 0, 0, 0].float()

    def double(self, values: Tensor) -> Tensor:
        return 2 * values

    def detect(self, values: Tensor) -> Detections:
        boxes = values[:, None, None].expand(-1, 3, 4)
        masks = boxes[..., None] if self.masks else None
        return Detections(boxes, boxes[..., 0], boxes[..., 0].long(), masks)

    @property
    def stages(self) -> Any:
        return ("read", self.read), ("double", self.double), ("detect", self.detect)

    def infer(self, images: Images) -> Detections:
        return self.detect(self.double(self.read(images)))


def images(count: int) -> Images:
    pixels = torch.arange(1, count + 1, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    return Images(pixels, torch.full((count, 2), 4.0))


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_stages_of_another_batch_are_the_call(count: int, masks: bool) -> None:
    program = Program(masks=masks)
    state: Any = images(count)
    stages = staged(program.stages, SIZE)
    for _, stage in stages:
        state = stage(state)
    assert [name for name, _ in stages] == ["read", "double", "detect"]
    assert state.scores[:, 0].tolist() == [2.0 * number for number in range(1, count + 1)]
    assert program.sizes == [SIZE] * -(-count // SIZE)
    wanted = in_batches(images(count), SIZE, program.infer)
    for found, other in zip(state, wanted, strict=True):
        assert found is other is None or torch.equal(found, other)


def test_stages_that_take_any_number_of_images_run_once() -> None:
    program = Program(masks=False)
    state: Any = images(3)
    for _, stage in staged(program.stages, None):
        state = stage(state)
    assert program.sizes == [3] and state.scores[:, 0].tolist() == [2.0, 4.0, 6.0]


@pytest.mark.parametrize(("count", "ms", "computed"), [(1, 3.0, 2), (2, 3.0, 2), (3, 6.0, 4)])
def test_the_times_of_one_batch_become_those_of_the_call(count: int, ms: float, computed: int) -> None:
    assert of_call([LayerTime("a", "Conv", 3.0)], images(count), SIZE) == (LayerTime("a", "Conv", ms, computed),)
