"""Inductor, the compiler of torch.compile: one graph of fixed shapes with frozen weights, fp32 or bf16, CPU or CUDA."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError, first_line
from paretodet.export.inductor import inductor_cache, layer_precisions, require_compiler
from paretodet.export.program import TensorModule, blank
from paretodet.layers.device import known_device, tf32_settings
from paretodet.layers.precision import PRECISIONS, dtype
from paretodet.network import Network, TorchNetwork
from paretodet.runtimes.eager import fast
from paretodet.runtimes.fixed import FixedSession, fit_refusal
from paretodet.runtimes.runtime import Runtime
from paretodet.types import Detections, Images

OPTIONS: dict[str, Any] = {  # of Inductor; freezing makes constants of weights, laid out as the kernels read them
    "cpu": {"freezing": True},
    "cuda": {"freezing": True, "triton.cudagraphs": True, "custom_should_partition_ops": ["paretodet::nms"]},
}
Function = Callable[..., Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class Compiled(Runtime):
    """Compiles a whole network when it is built; its threads are torch's.

    On CUDA the kernels are recorded as CUDA graphs, as by `mode="reduce-overhead"`; suppression runs between them.
    """

    name: ClassVar[str] = "compiled"
    build_s: ClassVar[float] = 40.0
    forms: ClassVar[tuple[str, ...]] = ("torch",)
    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)

    def __post_init__(self) -> None:
        dtype(self.precision)
        known_device(self.device)

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        return ("torch._inductor.compile_fx",)

    @classmethod
    def require(cls, form: str) -> None:
        """Raises MissingExtra if there is no C++ compiler."""
        require_compiler(f"runtime {cls.name}")

    @classmethod
    def refusal(cls, form: str, spec: DetectorSpec | None) -> str | None:
        return fit_refusal(spec.fit, cls.name) if spec else None

    def build(self, network: Network) -> "CompiledSession":
        assert isinstance(network, TorchNetwork)
        self.require(network.form)
        return CompiledSession(network, self)


class CompiledSession(FixedSession):
    """A compiled network. Raises ValueError if it cannot be compiled as one graph.

    `compile_ms` is from the module to compiled code in memory, part of `load_ms`; it makes no call. The C++ code that
    Inductor generates stays compiled in the cache, so that the second process compiles faster.
    """

    memory_format = torch.channels_last
    runtime: Compiled

    def __init__(self, network: TorchNetwork, runtime: Compiled) -> None:
        super().__init__(network, runtime)
        self.options = OPTIONS[torch.device(runtime.device).type]
        self.layers = layers = Counter[str]()
        start = perf_counter()
        with inductor_cache():
            try:
                self._function = self._compile(network, layers)
            except Exception as error:  # the compiler's own exceptions share no base
                message = f"runtime: {network.name} cannot be compiled as one graph ({first_line(error)})"
                raise InputError(message, "graph-failed") from error
        self.compile_ms = round(1000 * (perf_counter() - start), 3)

    def settings(self) -> tuple[tuple[str, str], ...]:
        options = ((key, str(value)) for key, value in self.options.items())
        return ("version", torch.__version__), *options, *tf32_settings(self.runtime.device)

    def infer(self, images: Images) -> Detections:
        """CUDA graphs write the outputs of every call to the same memory; the caller copies them (`in_batches`)."""
        pixels, sizes = images.to(self.runtime.device)
        return Detections(*self._function(pixels.contiguous(memory_format=self.memory_format), sizes))

    def _compile(self, network: TorchNetwork, layers: Counter[str]) -> Function:
        runtime = self.runtime
        module = fast(network.module, device=runtime.device, precision=runtime.precision, fold=network.fold)
        pixels, sizes = blank(runtime.batch, self.fit.canvas((1, 1)), runtime.device)
        return compiled(module, (pixels.contiguous(memory_format=self.memory_format), sizes), self.options, layers)


def compiled(
    module: nn.Module, inputs: tuple[Tensor, ...], options: Mapping[str, Any], layers: Counter[str]
) -> Function:
    """The module as a function of tensors of these shapes; counts in `layers` what its graph executes.

    It is exported first and not traced at its first call, so that it has no guards and never compiles again.
    """
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    def counted(graph: GraphModule, *args: Any, **kwargs: Any) -> Any:
        layers.update(layer_precisions(graph))
        return compile_fx_inner(graph, *args, **kwargs)

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts of torch about each other
        program = torch.export.export(TensorModule(module), inputs, strict=True).module()
        patches = {**options, "compile_threads": 1}  # a pool of compilers would outlive the build
        return cast(Function, compile_fx(program, list(inputs), inner_compile=counted, config_patches=patches))
