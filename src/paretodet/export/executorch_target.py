"""Programs of ExecuTorch as artifacts, for phones: everything up to the scores of all boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from paretodet.errors import InputError
from paretodet.export.executorch_int8 import ExecuTorchInt8
from paretodet.export.graph import PTE
from paretodet.export.program_target import ProgramTarget
from paretodet.export.programs_int8 import ProgramQuantizer
from paretodet.export.pte import XNNPACK, executed_by

LIBRARIES = {"aten", "dim_order_ops", "executorch_prim", "quantized_decomposed"}  # of operators: ExecuTorch's own


class ExecuTorchTarget(ProgramTarget):
    """One file for XNNPACK, batch norms folded, of a one-stage detector without its suppression.

    Its input is `pixels` [B, 3, H, W], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "executorch"
    title: ClassVar[str] = "ExecuTorch"
    file: ClassVar[str] = PTE
    runtime: ClassVar[str] = "executorch"
    libraries: ClassVar[tuple[str, ...]] = ("executorch",)
    extras: ClassVar[str] = "executorch"
    quantizer: ClassVar[ProgramQuantizer] = ExecuTorchInt8()

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """A program reads no other file unless the runtime asks it to, which ours does not."""
        path = folder / artifact
        found = executed_by(path)
        if foreign := sorted(found.backends - {XNNPACK}):
            message = f"{path}: it needs the backend {foreign[0]!r}, and only {XNNPACK} is allowed"
            raise InputError(message, "bundle-unsafe")
        if unknown := sorted({name.partition("::")[0] for name in found.operators} - LIBRARIES):
            message = f"{path}: it needs operators of {unknown[0]!r}, and libraries of operators are not loaded"
            raise InputError(message, "bundle-unsafe")
