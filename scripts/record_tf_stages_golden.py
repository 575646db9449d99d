"""Writes `tests/detectors/golden/stages-tf.npz`: results of TF's detection API for R-FCN's predictor and for the step
from codes to proposals.

    python scripts/record_tf_stages_golden.py

Recorded with tensorflow-cpu 2.15.1 and tf-models-research-object-detection 2.8.0.post1; the versions are in the file.
The inputs are made here from seeds, so the file contains only the outputs. TF's boxes and codes have y before x.
"""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from record_tf_rules_golden import CANVAS, PACKAGES, boxes, normal, scores, swapped

FILE = Path(__file__).resolve().parents[1] / "tests/detectors/golden/stages-tf.npz"
CLASSES, CHANNELS, DEPTH = 5, 6, 16
MAP = (CANVAS[0] // 16, CANVAS[1] // 16)  # rows and columns of a stride of 16
REGIONS = 24  # of each of two images
KEEP = 60  # proposals of each
Array = np.ndarray


class Head(NamedTuple):
    """R-FCN's crops: bins per side, and samples per side of the whole crop."""

    bins: int
    crop: int


HEADS = {"coarse": Head(3, 12), "fine": Head(7, 21)}  # Huang et al. section 3.6.2


class Weights(NamedTuple):
    """The three 1x1 convolutions in this project's layout: out x in; boxes by bin, class and x, y, w, h."""

    reduce: Array  # [DEPTH, CHANNELS]
    boxes: Array  # [bins * bins, CLASSES, 4, DEPTH]
    scores: Array  # [bins * bins, CLASSES + 1, DEPTH]
    biases: tuple[Array, Array, Array]  # of each, flat


def weights(head: Head) -> Weights:
    cells = head.bins**2
    shapes = ((DEPTH, CHANNELS), (cells, CLASSES, 4, DEPTH), (cells, CLASSES + 1, DEPTH))
    drawn = [normal(shape, 50 + i) * shape[-1] ** -0.5 for i, shape in enumerate(shapes)]
    biases = [normal((int(np.prod(shape[:-1])),), 60 + i) * 0.3 for i, shape in enumerate(shapes)]
    return Weights(drawn[0], drawn[1], drawn[2], (biases[0], biases[1], biases[2]))


def features() -> Array:
    """[2, CHANNELS, rows, columns]"""
    return normal((2, CHANNELS, *MAP), 70)


def regions() -> Array:
    """[2, REGIONS, 4] xyxy px, some over the canvas' edges."""
    return boxes(2 * REGIONS, 71).reshape(2, REGIONS, 4)


def first_stage() -> tuple[Array, Array]:
    """Codes [2, N, 4], x before y, and logits [2, N, 2], background first, of all anchors; all scores differ."""
    count = MAP[0] * MAP[1] * 12
    chance = scores((2, count), 73)
    return normal((2, count, 4), 72), np.stack([np.zeros_like(chance), np.log(chance / (1 - chance))], -1)


def predictions() -> dict[str, Array]:
    """Codes [2, REGIONS, CLASSES, 4] and logits [2, REGIONS, CLASSES + 1] of R-FCN's predictor, by head."""
    result: dict[str, Array] = {}
    for name, head in HEADS.items():
        codes, logits = _predicted(head)
        result[f"codes_{name}"] = swapped(codes.reshape(2, REGIONS, CLASSES, 4))
        result[f"logits_{name}"] = logits.reshape(2, REGIONS, CLASSES + 1)
    return result


def _predicted(head: Head) -> tuple[Array, Array]:
    import tensorflow.compat.v1 as tf
    from object_detection.predictors.rfcn_box_predictor import RfcnBoxPredictor

    predictor = RfcnBoxPredictor(
        is_training=False,
        num_classes=CLASSES,
        conv_hyperparams_fn=_rectified,
        num_spatial_bins=[head.bins] * 2,
        depth=DEPTH,
        crop_size=[head.crop] * 2,
        box_code_size=4,
    )
    with tf.Graph().as_default(), tf.Session() as session:
        # Unknown sides, as in a detector: with known sides, TF samples the border instead of 0 outside
        maps, own = tf.placeholder(tf.float32, [2, None, None, CHANNELS]), tf.placeholder(tf.float32, [2, None, 4])
        predicted = predictor.predict([maps], [1], scope="rfcn", proposal_boxes=own)
        session.run([variable.assign(value) for variable, value in _assigned(weights(head), tf.global_variables())])
        share = swapped(regions()) / np.array(CANVAS * 2, np.float32)
        wanted = [predicted["box_encodings"][0], predicted["class_predictions_with_background"][0]]
        codes, logits = session.run(wanted, {maps: features().transpose(0, 2, 3, 1), own: share})
        return codes, logits


def _rectified() -> Any:
    """slim's argument scope with ReLU as the default activation."""
    import tensorflow.compat.v1 as tf
    import tf_slim as slim

    with slim.arg_scope([slim.conv2d], activation_fn=tf.nn.relu) as scope:
        return scope


def _assigned(drawn: Weights, variables: list[Any]) -> list[tuple[Any, Array]]:
    """TF's variables with their values, [1, 1, in, out] and [out]; codes y before x."""
    codes, of_codes = swapped(drawn.boxes.swapaxes(-1, -2)).swapaxes(-1, -2), swapped(drawn.biases[1].reshape(-1, 4))
    values = {
        "reduce_depth": (drawn.reduce, drawn.biases[0]),
        "refined_locations": (codes, of_codes),
        "class_predictions": (drawn.scores, drawn.biases[2]),
    }
    made = []
    for variable in variables:
        _, layer, leaf = variable.op.name.split("/")
        kernel, bias = values[layer]
        value = kernel.reshape(-1, kernel.shape[-1]).T[None, None] if leaf == "weights" else bias.reshape(-1)
        made.append((variable, value))
    return made


def proposals() -> dict[str, Array]:
    """Boxes in px and scores [KEEP, 5] of both images, as in testing and as in training (without crossing anchors)."""
    import tensorflow.compat.v1 as tf
    from object_detection.core import box_list_ops

    anchors, (codes, logits) = _anchors(), first_stage()
    window = tf.constant([0.0, 0.0, *map(float, CANVAS)])
    inside, kept = box_list_ops.prune_outside_window(anchors, window)
    clipped = box_list_ops.clip_to_window(anchors, window)
    everywhere = np.arange(codes.shape[1])
    result: dict[str, Array] = {}
    for name, refs, rows in (("tested", clipped, everywhere), ("trained", inside, kept.numpy())):
        result[f"proposals_{name}"] = _proposed(refs.get(), codes[:, rows], logits[:, rows])
    return result


def _anchors() -> Any:
    from object_detection.anchor_generators.grid_anchor_generator import GridAnchorGenerator

    grid = GridAnchorGenerator(anchor_stride=[16, 16], anchor_offset=[0, 0], scales=(0.25, 0.5, 1.0, 2.0))
    return grid.generate([MAP])[0]


def _proposed(anchors: Any, codes: Array, logits: Array) -> Array:
    """The meta-architecture's method, called with a stand-in that has only the attributes it reads."""
    import tensorflow.compat.v1 as tf
    from object_detection.box_coders.faster_rcnn_box_coder import FasterRcnnBoxCoder
    from object_detection.core.post_processing import batch_multiclass_non_max_suppression
    from object_detection.meta_architectures.faster_rcnn_meta_arch import FasterRCNNMetaArch

    made = object.__new__(FasterRCNNMetaArch)
    made._is_training = False
    made._box_coder = FasterRcnnBoxCoder(scale_factors=[10.0, 10.0, 5.0, 5.0])
    made._first_stage_nms_fn = partial(
        batch_multiclass_non_max_suppression,
        score_thresh=0.0,
        iou_thresh=0.7,
        max_size_per_class=KEEP,
        max_total_size=KEEP,
    )
    shapes = tf.constant([[*CANVAS, 3]] * 2)
    boxes, marks, _, count, *_ = made._postprocess_rpn(
        tf.constant(swapped(codes)), tf.constant(logits), anchors, shapes, shapes
    )
    assert count.numpy().tolist() == [KEEP] * 2
    return np.concatenate([swapped(boxes * np.array(CANVAS * 2, np.float32)), marks.numpy()[..., None]], -1)


if __name__ == "__main__":
    made_with = {"made_with": np.array([f"{package} {version(package)}" for package in PACKAGES])}
    everything: dict[str, Any] = predictions() | proposals() | made_with
    np.savez_compressed(FILE, **everything)
