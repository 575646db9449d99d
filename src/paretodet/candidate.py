"""A network under a runtime as a Candidate: what bench, detect and evaluate see of everything that we run ourselves."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.network import Network, digest
from paretodet.runtimes.eager import Eager
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.transforms.resize_policy import to_batch, to_originals
from paretodet.types import Detections, Images


class NetworkCandidate:
    """Images to the canvas, the session's call, and boxes back to pixels of the images.

    The session may change the module of the network. Raises ValueError if the runtime cannot run the network,
    MissingExtra if it needs a library that is not installed.
    """

    def __init__(self, network: Network, runtime: Runtime | None = None) -> None:
        self.runtime = runtime or Eager()
        self.name, self.labels, self.spec = network.name, network.labels, network.spec
        self._describe, self._identity = network.describe, network.identity
        self.session = self.runtime.build(network)

    def prepare(self, images: Sequence[Image]) -> Images:
        """Decoded images -> one batch in host memory."""
        pixels, sizes = to_batch(images, self.session.fit)
        return Images(pixels.contiguous(memory_format=self.session.memory_format), sizes)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Detections:
        return self.session(batch)

    def finish(self, outputs: Detections, sizes: Tensor) -> Detections:
        """To host memory and back to pixels of the original images."""
        return to_originals(outputs.to("cpu"), self.session.fit, sizes)

    def stages(self) -> Stages:
        return tuple((name, torch.inference_mode()(step)) for name, step in self.session.stages())

    def facts(self) -> ModelInfo:
        artefact = digest({**self._identity, **self.session.identity})
        return replace(self._describe(), **self.session.facts(), artefact=artefact)
