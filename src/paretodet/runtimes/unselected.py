"""What runtimes share that execute artifacts without selection (`export.unselected`): torch selects the detections."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from paretodet.errors import InputError
from paretodet.export.unselected import Layout
from paretodet.network import ArtifactNetwork
from paretodet.runtimes.fixed import FixedSession, above, selection_of, staged
from paretodet.runtimes.graph import Port
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.types import Detections, Images


class UnselectedProgram(Protocol):
    """An artifact that a runtime has loaded."""

    layout: Layout

    @property
    def inputs(self) -> Sequence[Port]: ...

    @property
    def outputs(self) -> Sequence[Port]: ...

    def __call__(self, pixels: Tensor, /) -> Sequence[Tensor]:
        """RGB uint8 in its layout, contiguous -> boxes [B, N, 4] and scores [B, N, K]."""
        ...

    def precisions(self) -> Mapping[str, int]:
        """Number of convolutions and matrix products that execute in each precision, read from the loaded program."""
        ...


class ArtifactState(NamedTuple):
    """What the artifact hands to the selection."""

    images: Images
    boxes: Tensor
    scores: Tensor


class UnselectedSession(FixedSession):
    """An artifact of a bundle, opened by `load`.

    Raises ValueError if it does not take the canvas and batch that its bundle states, or if the bundle describes no
    detector of this package.
    """

    def __init__(self, network: ArtifactNetwork, runtime: Runtime, load: Callable[[Path], UnselectedProgram]) -> None:
        start = perf_counter()
        self.path, self.open, self.program = network.path, load, load(network.path)
        self.runtime, self.fit, self.score = runtime, network.fit, network.score
        self.compile_ms, self.layers = round(1000 * (perf_counter() - start), 3), self.program.precisions()
        self.versions = runtime.settings()
        canvas = self.fit.canvas((1, 1))
        size = (*canvas, 3) if self.program.layout == "NHWC" else (3, *canvas)
        wanted, shapes = (network.batch, *size), [tuple(port.shape) for port in self.program.inputs]
        self.memory_format = torch.channels_last if self.program.layout == "NHWC" else torch.contiguous_format
        if shapes != [wanted]:
            message = f"{network.path}: takes {shapes}, and its bundle states {list(wanted)}; export it again"
            raise InputError(message, "bundle-altered")
        self.selection = selection_of(network)

    def settings(self) -> tuple[tuple[str, str], ...]:
        return self.versions

    def infer(self, images: Images) -> Detections:
        return self.select(self.predict(images))

    def stages(self) -> Stages:
        return staged((("network", self.predict), ("select", self.select)), self.runtime.batch)

    def predict(self, images: Images) -> ArtifactState:
        pixels = images.pixels if self.program.layout == "NCHW" else images.pixels.permute(0, 2, 3, 1)
        return ArtifactState(images, *self.program(pixels.contiguous()))

    def select(self, state: ArtifactState) -> Detections:
        return above(self.selection(state.boxes, state.scores, state.images.sizes), self.score)
