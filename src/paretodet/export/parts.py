"""A detector in parts for runtimes that lack suppression and crops: its layers as programs, the rest in torch.

A part is a function of one tensor that returns a tuple of tensors. `trunk` takes normalized pixels [B, 3, H, W] and
returns the first stage's predictions and the maps that later stages read. `stage2` and so on take the crops of a
stage's references and predict, `masks` those of the final boxes. Detectors of one stage are a trunk alone, as is R-FCN,
whose second stage only averages maps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector, Maps, normalized
from paretodet.detectors.spec import DetectorSpec
from paretodet.export.program import blank
from paretodet.types import Images, Predictions, References

INPUT = "values"  # of every part
TRUNK, MASKS = "trunk", "masks"
Part = Callable[[Tensor], Sequence[Tensor]]


def part_names(spec: DetectorSpec) -> tuple[str, ...]:
    """The trunk first."""
    later = [_stage(index) for index, stage in enumerate(spec.stages) if index and stage.head.crops_first]
    return (TRUNK, *later, *([MASKS] if spec.masks else []))


def output_names(part: str, count: int) -> tuple[str, ...]:
    """Of a part with so many outputs."""
    first = (MASKS,) if part == MASKS else Predictions._fields  # codes, logits
    return (*first, *(f"map{index}" for index in range(count - len(first))))


def module_paths(part: str) -> Mapping[str, str]:
    """The paths in a detector of the modules that a part holds, by attribute."""
    head = "mask_head" if part == MASKS else f"heads.{int(part.removeprefix('stage')) - 1}" if part != TRUNK else ""
    return {"detector": "", "head": head}


def parts(detector: Detector) -> dict[str, nn.Module]:
    """The parts of a detector by name, as modules that share its weights."""
    modules: dict[str, nn.Module] = {TRUNK: _Trunk(detector)}
    for index, stage in enumerate(detector.spec.stages):
        if index and stage.head.crops_first:
            modules[_stage(index)] = _Stage(detector, index)
    if detector.mask_head is not None:
        modules[MASKS] = _Masks(detector)
    return modules


def part_inputs(detector: Detector, images: Images) -> dict[str, Tensor]:
    """What each part gets if the detector runs on these images in eager PyTorch."""
    inputs: dict[str, Tensor] = {}

    def recorded(name: str, part: nn.Module) -> Part:
        def run(values: Tensor) -> Sequence[Tensor]:
            inputs[name] = values
            return cast(Sequence[Tensor], part(values))

        return run

    runs = {name: recorded(name, part) for name, part in parts(detector).items()}
    with torch.no_grad():
        PartedDetector(detector.spec, runs, images.pixels.shape[-2:])(images)
    return inputs


def part_program(part: nn.Module, values: Tensor) -> torch.export.ExportedProgram:
    """A part for an input of this shape, exported with `strict=True`."""
    with torch.no_grad():
        return torch.export.export(part, (torch.zeros_like(values).contiguous(),), strict=True)


def _stage(index: int) -> str:
    return f"stage{index + 1}"


class _Trunk(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector, self.count = detector, _cropped_maps(detector.spec)

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        maps = self.detector.maps(values)
        predictions = self.detector.heads[0](maps)
        if len(self.detector.heads) > 1 and not self.count:
            head: Any = self.detector.heads[1]
            return (*predictions, *head.score_maps(maps, self.detector.backbone.tail))
        return (*predictions, *maps[: self.count])


def _cropped_maps(spec: DetectorSpec) -> int:
    """The number of maps from which later stages crop."""
    crops = [stage.head.crop for stage in spec.stages[1:] if stage.head.crops_first]
    crops += [cast(Any, spec.masks.head).crop] if spec.masks else []
    return max((len(crop.strides) for crop in crops), default=0)


class _Stage(nn.Module):
    def __init__(self, detector: Detector, index: int) -> None:
        super().__init__()
        self.head: Any = detector.heads[index]
        self.backbone: Any = detector.backbone

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """[N, C, bins, bins] -> codes [N, D] and logits [N, S] of N references."""
        return tuple(self.head.outputs(crops, self.backbone.tail))


class _Masks(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.head: Any = detector.mask_head
        self.backbone: Any = detector.backbone

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return (self.head.outputs(crops, self.backbone.tail),)


class PartedDetector(Detector):
    """A detector without layers of its own: they are `runs`, the parts by name, wherever these are executed.

    Takes images on a canvas (height, width) of the sizes for which its parts were made.
    """

    def __init__(self, spec: DetectorSpec, runs: Mapping[str, Part], canvas: Sequence[int]) -> None:
        nn.Module.__init__(self)
        self.spec, self.runs = spec, runs
        self.mean, self.deviation = (
            torch.tensor(part).view(1, 3, 1, 1) for part in (spec.pixels.mean, spec.pixels.std)
        )
        self.backbone: Any = _NoLayers()
        later = [self._head(index) for index in range(1, len(spec.stages))]
        self.heads = nn.ModuleList([_Predicted(), *later])
        self.mask_head = _MaskRun(spec.masks.head, runs[MASKS]) if spec.masks else None
        self.references = spec.anchors(_maps(spec, (canvas[0], canvas[1])), (canvas[0], canvas[1]))

    def _head(self, index: int) -> nn.Module:
        head = self.spec.stages[index].head
        return _StageRun(head, self.runs[_stage(index)]) if head.crops_first else _Votes(head)

    def values(self, images: Images) -> Tensor:
        return normalized(images, self.mean, self.deviation)

    def maps(self, values: Tensor) -> Maps:
        """The outputs of the trunk: the first stage's predictions, then maps."""
        return tuple(self.runs[TRUNK](values.contiguous()))

    def anchors(self, maps: Maps, images: Images) -> References:
        return self.references


