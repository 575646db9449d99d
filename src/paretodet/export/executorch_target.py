"""Programs of ExecuTorch as artifacts, for phones: everything up to the scores of all boxes."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.executorch_int8 import ExecuTorchInt8
from paretodet.export.graph import PTE, exported_graph
from paretodet.export.int8 import quantized_unselected
from paretodet.export.pte import XNNPACK, executed_by
from paretodet.export.quantizer import Quantizer
from paretodet.export.target import Target, Written
from paretodet.export.unselected import MEANINGS, check_one_stage

LIBRARIES = {"aten", "dim_order_ops", "executorch_prim", "quantized_decomposed"}  # of operators: ExecuTorch's own


class ExecuTorchTarget(Target):
    """One file for XNNPACK, batch norms folded, of a one-stage detector without its suppression.

    Its input is `pixels` [B, 3, H, W], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "executorch"
    runtime: ClassVar[str] = "executorch"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    libraries: ClassVar[tuple[str, ...]] = ("executorch",)
    extras: ClassVar[str] = "executorch"
    quantizer: ClassVar[Quantizer | None] = ExecuTorchInt8()
    meanings: ClassVar[Mapping[str, str]] = MEANINGS

    def write(self, detector: Detector, folder: Path, config: CandidateConfig) -> Written:
        check_one_stage(detector.spec, "ExecuTorch")
        if images := self.calibration(config):
            entry = quantized_unselected(ExecuTorchInt8(), images, detector, batch=config.batch)
        else:
            entry = exported_graph(detector, batch=config.batch, form=PTE)
        shutil.copyfile(entry.folder / PTE, folder / PTE)
        return Written(artifact=PTE)

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
