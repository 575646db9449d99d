"""Time and memory of importing a checkpoint of every format: `python benchmarks/importing.py [FORMAT ...]`.

A synthetic file of 180 to 550 MB of each format is written to a temporary folder and imported in fresh processes,
through the function that `paretodet import` calls. The time is divided by that of reading and hashing the file, which
is in the page cache; the peak memory, with the pages of mapped files, by its size. What the process had in memory
before, with all libraries imported, is subtracted.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("scripts", "tests", "tests/weights"))
from rows import add_out, append

from paretodet.bench.memory import MIB, Peak, resident_mib
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import spec
from paretodet.importing import import_weights
from paretodet.reading import sha256
from paretodet.weights.files import WeightsMetadata

OUT = "imported.safetensors"


class Case(NamedTuple):
    """A file, the name in the catalogue as which it is imported, and what writes it and those that belong to it."""

    file: str
    name: str
    write: Callable[[Path, str], None]


def _safetensors(path: Path, name: str) -> None:
    from safetensors.torch import save_file

    save_file(build(spec(name)).state_dict(), path)


def _torch(path: Path, name: str) -> None:
    torch.save(build(spec(name)).state_dict(), path)


def _darknet(path: Path, name: str) -> None:
    from paretodet.weights import darknet

    darknet.save(build(spec(name)), path)


def _caffe(path: Path, name: str) -> None:
    from caffe_networks import draw, faster_rcnn, write

    network = faster_rcnn((600, 850), classes=21, regions=300)
    write(path, network, draw(network, {}))


def _detectron(path: Path, name: str) -> None:
    import python2_pickles  # type: ignore[import-not-found]
    import test_detectron_naming  # type: ignore[import-not-found]

    detector: Detector = test_detectron_naming.drawn(spec(name))
    blobs: Mapping[str, Tensor] = test_detectron_naming.blobs(detector, 101)
    path.write_bytes(python2_pickles.detectron({name: values.numpy() for name, values in blobs.items()}))


def _variables() -> dict[str, Tensor]:
    """Those of Faster R-CNN on ResNet-101, by the names of TensorFlow's detection API."""
    from test_tf_detection_golden import golden, variables  # type: ignore[import-not-found]

    found: dict[str, Tensor] = variables(golden("faster_rcnn_resnet101"))
    return found


def _tensorflow(path: Path, name: str) -> None:
    from tensorflow_files import checkpoint  # type: ignore[import-not-found]

    checkpoint(_variables(), path)


def _graph(path: Path, name: str) -> None:
    from tensorflow_files import graph

    graph(_variables(), path)


def _tfjs(path: Path, name: str) -> None:
    """In shards of 4 MB, as TensorFlow's converter writes them."""
    from tensorflow_files import tfjs

    found = _variables()
    tfjs(found, path, shards=-(-sum(values.nbytes for values in found.values()) // 2**22))


def _tflite(path: Path, name: str) -> None:
    from made_tflite import Made, write_tflite  # type: ignore[import-not-found]

    write_tflite(path, {name: Made(values=values.numpy()) for name, values in _variables().items()})


MASK_RCNN, FASTER_RCNN = "mask_rcnn-resnet101-800x1024", "faster_rcnn-resnet101-600-s16-p300"
CASES = {
    "safetensors": Case("model.safetensors", MASK_RCNN, _safetensors),
    "torch": Case("model.pth", MASK_RCNN, _torch),
    "darknet": Case("yolov3.weights", "yolo_v3-darknet53-416", _darknet),
    "caffe": Case("faster_rcnn.caffemodel", "faster_rcnn_ren-vgg16-600x850-p300", _caffe),
    "detectron": Case("model_final.pkl", MASK_RCNN, _detectron),
    "tensorflow": Case("model.ckpt.index", FASTER_RCNN, _tensorflow),
    "tensorflow-graph": Case("frozen_inference_graph.pb", FASTER_RCNN, _graph),
    "tfjs": Case("model.json", FASTER_RCNN, _tfjs),
    "tflite": Case("model.tflite", FASTER_RCNN, _tflite),
}


def measured(folder: Path, case: Case) -> dict[str, float]:
    """One import in this process: seconds to read and to import, bytes of the files and of the peak above before."""
    files = [path for path in folder.iterdir() if path.name != OUT]
    seconds = []
    for _ in range(3):  # the first brings the files into the page cache
        start = perf_counter()
        for path in files:
            sha256(path)
        seconds.append(perf_counter() - start)
    before = resident_mib()
    with Peak() as peak:
        start = perf_counter()
        import_weights(folder / case.file, WeightsMetadata(name=case.name), folder / OUT)
        imported, high = perf_counter() - start, (peak.mib() - before) * MIB
    size = sum(path.stat().st_size for path in files)
    return {"bytes": size, "read_s": min(seconds[1:]), "import_s": imported, "peak_bytes": high}


def _child(*arguments: str) -> str:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def rows(name: str, repeats: int) -> dict[str, Any]:
    """The medians over processes for one format."""
    with TemporaryDirectory(prefix="importing-") as folder:
        _child("--write", folder, name)
        found = [json.loads(_child("--measure", folder, name)) for _ in range(repeats)]
    read, imported, high = (median(each[key] for each in found) for key in ("read_s", "import_s", "peak_bytes"))
    size = found[0]["bytes"]
    return {
        "format": name, "mb": size / 1e6, "read_s": read, "import_s": imported, "time_over_reading": imported / read,
        "memory_over_size": high / size, "repeats": repeats,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"{', '.join(CASES)} [default: all]")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each format")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    add_out(parser)
    options = parser.parse_args()
    for name in options.formats or CASES:
        if options.write:
            CASES[name].write(options.write / CASES[name].file, CASES[name].name)
        elif options.measure:
            print(json.dumps(measured(options.measure, CASES[name])))
        else:
            row = rows(name, options.repeats)
            print("{format:18}{mb:6.0f} MB: read {read_s:.2f} s, import {import_s:.2f} s,".format(**row), end=" ")
            print("{time_over_reading:.1f} x; memory {memory_over_size:.2f} x".format(**row), flush=True)
            append(row, options.out)


if __name__ == "__main__":
    main()
