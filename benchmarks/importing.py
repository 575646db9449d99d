"""Time and memory of importing a checkpoint of every format: `python benchmarks/importing.py [FORMAT ...]`.

A synthetic file of 180 to 550 MB of each format is written to a temporary folder and imported in fresh processes,
through the function that `paretodet import` calls. Its time is divided by that of reading and hashing the file, which
is in the page cache, in the same process: by the clock, and in CPU time, which other processes that use the machine
change less. An import hashes as many bytes again as it writes, so that 2 is the least. The peak memory, with the pages
of mapped files, is divided by the size of the file. What the process had in memory before, with all libraries imported,
is subtracted.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("scripts", "tests", "tests/weights"))
from rows import add_out, append

from paretodet.bench.memory import MIB, Peak, resident_mib
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import spec
from paretodet.importing import import_weights
from paretodet.reading import PIECE, sha256
from paretodet.weights.files import WeightsMetadata

OUT = "imported.safetensors"
LINE = (
    "{format:18}{mb:6.0f} MB: read {read_wall_s:.2f} s, hashed {hash_wall_s:.2f} s, imported {import_wall_s:.2f} s: "
    "{wall_over_hashing:.1f} x, {cpu_over_hashing:.1f} x in CPU time; memory {memory_over_size:.2f} x"
)


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


class Times(NamedTuple):
    """Seconds by the clock, and of the CPUs."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Times:
    start, cpu = perf_counter(), process_time()
    work()
    return Times(perf_counter() - start, process_time() - cpu)


def _read(paths: list[Path]) -> None:
    piece = bytearray(PIECE)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(piece):
                pass


def measured(folder: Path, case: Case) -> dict[str, Any]:
    """One import in this process: times of it and of reading, and bytes of the files and of the peak above before."""
    files = [path for path in folder.iterdir() if path.name != OUT]
    reading, hashing = [], []
    for _ in range(4):  # the first brings the files into the page cache
        reading.append(timed(lambda: _read(files)))
        hashing.append(timed(lambda: [sha256(path) for path in files]))
    before = resident_mib()
    with Peak() as peak:
        imported = timed(lambda: import_weights(folder / case.file, WeightsMetadata(name=case.name), folder / OUT))
        high = (peak.mib() - before) * MIB
    size = sum(path.stat().st_size for path in files)
    read, hashed = (Times(*map(median, zip(*times[1:], strict=True))) for times in (reading, hashing))
    return {"bytes": size, "peak_bytes": high, "read": read, "hash": hashed, "import": imported}


def _child(*arguments: str) -> str:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def rows(name: str, repeats: int) -> dict[str, Any]:
    """The medians over processes for one format, and the least and the largest ratios."""
    with TemporaryDirectory(prefix="importing-") as folder:
        _child("--write", folder, name)
        found = [json.loads(_child("--measure", folder, name)) for _ in range(repeats)]
    made: dict[str, Any] = {"format": name, "mb": found[0]["bytes"] / 1e6}
    for index, clock in enumerate(Times._fields):
        made |= {
            f"{work}_{clock}_s": median(each[work][index] for each in found) for work in ("read", "hash", "import")
        }
        ratios = [each["import"][index] / each["hash"][index] for each in found]
        made |= {f"{clock}_over_hashing": median(ratios), f"{clock}_over_hashing_range": [min(ratios), max(ratios)]}
    memory = median(each["peak_bytes"] / each["bytes"] for each in found)
    return made | {"memory_over_size": memory, "repeats": repeats, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"{', '.join(CASES)} [default: all]")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each format")
    parser.add_argument("--json", action="store_true", help="print a JSON line for every format")
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
            print(json.dumps(row) if options.json else LINE.format(**row), flush=True)
            append(row, options.out)


if __name__ == "__main__":
    main()
