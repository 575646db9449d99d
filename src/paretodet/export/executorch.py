"""Detectors as programs of ExecuTorch, lowered to XNNPACK. What XNNPACK cannot execute is left to portable kernels."""

from collections.abc import Callable
from pathlib import Path

import torch

from paretodet.detectors.detector import Detector
from paretodet.export.parts import part_inputs, part_program, parts
from paretodet.export.program import noise
from paretodet.export.unselected import unselected_program
from paretodet.writing import written

Write = Callable[[torch.export.ExportedProgram, Path], None]


def parts_to_pte(detector: Detector, folder: Path, *, batch: int = 1) -> None:
    """Writes each part of a detector (`export.parts`), in float32, as `NAME.pte`, for its spec's canvas."""
    _write_parts(detector, folder, batch, write_pte, ".pte")


def parts_to_pt2(detector: Detector, folder: Path, *, batch: int = 1) -> None:
    """Writes the same before it is lowered, for quantizers, as `NAME.pt2`."""
    _write_parts(detector, folder, batch, write_pt2, ".pt2")


def unselected_to_pte(detector: Detector, path: Path, *, batch: int = 1) -> None:
    """Writes a detector without its selection (`export.unselected`), in float32, for its spec's canvas."""
    write_pte(unselected_program(detector, batch, "NCHW"), path)


def unselected_to_pt2(detector: Detector, path: Path, *, batch: int = 1) -> None:
    """Writes the same before it is lowered, for quantizers."""
    write_pt2(unselected_program(detector, batch, "NCHW"), path)


def _write_parts(detector: Detector, folder: Path, batch: int, write: Write, suffix: str) -> None:
    inputs = part_inputs(detector, noise(batch, (detector.spec.height, detector.spec.width)))
    for name, part in parts(detector).items():
        write(part_program(part, inputs[name]), folder / f"{name}{suffix}")


def write_pte(program: torch.export.ExportedProgram, path: Path) -> None:
    """Lowers a program to XNNPACK."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    with written(path) as temporary, temporary.open("wb") as file:
        lowered.write_to_file(file)


def write_pt2(program: torch.export.ExportedProgram, path: Path) -> None:
    torch.export.save(program, path)
