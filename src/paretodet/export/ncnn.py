"""Detectors as networks of ncnn: a text with the layers and a file with the weights, converted by pnnx."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, words
from paretodet.export.apart import why_failed
from paretodet.export.cache import Entry, cached
from paretodet.export.graph import exported_graph
from paretodet.export.torchscript import SHAPES
from paretodet.extras import version_of
from paretodet.reading import read_bytes
from paretodet.schema import MAX_BYTES

PARAM, BIN = "ncnn.param", "ncnn.bin"  # suffixes
MAGIC = "7767517"  # the first line of a text of layers
LAYERS = {"Convolution", "ConvolutionDepthWise", "Deconvolution", "Gemm", "InnerProduct", "MatMul"}
ARRAY = -23300  # minus this, less a key, is the key of several numbers


class NcnnLayer(NamedTuple):
    """A layer of a network: its type, the name of its last output, and its numbers by their keys."""

    type: str
    output: str
    numbers: Mapping[int, Sequence[float]]


def converted(detector: Detector, form: str) -> Entry:
    """The folder with the networks of a detector for one image or crop, and their shapes (`export.torchscript`).

    `form` is TORCHSCRIPT or TORCHSCRIPT_PARTS of `export.graph`. Raises InputError if pnnx or ncnn lacks an operator.
    """
    traced = exported_graph(detector, batch=1, form=form)
    key = {"kind": "ncnn", "traced": traced.folder.name, "pnnx": version_of("pnnx")}
    entry = cached(key, lambda folder: convert(traced.folder, folder))
    return Entry(entry.folder, traced.seconds + entry.seconds, traced.spent + entry.spent)


def convert(source: Path, folder: Path) -> None:
    """Writes the programs of the folder `source` as ncnn's two files each. Raises ValueError if that fails."""
    shutil.copy(source / SHAPES, folder)
    for name, (shape, *_) in json.loads((source / SHAPES).read_text(encoding="utf-8")).items():
        _convert(source / f"{name}.pt", folder / name, shape)


def _convert(source: Path, target: Path, shape: Sequence[int]) -> None:
    import pnnx

    param, weights = (target.with_name(f"{target.name}.{suffix}") for suffix in (PARAM, BIN))
    with TemporaryDirectory() as name:  # the converter writes other files beside its source
        copy = shutil.copy(source, name)
        options = [f"inputshape=[{','.join(map(str, shape))}]", "fp16=0"]
        command = [pnnx.EXEC_PATH, copy, *options, f"ncnnparam={param}", f"ncnnbin={weights}"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True)
    if done.returncode or not param.is_file():
        cause = why_failed(done.returncode, (done.stderr.strip().splitlines() or [""])[-1])
        raise InputError(f"runtime: pnnx cannot convert this network ({cause})", "export-failed")
    if foreign := _foreign(param):
        raise InputError(f"runtime: ncnn lacks operator {foreign}", "operator-missing")


def _foreign(param: Path) -> str | None:
    """The first operator that pnnx left as it is in torch, and where it stands; None if ncnn has all of them.

    Such a line has numbers that `read_layers` does not know.
    """
    _, _, *lines = param.read_text(encoding="utf-8").splitlines()
    products = 0
    for kind, name, *_ in map(str.split, filter(str.strip, lines)):
        if "." in kind or "::" in kind:
            return f"{kind} of layer {name!r}, which follows {products} layers with weights"
        products += kind in LAYERS
    return None


def read_layers(param: Path) -> list[NcnnLayer]:
    """The layers of a network: a line each after a magic number and two counts.

    A line has type and name, the numbers of inputs and outputs, their names, then KEY=NUMBER; of several numbers, the
    key is below -23300 and their count stands before them. Raises InputError if the file is no such text.
    """
    try:
        magic, _, *lines = read_bytes(param, MAX_BYTES).decode().splitlines()
        if magic.strip() == MAGIC:
            return [_layer(line.split()) for line in lines if line.strip()]
        reason = f"it does not begin with {MAGIC}"
    except (IndexError, ValueError) as error:
        reason = words(error)
    raise InputError(f"{param}: it is not a readable network of ncnn ({reason}); export it again", "graph-failed")


def _layer(words: Sequence[str]) -> NcnnLayer:
    end = 4 + int(words[2]) + int(words[3])
    numbers = dict[int, list[float]]()
    for word in words[end:]:
        key, _, values = word.partition("=")
        found = [float(each) for each in values.split(",")]
        numbers[int(key) if int(key) >= 0 else ARRAY - int(key)] = found if int(key) >= 0 else found[1:]
    return NcnnLayer(words[0], words[end - 1], numbers)
