"""LiteRT files as artifacts, for phones: everything up to the scores of all boxes, which the program selects from."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.export.graph import TFLITE, exported_graph
from paretodet.export.int8 import quantized_unselected
from paretodet.export.litert_int8 import LiteRtInt8
from paretodet.export.quantizer import Quantizer
from paretodet.export.target import Target, Written, check_references
from paretodet.export.tflite_references import references
from paretodet.export.unselected import MEANINGS, check_one_stage


class LiteRtTarget(Target):
    """One file, batch norms folded, of a one-stage detector without its suppression, which LiteRT lacks.

    Its input is `pixels` [B, H, W, 3], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "litert"
    runtime: ClassVar[str] = "litert"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert", "litert_torch")
    extras: ClassVar[str] = "litert"
    quantizer: ClassVar[Quantizer | None] = LiteRtInt8()
    meanings: ClassVar[Mapping[str, str]] = MEANINGS

    def write(self, detector: Detector, folder: Path, config: CandidateConfig) -> Written:
        check_one_stage(detector.spec, "LiteRT")
        if images := self.calibration(config):
            entry = quantized_unselected(LiteRtInt8(), images, detector, batch=config.batch)
        else:
            entry = exported_graph(detector, batch=config.batch, form=TFLITE)
        shutil.copyfile(entry.folder / TFLITE, folder / TFLITE)
        return Written(artifact=TFLITE)

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        check_references(folder / artifact, files, references)