def _maps(spec: DetectorSpec, canvas: tuple[int, int]) -> tuple[Tensor, ...]:
    """Maps of the shapes that the network has on this canvas, without memory of their own."""
    with torch.device("meta"):
        maps = Detector(spec).eval().features(blank(1, canvas, "meta"))
    return tuple(torch.empty(()).expand(each.shape) for each in maps)


class _NoLayers(nn.Module):
    tail = None  # the programs of later stages include it


class _Predicted(nn.Module):
    """The first stage's head: its predictions are among the outputs of the trunk."""

    def forward(self, outputs: Maps) -> Predictions:
        return Predictions(*outputs[:2])


class _StageRun(nn.Module):
    """A region head that crops, and predicts by a program."""

    def __init__(self, head: Any, run: Part) -> None:
        super().__init__()
        self.head, self.run = head, run

    def forward(self, outputs: Maps, refs: References, canvas: tuple[int, int], tail: None) -> Predictions:
        return self.predict(self.crop(outputs, refs.boxes, canvas), refs, tail)

    def crop(self, outputs: Maps, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        return cast(Tensor, self.head.crop(outputs[2:], boxes, canvas))

    def predict(self, crops: Tensor, refs: References, tail: None) -> Predictions:
        return cast(Predictions, self.head.predictions(*self.run(crops.contiguous()), refs))


class _Votes(nn.Module):
    """R-FCN's region head, whose score maps are outputs of the trunk."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, outputs: Maps, refs: References, canvas: tuple[int, int], tail: None) -> Predictions:
        boxes, scores = outputs[2:]
        return cast(Predictions, self.head.vote(boxes, scores, refs, canvas))


class _MaskRun(nn.Module):
    """A mask branch that crops, and predicts by a program."""

    def __init__(self, head: Any, run: Part) -> None:
        super().__init__()
        self.head, self.run = head, run

    def forward(
        self, outputs: Maps, boxes: Tensor, labels: Tensor, canvas: tuple[int, int], tail: None = None
    ) -> Tensor:
        (masks,) = self.run(self.head.crop(outputs[2:], boxes, canvas).contiguous())
        return cast(Tensor, self.head.of_class(masks, labels))
