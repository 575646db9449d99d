"""Detectors as files in the cache, for the runtimes that execute graphs."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import from_json, to_json
from paretodet.errors import InputError, words
from paretodet.export.cache import Entry, cached
from paretodet.layers.fold import fold_norms
from paretodet.weights import safe

GRAPH, TRUNK, TORCHSCRIPT = "detector.onnx", "trunk.onnx", "trunk.pt"
_SPEC, _WEIGHTS = "spec.json", "weights.safetensors"
_COMMAND = "import sys; from paretodet.export.graph import write_graph; write_graph(*sys.argv[1:])"
_LIBRARIES = {GRAPH: ("torch", "onnx", "onnxscript"), TRUNK: ("torch", "onnx", "onnxscript"), TORCHSCRIPT: ("torch",)}


def exported_graph(detector: Detector, *, batch: int, file: str = GRAPH) -> Entry:
    """The folder with the detector's graph: fixed batch and canvas, batch norms folded, float32.

    `file` is GRAPH, the whole detector as ONNX; TRUNK, the network of a one-stage detector (`export.trunk`) as ONNX; or
    TORCHSCRIPT, the same as TorchScript. A separate process writes it, so that the exporter's memory is not counted as
    the detector's. Raises ValueError if the detector cannot be exported.
    """
    key = {
        "kind": file,
        "spec": to_json(detector.spec),
        "state": state_hash(detector),
        "batch": batch,
        **{library: version(library) for library in _LIBRARIES[file]},
    }
    return cached(key, lambda folder: _export(detector, folder / file, batch))


def state_hash(detector: Detector) -> str:
    """SHA-256 over all parameters and buffers that a state dict has: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(detector.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()


def _export(detector: Detector, path: Path, batch: int) -> None:
    with TemporaryDirectory() as name:
        source = Path(name)
        safe.save(detector.state_dict(), source / _WEIGHTS)
        (source / _SPEC).write_text(to_json(detector.spec), encoding="utf-8")
        command = [sys.executable, "-c", _COMMAND, name, str(path), str(batch)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"runtime: {detector.spec.name} cannot be exported ({words(last)})", "export-failed")


def write_graph(source: str, path: str, batch: str) -> None:
    """Writes the graph of the detector whose spec and weights are in the folder `source`, as the file's name says."""
    folder = Path(source)
    detector = Detector(from_json((folder / _SPEC).read_text(encoding="utf-8"))).eval()
    safe.load(detector, folder / _WEIGHTS)
    _writer(Path(path).name)(cast(Detector, fold_norms(detector)), Path(path), batch=int(batch))


def _writer(file: str) -> Callable[..., object]:
    if file == TORCHSCRIPT:
        from paretodet.export.torchscript import trunk_to_torchscript

        return trunk_to_torchscript
    from paretodet.export.onnx import to_onnx, trunk_to_onnx

    return trunk_to_onnx if file == TRUNK else to_onnx
