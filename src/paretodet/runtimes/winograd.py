"""Eager PyTorch whose 3x3 convolutions run by Winograd's algorithm, in fp32 on the CPU."""

from dataclasses import dataclass
from typing import ClassVar

from paretodet.errors import InputError
from paretodet.layers.winograd import with_winograd
from paretodet.network import Network, TorchNetwork
from paretodet.runtimes.eager import Eager, EagerSession


@dataclass(frozen=True, kw_only=True)
class Winograd(Eager):
    """Fewer multiplications in exchange for rounding errors of about 1e-5 and four times as much memory for kernels."""

    name: ClassVar[str] = "winograd"
    forms: ClassVar[tuple[str, ...]] = ("torch",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision not in self.precisions:
            raise InputError(f"precision: got {self.precision!r}, {self.name} runs fp32", "option-unsupported")
        if self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs on cpu", "option-unsupported")

    def build(self, network: Network) -> "WinogradSession":
        assert isinstance(network, TorchNetwork)
        return WinogradSession(network, self)


class WinogradSession(EagerSession):
    """A module whose convolutions have been replaced after its norms were folded into them."""

    def __init__(self, network: TorchNetwork, runtime: Winograd) -> None:
        super().__init__(network, runtime)
        self.module = with_winograd(self.module)
