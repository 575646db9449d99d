"""What sessions that are made for one batch size and one canvas have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch

from paretodet.detectors.spec import DetectorSpec, from_json
from paretodet.errors import InputError, first_line
from paretodet.export.unselected import Selection
from paretodet.network import ArtifactNetwork, TorchNetwork
from paretodet.records.profile import LayerTime
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.transforms.resize_policy import ResizePolicy, ShortSide
from paretodet.types import Detections, Images


class FixedSession(ABC):
    """A network that was compiled for the runtime's batch and the canvas of its fit; subclasses compile it.

    Raises ValueError if the canvas follows the shape of each image.
    """

    memory_format = torch.contiguous_format
    compile_ms: float
    layers: Mapping[str, int]  # convolutions and matrix products by the precision in which they execute

    def __init__(self, network: TorchNetwork, runtime: Runtime) -> None:
        self.runtime, self.fit = runtime, fixed_fit(network, runtime.name)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"runtime": self.runtime.name, "precision": self.runtime.precision}

    @abstractmethod
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The version of the library and what was set, for the row."""

    @abstractmethod
    def infer(self, images: Images) -> Detections:
        """One call with a batch of the runtime's size."""

    def __call__(self, images: Images) -> Detections:
        return in_batches(images, self.runtime.batch, self.infer)

    def stages(self) -> Stages:
        return ()

    def facts(self) -> dict[str, Any]:
        return {
            "device": self.runtime.device,
            "runtime": self.runtime.name,
            "runtime_settings": self.settings(),
            "precision": executed(self.layers) or self.runtime.precision,
            "precision_layers": dict(self.layers) or None,
            "compile_ms": self.compile_ms,
        }


def fixed_fit(network: TorchNetwork, runtime: str) -> ResizePolicy:
    """The network's fit. Raises ValueError if its canvas follows the shape of each image."""
    if why := fit_refusal(network.fit, runtime):
        raise InputError(f"{why} ({network.name})", "option-unsupported")
    return network.fit


def fit_refusal(fit: ResizePolicy, runtime: str) -> str | None:
    """Why a runtime cannot run networks of this fit, if its canvas follows the shape of each image."""
    if not isinstance(fit, ShortSide):
        return None
    return (
        f"fit: the canvas follows each image, and {runtime} needs one of a fixed size: give --fit stretch or letterbox"
    )


def selection_of(network: ArtifactNetwork) -> Selection:
    """What follows an artifact without selection (`export.unselected`) on the canvas of its fit.

    Raises InputError if its bundle describes no detector of one stage of this package.
    """
    return Selection(_one_stage(network), network.fit.canvas((1, 1)))


def _one_stage(network: ArtifactNetwork) -> DetectorSpec:
    cause = "it has several stages"
    try:
        spec = from_json(network.describe().spec or "{}")
        if len(spec.stages) == 1:
            return spec
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        cause = first_line(error)
    message = f"{network.path.parent}: its spec is not of a detector of one stage ({cause}); export the bundle again"
    raise InputError(message, "bundle-altered")


def above(found: Detections, score: float | None) -> Detections:
    """Detections whose slots that score no more than `score` are empty; None: as they are."""
    return found if score is None else found._replace(scores=found.scores.masked_fill(found.scores <= score, 0))


def in_batches(images: Images, size: int, run: Callable[[Images], Detections]) -> Detections:
    """What `run` detects in the `batches` of `size`."""
    return _joined(map(run, batches(images, size)), len(images.pixels))


class _InBatches(NamedTuple):
    """What a stage returns for each of the `batches` of so many images."""

    images: int
    results: list[Any]

    def through(self, stage: Callable[[Any], Any]) -> "_InBatches":
        return self._replace(results=[stage(each) for each in self.results])


def staged(stages: Stages, size: int | None) -> Stages:
    """Stages that take `size` images, as stages of any number: each runs once for each of the `batches`. None: stages
    that take any number run once.
    """
    (name, first), *between, (end, last) = stages

    def started(images: Images) -> _InBatches:
        count = len(images.pixels)
        return _InBatches(count, [*batches(images, size or count)]).through(first)

    def ended(state: _InBatches) -> Detections:
        return _joined(state.through(last).results, state.images)

    steps = ((middle, partial(_InBatches.through, stage=stage)) for middle, stage in between)
    return (name, started), *steps, (end, ended)


def _joined(found: Iterable[Detections], count: int) -> Detections:
    """The first `count` of what was detected in batches, of which the last one may be filled up."""
    fields = zip(*found, strict=True)
    return Detections(*(torch.cat(parts)[:count] for parts in fields if parts[0] is not None))


def of_call(times: Iterable[LayerTime], images: Images, size: int) -> tuple[LayerTime, ...]:
    """The times of layers in one of the `batches` as those of a whole call, which computes all of them."""
    runs = -(-len(images.pixels) // size)
    return tuple(time._replace(ms=runs * time.ms, images=runs * size) for time in times)


def batches(images: Images, size: int) -> Iterator[Images]:
    """The images in batches of `size`; the last batch is filled up with copies of the first image."""
    count = len(images.pixels)
    missing = -count % size
    whole = [torch.cat((part, part[:1].expand(missing, *part.shape[1:]))) for part in images] if missing else images
    return (Images(*(part[start : start + size] for part in whole)) for start in range(0, count, size))


def executed(layers: Mapping[str, int]) -> str | None:
    """The precision of most layers; None where the runtime does not tell."""
    return max(layers, key=layers.__getitem__) if layers else None
