"""Export of a detector to ONNX."""

import logging
import re
import warnings
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import to_json
from paretodet.export import unselected
from paretodet.export.open_size import BlockModule, SizeRange, in_blocks, take_pixels
from paretodet.export.parts import INPUT, module_paths, output_names, part_inputs, part_program, parts
from paretodet.export.program import TensorModule, blank, noise
from paretodet.extras import MissingExtra
from paretodet.writing import written

try:
    from paretodet.export.lowerings import TABLE
except ModuleNotFoundError as error:
    raise MissingExtra("ONNX files need onnx and onnxscript: pip install 'paretodet[onnx]'") from error

INPUTS = ("pixels", "sizes")
SCOPES = "pkg.torch.onnx.name_scopes"  # metadata of a node: the modules that it comes from, outermost first
OUTPUTS = ("boxes", "scores", "labels", "masks")
WHOLE = {"detector": ""}  # the path of a whole detector in itself
MAX_BATCH = 2**16  # images a call, where their number is open
EXAMPLE = 16, 12  # rows and columns of blocks in an export whose canvas is open
FUSED = ("BatchNormalization", "Relu", "Clip", "LeakyRelu")  # what runtimes fuse into the convolution before it


def exported(
    detector: Detector, batch: int | None = 1, *, sizes: SizeRange | None = None, strict: bool = False
) -> torch.export.ExportedProgram:
    """The detector exported: a program of `pixels` uint8 and `sizes`, for its spec's canvas.

    With `batch` None it takes any number of images, with `sizes` any of these canvases, in blocks (`export.open_size`).
    With `strict` torch reads the code instead of running it: the same operators, in twice to three times the time.
    """
    module, (pixels, true) = TensorModule(detector), blank(batch or 2, _canvas(detector, sizes), detector.mean.device)
    if sizes:
        module, pixels = BlockModule(detector), in_blocks(pixels, sizes.multiple)
    images = _open_images(batch)
    open_sides = ({**images, **_open_sides(sizes)}, images) if sizes or not batch else None
    with torch.no_grad():
        return torch.export.export(module, (pixels, true), dynamic_shapes=open_sides, strict=strict)


def _open_images(batch: int | None) -> dict[int, Any]:
    """The first side of what has an image a row."""
    return {} if batch else {0: torch.export.Dim("batch", max=MAX_BATCH)}


def _canvas(detector: Detector, sizes: SizeRange | None) -> tuple[int, int]:
    if sizes is None:
        return detector.spec.height, detector.spec.width
    return EXAMPLE[0] * sizes.multiple, EXAMPLE[1] * sizes.multiple


