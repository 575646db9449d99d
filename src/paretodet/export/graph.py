"""Detectors as files in the cache, for the runtimes that execute graphs."""

import hashlib
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import from_json, to_json
from paretodet.errors import InputError, words
from paretodet.export.apart import OF_NETWORK, run_apart
from paretodet.export.cache import Entry, cached
from paretodet.export.open_size import SizeRange
from paretodet.extras import version_of
from paretodet.layers.fold import fold_norms
from paretodet.reports import report
from paretodet.weights import safe

GRAPH, UNSELECTED_GRAPH = "detector.onnx", "unselected.onnx"
GRAPHS = {"in": GRAPH, "out": UNSELECTED_GRAPH}  # by where boxes are suppressed: in the graph, or out of it
PTE, TFLITE = "detector.pte", "detector.tflite"
PT2 = {"fp32": "detector.pt2", "bf16": "detector.bf16.pt2"}
AOTINDUCTOR = {"fp32": "aotinductor.pt2", "bf16": "aotinductor.bf16.pt2"}
ONNX_PARTS, TORCHSCRIPT_PARTS, TORCHSCRIPT = "parts.onnx", "parts.torchscript", "whole.torchscript"
PTE_PARTS, TFLITE_PARTS = "parts.pte", "parts.tflite"
PT2_WHOLE, PT2_PARTS = "unselected.pt2", "parts.pt2"
_SPEC, _WEIGHTS = "spec.json", "weights.safetensors"
_LIBRARIES = {
    **dict.fromkeys((*PT2.values(), *AOTINDUCTOR.values()), ("torch",)),
    **dict.fromkeys((GRAPH, UNSELECTED_GRAPH, ONNX_PARTS), ("torch", "onnx", "onnxscript")),
    TORCHSCRIPT_PARTS: ("torch",),
    TORCHSCRIPT: ("torch",),
    PTE: ("torch", "executorch"),
    PTE_PARTS: ("torch", "executorch"),
    PT2_WHOLE: ("torch",),
    PT2_PARTS: ("torch",),
    TFLITE_PARTS: ("torch", "litert_torch", "ai_edge_litert"),
    TFLITE: ("torch", "litert_torch", "ai_edge_litert"),
}


def exported_graph(
    detector: Detector, *, batch: int | None, form: str = GRAPH, sizes: SizeRange | None = None
) -> Entry:
    """The folder with the detector's graph: fixed batch and canvas, batch norms folded, float32.

    Of GRAPHS, the number of images is open with `batch` None, and of GRAPH the canvas with `sizes`.
    `form` is GRAPH, the file of that name with the whole detector as ONNX; UNSELECTED_GRAPH, the same up to its
    suppression (`export.unselected`), as are PTE, TFLITE, TORCHSCRIPT and those of PT2 for ExecuTorch, LiteRT, ncnn and
    torch, PT2 in its precision; or the detector's parts (`export.parts`) as ONNX_PARTS, TORCHSCRIPT_PARTS, PTE_PARTS or
    TFLITE_PARTS. PT2_WHOLE and PT2_PARTS are PTE and PTE_PARTS as quantizers take them, the first one in a file
    `detector.pt2`, and AOTINDUCTOR the whole detector as native code for this processor (`export.aotinductor`), in its
    precision. A separate process writes it, so that the exporter's memory is not counted as the detector's. Raises
    ValueError if the detector cannot be exported.
    """
    key: dict[str, Any] = {
        "kind": form,
        "spec": to_json(detector.spec),
        "state": state_hash(detector),
        "batch": batch,
        **{library: version_of(library) for library in _LIBRARIES[form]},
    }
    native = form in AOTINDUCTOR.values()
    if native:
        from paretodet.export.aotinductor import here

        key["platform"] = asdict(here())
    if sizes:
        key["sizes"] = asdict(sizes)
    return cached(key, lambda folder: _export(detector, folder, form, batch, sizes), native=native)


def state_hash(detector: Detector) -> str:
    """SHA-256 over all parameters and buffers that a state dict has: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(detector.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()


def _export(detector: Detector, folder: Path, form: str, batch: int | None, sizes: SizeRange | None) -> None:
    report(f"exports {form}")
    with TemporaryDirectory() as name:
        source = Path(name)
        safe.save(detector.state_dict(), source / _WEIGHTS)
        (source / _SPEC).write_text(to_json(detector.spec), encoding="utf-8")
        try:
            run_apart(partial(write_graph, source, folder, form, batch, sizes))
        except InputError as error:
            if error.id not in OF_NETWORK:
                raise
            message = f"runtime: {detector.spec.name} cannot be exported ({words(error)})"
            raise InputError(message, "export-failed") from None


def write_graph(source: Path, folder: Path, form: str, batch: int | None, sizes: SizeRange | None = None) -> None:
    """Writes the graph, of this form, of the detector whose spec and weights are in the folder `source`."""
    whole = Detector(from_json((source / _SPEC).read_text(encoding="utf-8"))).eval()
    safe.load(whole, source / _WEIGHTS)
    detector = cast(Detector, fold_norms(whole))
    if form == GRAPH:
        from paretodet.export.onnx import to_onnx

        to_onnx(detector, folder / GRAPH, batch=batch, sizes=sizes)
        return None
    if form == UNSELECTED_GRAPH:
        from paretodet.export.onnx import unselected_to_onnx

        return unselected_to_onnx(detector, folder / form, batch=batch)
    assert batch is not None
    if form in (TORCHSCRIPT_PARTS, TORCHSCRIPT):
        from paretodet.export.torchscript import parts_to_torchscript, unselected_to_torchscript

        trace = parts_to_torchscript if form == TORCHSCRIPT_PARTS else unselected_to_torchscript
        return trace(detector, folder)  # for one image at a time
    if form in AOTINDUCTOR.values():
        from paretodet.export.aotinductor import to_package

        (precision,) = (name for name, file in AOTINDUCTOR.items() if file == form)
        return to_package(detector, folder / form, batch=batch, precision=precision)
    if form in PT2.values():
        from paretodet.export.pt2 import unselected_to_pt2

        (precision,) = (name for name, file in PT2.items() if file == form)
        return unselected_to_pt2(detector, folder / form, batch=batch, precision=precision)
    if form in (PTE, PT2_WHOLE, PTE_PARTS, PT2_PARTS):
        from paretodet.export import executorch

        if form in (PTE, PT2_WHOLE):
            if form == PTE:
                return executorch.unselected_to_pte(detector, folder / PTE, batch=batch)
            return executorch.unselected_to_pt2(detector, folder / PT2["fp32"], batch=batch)
        write_parts = executorch.parts_to_pte if form == PTE_PARTS else executorch.parts_to_pt2
        return write_parts(detector, folder, batch=batch)
    if form in (TFLITE_PARTS, TFLITE):
        from paretodet.export.litert import parts_to_litert, unselected_to_litert

        if form == TFLITE_PARTS:
            return parts_to_litert(detector, folder, batch=batch)
        return unselected_to_litert(detector, folder / TFLITE, batch=batch)
    from paretodet.export.onnx import parts_to_onnx

    return parts_to_onnx(detector, folder, batch=batch)
