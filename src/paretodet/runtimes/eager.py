"""Eager PyTorch: norms folded, channels-last, fp32 or bf16, on CPU or CUDA."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from paretodet.bench.clock import Clock
from paretodet.errors import InputError, first_line
from paretodet.export import pt2
from paretodet.export.layers import KINDS
from paretodet.export.unselected import OUTPUTS, PIXELS, Layout
from paretodet.layers.device import known_device, tf32_settings
from paretodet.layers.fold import fold_norms
from paretodet.layers.precision import PRECISIONS, dtype, in_precision
from paretodet.network import ArtifactNetwork, Network, TorchNetwork
from paretodet.records.profile import LayerTime
from paretodet.runtimes.fixed import executed
from paretodet.runtimes.graph import Port
from paretodet.runtimes.module_times import module_times
from paretodet.runtimes.runtime import Runtime, Session, Stages
from paretodet.runtimes.unselected import UnselectedSession
from paretodet.types import Detections, Images

LAYERS = {  # operators with weights, the second of their arguments
    torch.ops.aten.conv2d.default,
    torch.ops.aten.conv2d.padding,
    torch.ops.aten.conv_transpose2d.input,
    torch.ops.aten.linear.default,
}
_NAMES = {kind: name for name, kind in PRECISIONS.items()}


@dataclass(frozen=True, kw_only=True)
class Eager(Runtime):
    """Calls the module as it is, with the threads that this process has given torch: the bench gives it the job's."""

    name: ClassVar[str] = "eager"
    forms: ClassVar[tuple[str, ...]] = ("torch", "torch-bundle")
    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)
    timed_forms: ClassVar[tuple[str, ...]] = ("torch",)

    def __post_init__(self) -> None:
        dtype(self.precision)
        known_device(self.device)
        check_threads(self.threads)

    def build(self, network: Network) -> Session:
        if isinstance(network, ArtifactNetwork):
            if self.device != "cpu":
                raise InputError(f"device: got {self.device!r}, a bundle of torch runs on cpu", "option-unsupported")
            return UnselectedSession(network, replace(self, batch=network.batch or self.batch), ExportedDetector)
        assert isinstance(network, TorchNetwork)
        return EagerSession(network, self)


def check_threads(threads: int | None) -> None:
    """Raises InputError if torch has another number of threads in this process."""
    if threads not in (None, torch.get_num_threads()):
        raise InputError(
            f"threads: got {threads}, but torch has {torch.get_num_threads()} in this process: "
            f"call torch.set_num_threads({threads}) before, or leave it out",
            "option-conflict",
        )


class EagerSession:
    """A module on its device, in its precision; boxes stay float32."""

    memory_format = torch.channels_last

    def __init__(self, network: TorchNetwork, runtime: Eager) -> None:
        self.runtime, self.fit = runtime, network.fit
        self.module = fast(network.module, device=runtime.device, precision=runtime.precision, fold=network.fold)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"runtime": self.runtime.name, "precision": self.runtime.precision}

    def __call__(self, images: Images) -> Detections:
        return self.module(images.to(self.runtime.device))

    def stages(self) -> Stages:
        (name, first), *rest = self.module.stages()  # type: ignore[operator]
        return (name, lambda batch: first(batch.to(self.runtime.device))), *rest

    def profile(self, images: Images, calls: int) -> tuple[LayerTime, ...]:
        """By module; a GPU is waited for at the borders of every module."""
        return module_times(self.module, self.stages(), images, calls, wait=Clock(self.runtime.device).wait)

    def facts(self) -> dict[str, Any]:
        layers = Counter(_precision(part) for part in self.module.modules() if isinstance(part, KINDS))
        return {
            "device": self.runtime.device,
            "runtime": self.runtime.name,
            "precision": executed(layers) or self.runtime.precision,
            "precision_layers": dict(layers) or None,
            "runtime_settings": tf32_settings(self.runtime.device),
        }


def _precision(layer: nn.Module) -> str:
    """That of its weights, in which torch computes."""
    return _NAMES.get(next(layer.parameters()).dtype, "other")


def fast(module: nn.Module, *, device: str = "cpu", precision: str = "fp32", fold: bool = True) -> nn.Module:
    """Norms folded, on the wanted device; the children channels-last in the wanted precision."""
    module = (fold_norms(module) if fold else module).to(device)
    return in_precision(module, precision).requires_grad_(False)


class ExportedDetector:
    """The artifact of a bundle (`export.pt2`). Raises ValueError if torch cannot load it."""

    layout: Layout = "NCHW"

    def __init__(self, path: Path) -> None:
        try:
            program = pt2.load(path)
            self.module = program.module(check_guards=False)
        except InputError:
            raise
        except Exception as error:  # of many kinds
            raise InputError(f"{path}: torch cannot load this program ({first_line(error)})", "graph-failed") from error
        signature, values = program.graph_signature, {node.name: node.meta.get("val") for node in program.graph.nodes}
        self.inputs = _ports((PIXELS,), signature.user_inputs, values)
        self.outputs = _ports(OUTPUTS, signature.user_outputs, values)
        layers = (node for node in program.graph.nodes if node.target in LAYERS)
        self.layers = Counter(_NAMES.get(node.args[1].meta["val"].dtype, "other") for node in layers)

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        outputs: Sequence[Tensor] = self.module(pixels)
        return outputs

    def precisions(self) -> Mapping[str, int]:
        return self.layers


def _ports(names: Sequence[str], nodes: Sequence[Any], values: Mapping[str, Any]) -> tuple[Port, ...]:
    tensors = zip(names, (values[node] for node in nodes), strict=True)
    return tuple(Port(name, tuple(each.shape), str(each.dtype).removeprefix("torch.")) for name, each in tensors)
