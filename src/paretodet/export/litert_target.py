"""LiteRT files as artifacts, for phones: everything up to the scores of all boxes, which the program selects from."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.graph import TFLITE, exported_graph
from paretodet.export.target import Target, Written
from paretodet.export.tflite_references import references


class LiteRtTarget(Target):
    """One file, batch norms folded, of a one-stage detector without its suppression, which LiteRT lacks.

    Its input is `pixels` [B, H, W, 3], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "litert"
    runtime: ClassVar[str] = "litert"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert", "litert_torch")
    extras: ClassVar[str] = "litert"
    meanings: ClassVar[Mapping[str, str]] = {
        "boxes": "x1, y1, x2, y2 in pixels of the canvas, of every box, before suppression",
        "scores": "0 to 1, of every box for each of `labels`",
    }

    def write(self, detector: Detector, folder: Path, config: CandidateConfig) -> Written:
        if len(detector.spec.stages) > 1 or detector.mask_head is not None:
            message = (
                f"to: {detector.spec.name} cannot be a LiteRT file: LiteRT lacks NonMaxSuppression, which stands "
                f"between its {len(detector.spec.stages)} stages; give --to onnx"
            )
            raise InputError(message, "export-failed")
        entry = exported_graph(detector, batch=config.batch, form=TFLITE)
        shutil.copyfile(entry.folder / TFLITE, folder / TFLITE)
        return Written(artifact=TFLITE)

    def references(self, path: Path) -> tuple[frozenset[str], frozenset[str]]:
        return references(path)
