"""LiteRT files as artifacts, for phones: everything up to the scores of all boxes, which the program selects from."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from paretodet.export.graph import TFLITE
from paretodet.export.litert_int8 import LiteRtInt8
from paretodet.export.program_target import ProgramTarget
from paretodet.export.programs_int8 import ProgramQuantizer
from paretodet.export.target import check_references
from paretodet.export.tflite_references import references


class LiteRtTarget(ProgramTarget):
    """One file, batch norms folded, of a one-stage detector without its suppression, which LiteRT lacks.

    Its input is `pixels` [B, H, W, 3], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "litert"
    title: ClassVar[str] = "LiteRT"
    file: ClassVar[str] = TFLITE
    runtime: ClassVar[str] = "litert"
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert", "litert_torch")
    extras: ClassVar[str] = "litert"
    quantizer: ClassVar[ProgramQuantizer] = LiteRtInt8()

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        check_references(folder / artifact, files, references)
