"""Packages of AOTInductor as artifacts, for servers: a whole detector as native code for processors like this one."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.export.aotinductor import read_info, require_torch
from paretodet.export.graph import AOTINDUCTOR, exported_graph
from paretodet.export.inductor import require_compiler
from paretodet.export.target import Target, Written

ARTIFACT = "detector.pt2"


class AotInductorTarget(Target):
    """One file. Its selection and crops are operators of this package, so it runs where `paretodet.ops` is imported."""

    name: ClassVar[str] = "aotinductor"
    runtime: ClassVar[str] = "aotinductor"
    precisions: ClassVar[tuple[str, ...]] = tuple(AOTINDUCTOR)
    libraries: ClassVar[tuple[str, ...]] = ()
    extras: ClassVar[str] = ""
    is_native: ClassVar[bool] = True

    def check(self, config: CandidateConfig) -> None:
        super().check(config)
        for require in (require_torch, require_compiler):
            require(f"export --to {self.name}")

    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        form = AOTINDUCTOR[config.precision or "fp32"]
        entry = exported_graph(detector, batch=batch, form=form)
        shutil.copyfile(entry.folder / form, folder / ARTIFACT)
        return Written(artifact=ARTIFACT)

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """The code is not looked at: a source asks for trust before it is loaded."""
        read_info(folder / artifact)
