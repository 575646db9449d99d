"""Programs of torch in files, as torch executes them: TorchScript by its interpreter, torch.export's by their graph.

Opening such a file can run code of its author, so a source asks for trust before; one that is not trusted is loaded
without what torch would run as code.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from paretodet.errors import InputError, first_line
from paretodet.export.pt2 import load_of_others
from paretodet.layers.device import known_device
from paretodet.network import Network, OnnxNetwork
from paretodet.readings.conventions import ultralytics
from paretodet.readings.evidence import MODULE
from paretodet.readings.torch_archive import read_graph
from paretodet.runtimes.eager import check_threads
from paretodet.runtimes.graph import Feed, FileSession, GraphRuntime, Port
from paretodet.runtimes.onnx_input import SIDE

IMAGE = "images"
TYPES = {torch.uint8: "tensor(uint8)", torch.float16: "tensor(float16)"}  # of inputs; others take float32


@dataclass(frozen=True, kw_only=True)
class TorchPrograms(GraphRuntime):
    """Calls the program of a file with the threads that this process has given torch."""

    name: ClassVar[str] = "torch-program"
    forms: ClassVar[tuple[str, ...]] = ("torch-program",)
    libraries: ClassVar[tuple[str, ...]] = ()
    size: tuple[int, int] | None = None  # (height, width) of the canvas; None: as the file states
    trusted: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        known_device(self.device)
        check_threads(self.threads)

    def build(self, network: Network) -> FileSession:
        assert isinstance(network, OnnxNetwork)
        return FileSession(network, self.for_file(network))

    def for_file(self, network: OnnxNetwork) -> "TorchPrograms":
        return replace(self, size=network.size, trusted=network.trusted)

    def compile(self, path: Path) -> "TorchProgram":
        return TorchProgram(path, self.device, self.size, trusted=self.trusted)

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ()  # the version of torch is in every row


class TorchProgram:
    """A loaded program, whose outputs are known by one run. Raises InputError if torch cannot load or run it."""

    def __init__(self, path: Path, device: str, size: tuple[int, int] | None, *, trusted: bool) -> None:
        self.path, self.device = path, device
        height, width = size or ultralytics.canvas(read_graph(path).metadata) or (SIDE, SIDE)
        self.call, kind, stated = _loaded(path, device, trusted)
        shape = tuple(
            side if isinstance(side, int) else usual for side, usual in zip(stated, (1, 3, height, width), strict=True)
        )
        self.inputs: Sequence[Port] = (Port(IMAGE, shape, TYPES.get(kind, "tensor(float)")),)
        self.outputs: Sequence[Port] = ()
        values = self._run(torch.zeros(shape, dtype=kind if kind in TYPES else torch.float32))
        self.outputs = tuple(
            Port(name, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in values.items()
        )

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        return [value.cpu().numpy() for value in self._run(torch.from_numpy(feed[IMAGE])).values()]

    def precisions(self) -> Mapping[str, int]:
        return {}

    @torch.inference_mode()
    def _run(self, pixels: Tensor) -> dict[str, Tensor]:
        """All tensors that it returns, by their names, or as "output0", ... in order."""
        try:
            found = self.call(pixels.to(self.device))
        except Exception as error:  # a program can raise anything
            size = "x".join(map(str, pixels.shape[2:]))
            message = f"{self.path}: cannot run at {size} ({first_line(error)}); give its size by --size"
            raise InputError(message, "graph-failed") from None
        if isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values()):
            return {str(name): value for name, value in found.items()}
        tensors = (value for value in tree_leaves(found) if isinstance(value, Tensor))
        return {f"output{index}": value for index, value in enumerate(tensors)}


def _loaded(path: Path, device: str, trusted: bool) -> tuple[Any, torch.dtype, Sequence[Any]]:
    """The program on a device, and type and shape of its images, of which open sizes are no integers."""
    try:
        if path.suffix == ".pt2":
            program = torch.export.load(path) if trusted else load_of_others(path)
            module: Any = program.module(check_guards=False).to(device)
            image = _image(program)
            return module, image.dtype, tuple(image.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript
            scripted = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        return scripted, next((each.dtype for each in scripted.parameters()), torch.float32), (None,) * 4
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.id) from None
    except Exception as error:  # of many kinds
        raise InputError(f"{path}: torch cannot load this program ({first_line(error)})", "graph-failed") from error


def _image(program: torch.export.ExportedProgram) -> Tensor:
    """The only input. Raises InputError for other inputs."""
    names = program.graph_signature.user_inputs
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(values) != 1 or not isinstance(values[0], Tensor) or values[0].ndim != 4:
        raise InputError(f"takes {len(values)} inputs, known is one image, [B, 3, H, W]; {MODULE}", "onnx-layout")
    return values[0]
