"""Eager PyTorch: norms folded, channels-last, fp32 or bf16, on CPU or CUDA."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from paretodet.bench.clock import Clock
from paretodet.errors import InputError
from paretodet.layers.device import known_device
from paretodet.layers.fold import fold_norms
from paretodet.layers.precision import PRECISIONS, dtype
from paretodet.network import Network, TorchNetwork
from paretodet.records.profile import LayerTime
from paretodet.runtimes.module_times import module_times
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.types import Detections, Images


@dataclass(frozen=True, kw_only=True)
class Eager(Runtime):
    """Calls the module as it is, with the threads that this process has given torch: the bench gives it the job's."""

    name: ClassVar[str] = "eager"
    forms: ClassVar[tuple[str, ...]] = ("torch",)
    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)
    times_layers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        dtype(self.precision)
        known_device(self.device)
        if self.threads not in (None, torch.get_num_threads()):
            raise InputError(
                f"threads: got {self.threads}, but torch has {torch.get_num_threads()} in this process: "
                f"call torch.set_num_threads({self.threads}) before, or leave it out",
                "option-conflict",
            )

    def build(self, network: Network) -> "EagerSession":
        assert isinstance(network, TorchNetwork)
        return EagerSession(network, self)


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
        return {"device": self.runtime.device, "runtime": self.runtime.name, "precision": self.runtime.precision}


def fast(module: nn.Module, *, device: str = "cpu", precision: str = "fp32", fold: bool = True) -> nn.Module:
    """Norms folded, on the wanted device; the children channels-last in the wanted precision."""
    module = (fold_norms(module) if fold else module).to(device)
    for part in module.children():
        part.to(dtype(precision)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module.requires_grad_(False)
