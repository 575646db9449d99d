"""The parts of a detector as programs of ExecuTorch, lowered to XNNPACK."""

from pathlib import Path

from paretodet.detectors.detector import Detector
from paretodet.export.parts import part_inputs, part_program, parts
from paretodet.export.program import noise
from paretodet.writing import written


def parts_to_pte(detector: Detector, folder: Path, *, batch: int = 1) -> None:
    """Writes each part of a detector (`export.parts`), in float32, as `NAME.pte`, for its spec's canvas.

    What XNNPACK cannot execute is left to portable kernels.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    inputs = part_inputs(detector, noise(batch, (detector.spec.height, detector.spec.width)))
    for name, part in parts(detector).items():
        program = part_program(part, inputs[name])
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        with written(folder / f"{name}.pte") as temporary, temporary.open("wb") as file:
            lowered.to_executorch().write_to_file(file)
