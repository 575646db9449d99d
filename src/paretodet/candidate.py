"""A network under a runtime as a Candidate: what bench, detect and evaluate see of everything that we run ourselves."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paretodet.bench.candidate import Image, Labeled, ModelInfo, Profiled
from paretodet.errors import ErrorId, InputError
from paretodet.evaluation.masks import Pasting
from paretodet.network import Network, digest
from paretodet.records.profile import LayerTime
from paretodet.runtimes.eager import Eager
from paretodet.runtimes.graph import UNKNOWN, FileSession
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.runtimes.table import no_profiler, others
from paretodet.transforms.resize_policy import to_batch, to_originals
from paretodet.types import Detections, Images

MAY_RUN_ELSEWHERE: tuple[ErrorId, ...] = ("operator-missing", "graph-failed", "export-failed", "parity-failed")


class NetworkCandidate:
    """Images to the canvas, the session's call, and boxes back to pixels of the images.

    The session may change the module of the network. Raises ValueError if the runtime cannot run the network, or
    executes another precision than the runtime's and not `allow_fallback`; MissingExtra if it needs a library that is
    not installed. `switchable`: whether the user can choose another runtime, which the error names then.
    """

    def __init__(
        self,
        network: Network,
        runtime: Runtime | None = None,
        *,
        allow_fallback: bool = False,
        switchable: bool = True,
    ) -> None:
        self.runtime = runtime or Eager()
        self.name, self.form, self.spec = network.name, network.form, network.spec
        self._describe, self._identity = network.describe, network.identity
        try:
            self.session = self.runtime.build(network)
        except InputError as error:
            if not switchable:
                raise
            raise _with_others(error, self.runtime, network) from error
        self.labels = self.session.labels if isinstance(self.session, Labeled) else network.labels
        if not allow_fallback and (other := self.other_precision):
            message = f"precision: {other}; --allow-fallback measures it as {self.session.facts()['precision']}"
            raise InputError(message, "precision-fallback")

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

    @torch.inference_mode()
    def profile(self, batch: Images, calls: int) -> tuple[LayerTime, ...]:
        """Raises InputError if the runtime does not time its layers."""
        if self.form not in self.runtime.timed_forms or not isinstance(self.session, Profiled):
            raise no_profiler(type(self.runtime), self.form, self.spec)
        return self.session.profile(batch, calls)

    @property
    def other_precision(self) -> str | None:
        """What is executed if it is known and not the precision that was requested, as a clause; None otherwise."""
        facts, wanted = self.session.facts(), self.runtime.precision
        if facts["precision"] in (wanted, UNKNOWN):
            return None
        layers = ", ".join(f"{count} in {name}" for name, count in (facts.get("precision_layers") or {}).items())
        return f"{wanted} is requested, but {self.runtime.name} executes {facts['precision']} ({layers})"

    @property
    def pasting(self) -> Pasting:
        """How its masks are drawn into an image."""
        return self.spec.masks.pasting if self.spec and self.spec.masks else "detectron"

    @property
    def reading(self) -> str | None:
        """What the outputs of its file are taken to mean, as one line; None if they have one meaning only."""
        return str(self.session.reading) if isinstance(self.session, FileSession) else None

    @property
    def doubt(self) -> str:
        """What speaks against the meaning that the outputs of its file are taken to have; empty if nothing does."""
        return self.session.reading.doubt if isinstance(self.session, FileSession) else ""

    def facts(self) -> ModelInfo:
        artifact = digest({**self._identity, **self.session.identity})
        described, facts = self._describe(), self.session.facts()
        settings = (*facts.get("runtime_settings", ()), *described.runtime_settings)
        return replace(described, **facts | {"runtime_settings": settings, "artefact": artifact})


def _with_others(error: InputError, runtime: Runtime, network: Network) -> InputError:
    """The error of a runtime that cannot run a network, with those that may. A file may be wrong in all of them, unless
    an operator is what is missing.
    """
    if error.id not in (MAY_RUN_ELSEWHERE if network.form == "torch" else MAY_RUN_ELSEWHERE[:1]):
        return error
    names = others(runtime, network.form, network.spec)
    return InputError(f"{error.message}; try --runtime {' or '.join(names)}", error.id) if names else error