def _open_sides(sizes: SizeRange | None) -> dict[int, Any]:
    """Of pixels in blocks."""
    if sizes is None:
        return {}
    limits = {"min": sizes.least // sizes.multiple, "max": sizes.most // sizes.multiple}
    return {2: torch.export.Dim("rows", **limits), 4: torch.export.Dim("columns", **limits)}


def to_onnx(
    detector: Detector,
    path: Path | None = None,
    *,
    batch: int | None = 1,
    sizes: SizeRange | None = None,
    program: torch.export.ExportedProgram | None = None,
) -> torch.onnx.ONNXProgram:
    """The detector as an ONNX program, also written to `path`. `program` is the result of `exported`, if available.

    Inputs: `pixels` [batch, 3, height, width] uint8 RGB and `sizes` [batch, 2] float32, true (height, width) inside
    the canvas; with `batch` None their first side is open, with `sizes` height and width are. Outputs: `boxes`,
    `scores`, `labels` (and `masks`) as in `Detections`. The file's metadata contains the spec. Raises
    torch.onnx.errors.OnnxExporterError if an operator cannot be translated.
    """
    program = exported(detector, batch, sizes=sizes) if program is None else program
    onnx_program = _translated(program, INPUTS, OUTPUTS[: len(program.graph_signature.user_outputs)])
    _describe(onnx_program, detector, batch, sizes)
    if path is not None:
        _save(onnx_program, path)
    return onnx_program


def unselected_to_onnx(detector: Detector, path: Path, *, batch: int | None = 1) -> None:
    """Writes a one-stage detector up to its suppression (`export.unselected`), which takes planes of colors.

    `batch` is as in `to_onnx`.
    """
    module, pixels = unselected.Unselected(detector, "NCHW"), blank(batch or 2, _canvas(detector, None)).pixels
    with torch.no_grad():
        program = torch.export.export(module, (pixels,), dynamic_shapes=(_open_images(batch),))
    made = _translated(program, (unselected.PIXELS,), unselected.OUTPUTS)
    _describe(made, detector, batch)
    _save(made, path)


def _describe(
    program: torch.onnx.ONNXProgram, detector: Detector, batch: int | None, sizes: SizeRange | None = None
) -> None:
    """Names what a program takes and computes; the spec becomes its metadata."""
    _remove_traces(program)
    if batch is None:
        _name_batch(program.model.graph)
    if sizes:
        take_pixels(program.model.graph, sizes.multiple)
    program.model.metadata_props["paretodet.spec"] = to_json(detector.spec)
    _name_nodes(program.model.graph)


def _save(program: torch.onnx.ONNXProgram, path: Path) -> None:
    with written(path) as temporary:
        program.save(temporary, external_data=False)


def _name_batch(graph: Any) -> None:
    """Calls the open number of images `batch`, wherever a shape has it: torch numbers open sides."""
    values = [*graph.inputs, *(value for node in graph.all_nodes() for value in node.outputs)]
    named = re.compile(rf"\b{graph.inputs[0].shape[0].value}\b")
    for value in values:
        for axis, side in enumerate(value.shape or ()):
            if not isinstance(side, int) and side.value:
                value.shape[axis] = named.sub("batch", side.value)


def _remove_traces(program: torch.onnx.ONNXProgram) -> None:
    """Keeps the names of modules alone: stack traces hold the paths of this machine."""
    for node in program.model.graph.all_nodes():
        scopes = node.metadata_props.get(SCOPES)
        node.metadata_props.clear()
        node.metadata_props.update({SCOPES: scopes} if scopes else {})


def parts_to_onnx(detector: Detector, folder: Path, *, batch: int = 1) -> None:
    """Writes each part of a detector (`export.parts`), in float32, as `NAME.onnx`, for its spec's canvas."""
    inputs = part_inputs(detector, noise(batch, (detector.spec.height, detector.spec.width)))
    for name, part in parts(detector).items():
        program = part_program(part, inputs[name])
        outputs = output_names(name, len(program.graph_signature.user_outputs))
        made = _translated(program, (INPUT,), outputs)
        _name_nodes(made.model.graph, module_paths(name))
        made.model.producer_name = "paretodet"  # of "pytorch", OpenCV counts the padding in average pooling, always
        _save(made, folder / f"{name}.onnx")


def _translated(
    program: torch.export.ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]
) -> torch.onnx.ONNXProgram:
    with _without_exporter_messages():
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            custom_translation_table=TABLE,
            verbose=False,
        )
    assert made is not None
    return made


def _name_nodes(graph: Any, paths: Mapping[str, str] = WHOLE) -> None:
    """Calls nodes and their outputs "module/..." by the module of the detector that they are of.

    `paths` are the paths in the detector of what the exported module holds, by attribute.
    A norm or activation after a convolution has the convolution's name: runtimes fuse them. So profilers, which show
    the names of nodes or of outputs, tell which layer it is.
    """
    modules: dict[Any, str] = {}
    for node in graph:
        scopes = literal_eval(node.metadata_props.get(SCOPES, "[]"))  # the last is the operator
        attribute, _, rest = (scopes[-2] if len(scopes) > 1 else "").partition(".")
        module = ".".join(filter(None, (paths.get(attribute, attribute), rest)))
        source = node.inputs[0].producer() if node.op_type in FUSED and node.inputs[0] is not None else None
        modules[node] = modules.get(source, module) if source and source.op_type in (*FUSED, "Conv") else module
        if module := modules[node]:
            node.name = f"{module}/{node.name}"
            for value in node.outputs:
                if value not in graph.outputs:
                    value.name = f"{module}/{value.name}"


@contextmanager
def _without_exporter_messages() -> Iterator[None]:
    """Hides the exporter's messages about itself: torchvision operators that it lacks, deprecated calls in torch."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(level)
