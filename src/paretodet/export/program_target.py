"""What the forms of an artifact for phones share: one program up to the scores of all boxes, in float32 or int8."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.export.graph import exported_graph
from paretodet.export.int8 import quantized_unselected
from paretodet.export.programs_int8 import ProgramQuantizer
from paretodet.export.target import Suppression, Target, Written
from paretodet.export.unselected import MEANINGS, check_one_stage


class ProgramTarget(Target):
    """One file of a one-stage detector without its suppression, batch norms folded."""

    title: ClassVar[str]  # what the runtime is called in messages
    file: ClassVar[str]  # a form of `export.graph`, of which there is one file
    suppression: ClassVar[Suppression] = "out"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    quantizer: ClassVar[ProgramQuantizer]  # writes a file of the same name
    meanings: ClassVar[Mapping[str, str]] = MEANINGS

    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        check_one_stage(detector.spec, self.title)
        if images := self.calibration(config):
            entry = quantized_unselected(self.quantizer, images, detector, batch=batch or 1)
        else:
            entry = exported_graph(detector, batch=batch, form=self.file)
        shutil.copyfile(entry.folder / self.file, folder / self.file)
        return Written(artifact=self.file)
