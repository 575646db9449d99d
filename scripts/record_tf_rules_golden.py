"""Writes `tests/rules/golden/tf.npz` and `tests/ops/golden/tf.npz`: results of TF's detection API for rules and crops.

    python scripts/record_tf_rules_golden.py

Recorded with tensorflow-cpu 2.15.1 and tf-models-research-object-detection 2.8.0.post1; the versions are in the files.
The inputs are made here from seeds, so the files contain only the outputs. TF's boxes and codes have y before x.
SSD's anchors were first recorded at the ratio 1/3. Those at 0.3333, the ratio of the released configurations, were
computed by the API's float32 arithmetic in NumPy, which at 1/3 gives the recorded anchors to the last bit.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
RULES, OPS = TESTS / "rules/golden/tf.npz", TESTS / "ops/golden/tf.npz"
PACKAGES = ("tensorflow-cpu", "tf-models-research-object-detection")
CANVAS = (224, 352)  # height, width, px
CLASSES = 5
Array = np.ndarray


class Match(NamedTuple):
    """An ArgmaxMatcher's thresholds and rule."""

    positive: float
    negative: float
    force_best: bool


class Suppression(NamedTuple):
    """A selection's fields, the numbers of references and classes, one box per class or not, boxes outside or not."""

    threshold: float
    overlap: float
    keep_per_class: int
    keep: int
    references: int
    classes: int
    apart: bool
    outside: bool


MATCHES = {"rpn": Match(0.7, 0.3, True), "region": Match(0.5, 0.5, False), "ssd": Match(0.5, 0.5, True)}
SUPPRESSIONS = {
    "rpn": Suppression(0.0, 0.7, 60, 60, 500, 1, False, True),
    "ssd": Suppression(1e-8, 0.6, 20, 40, 300, CLASSES, False, False),
    "ssd_outside": Suppression(1e-8, 0.6, 20, 40, 300, CLASSES, False, True),
    "region": Suppression(0.0, 0.6, 100, 300, 60, CLASSES, True, True),
    "region_few": Suppression(0.0, 0.6, 12, 30, 60, CLASSES, True, False),
    "region_few_outside": Suppression(0.0, 0.6, 12, 30, 60, CLASSES, True, True),
    "region_score": Suppression(0.5, 0.3, 100, 300, 60, CLASSES, True, True),
}
GRID_MAPS = {16: (5, 7), 8: (10, 13)}  # stride -> rows, columns
SSD_MAPS = {(300, 300): (19, 10, 5, 3, 2, 1), (200, 300): (13, 7, 4, 2, 1, 1)}  # canvas -> rows; columns below
SAMPLES = ((0, 1000), (10, 1000), (500, 1000), (500, 50), (3, 5), (200, 0), (128, 128))  # positives, negatives
CROPS = (1, 2, 7, 14, 17)
BINS, SAMPLES_A_BIN = 3, 4


def boxes(count: int, seed: int) -> Array:
    """[count, 4] xyxy px: sides of 6 to 200, some over the canvas' edges."""
    noise = np.random.default_rng(seed)
    sides = np.exp(noise.uniform(np.log(6), np.log(200), (count, 2)))
    middles = noise.uniform(0, 1, (count, 2)) * np.array(CANVAS[::-1])
    return np.concatenate([middles - sides / 2, middles + sides / 2], 1).astype(np.float32)


def crowded(count: int, seed: int, outside: bool = False) -> Array:
    """Boxes like `boxes`, but many overlap each other, and some may be completely outside the canvas."""
    few = boxes(-(-count // 6), seed)
    few[::7] += np.array(CANVAS[::-1] * 2, np.float32) * outside
    sides = np.tile(few[:, 2:] - few[:, :2], 2)
    return np.concatenate([few + sides * normal(few.shape, seed + i) * 0.08 for i in range(6)])[:count]


def inside(count: int, seed: int) -> Array:
    """`boxes` cut to the canvas."""
    height, width = CANVAS
    return np.clip(boxes(count, seed), 0, np.array([width, height, width, height], np.float32))


def truths() -> Array:
    """Ground truths; the last two are equal, and one has little overlap with any reference."""
    result = inside(12, 1)
    result[9] = [3.0, 3.0, 5.0, 5.0]
    result[11] = result[10]
    return result


def matched() -> Array:
    """600 references, half of them near a ground truth; none near the small one."""
    near = np.delete(truths(), (9, 11), 0).repeat(30, 0)
    sides = np.tile(near[:, 2:] - near[:, :2], 2)
    return np.concatenate([inside(300, 5), near + sides * normal(near.shape, 6) * 0.15])


def normal(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def scores(shape: tuple[int, ...], seed: int) -> Array:
    """Distinct scores in 0..1."""
    count = int(np.prod(shape))
    return ((np.random.default_rng(seed).permutation(count) + 0.5) / count).astype(np.float32).reshape(shape)


def features(channels: int) -> Array:
    """[2, channels, 14, 22] of a stride of 16"""
    return normal((2, channels, CANVAS[0] // 16, CANVAS[1] // 16), 30)


def candidates(name: str) -> tuple[Array, Array]:
    """Boxes [N, 4] or [N, K, 4] and scores [N, K] of a suppression."""
    rule = SUPPRESSIONS[name]
    count = rule.references * (rule.classes if rule.apart else 1)
    result = crowded(count, 10, rule.outside)
    shape = (rule.references, rule.classes, 4) if rule.apart else (rule.references, 4)
    return result.reshape(shape), scores((rule.references, rule.classes), 11)


def positives(count: int, seed: int) -> Array:
    """[count] bool with few positives; the others are negatives."""
    return np.random.default_rng(seed).random(count) < 0.04


def regressions() -> tuple[Array, Array]:
    """Codes and target codes, [2, 50, 4]."""
    return normal((2, 50, 4), 40) * 2, normal((2, 50, 4), 41)


def logits_and_labels() -> tuple[Array, Array]:
    """[2, 50, K + 1] and [2, 50] of 0..K, 0 the background."""
    return normal((2, 50, CLASSES + 1), 42) * 3, np.random.default_rng(43).integers(0, CLASSES + 1, (2, 50))


def swapped(last: Array) -> Array:
    """x, y, x, y as y, x, y, x, or back."""
    return np.asarray(last)[..., [1, 0, 3, 2]]


def _boxlist(xyxy: Array) -> Any:
    import tensorflow.compat.v1 as tf
    from object_detection.core import box_list

    return box_list.BoxList(tf.constant(swapped(xyxy)))


def coder() -> dict[str, Array]:
    from object_detection.box_coders.faster_rcnn_box_coder import FasterRcnnBoxCoder

    made, refs = FasterRcnnBoxCoder(scale_factors=[10.0, 10.0, 5.0, 5.0]), _boxlist(boxes(200, 2))
    decoded = made.decode(swapped(normal((200, 4), 4) * 2), refs).get()
    return {"encoded": swapped(made.encode(_boxlist(boxes(200, 3)), refs)), "decoded": swapped(decoded)}


def matches() -> dict[str, Array]:
    """The ground truth of every reference; -1 is negative, -2 is ignored."""
    from object_detection.core.region_similarity_calculator import IouSimilarity
    from object_detection.matchers.argmax_matcher import ArgMaxMatcher

    overlaps = IouSimilarity().compare(_boxlist(truths()), _boxlist(matched()))
    result = {}
    for name, rule in MATCHES.items():
        matcher = ArgMaxMatcher(rule.positive, rule.negative, force_match_for_each_row=rule.force_best)
        result[f"match_{name}"] = matcher.match(overlaps).match_results.numpy()
    return result


def anchors() -> dict[str, Array]:
    from object_detection.anchor_generators.grid_anchor_generator import GridAnchorGenerator
    from object_detection.anchor_generators.multiple_grid_anchor_generator import create_ssd_anchors

    result = {}
    for stride, shape in GRID_MAPS.items():
        grid = GridAnchorGenerator(anchor_stride=[stride, stride], anchor_offset=[0, 0], scales=(0.25, 0.5, 1.0, 2.0))
        result[f"grid_{stride}"] = swapped(grid.generate([shape])[0].get())
    for (height, width), rows in SSD_MAPS.items():
        ssd = create_ssd_anchors(aspect_ratios=(1.0, 2.0, 0.5, 3.0, 0.3333), reduce_boxes_in_lowest_layer=True)
        levels = ssd.generate([(r, columns(r, height, width)) for r in rows], im_height=height, im_width=width)
        result[f"ssd_{height}x{width}"] = np.concatenate([swapped(level.get()) for level in levels])
    return result


def columns(rows: int, height: int, width: int) -> int:
    """The columns of an SSD map with `rows` rows."""
    return -(-rows * width // height)


def selections() -> dict[str, Array]:
    import tensorflow.compat.v1 as tf
    from object_detection.core.post_processing import multiclass_non_max_suppression

    result = {}
    for name, rule in SUPPRESSIONS.items():
        boxes_, marks = candidates(name)
        kept, count = multiclass_non_max_suppression(
            tf.constant(swapped(boxes_ if rule.apart else boxes_[:, None])),
            tf.constant(marks),
            score_thresh=rule.threshold,
            iou_thresh=rule.overlap,
            max_size_per_class=rule.keep_per_class,
            max_total_size=rule.keep,
            clip_window=tf.constant([0.0, 0.0, *map(float, CANVAS)]),
        )
        columns = (swapped(kept.get()), kept.get_field("scores")[:, None], kept.get_field("classes")[:, None])
        result[f"select_{name}"] = np.concatenate(columns, 1)[: int(count)]
    return result


def miners() -> dict[str, Array]:
    """Sums of the box and score losses that mining keeps, over two images; the second has no positive."""
    import tensorflow.compat.v1 as tf
    from object_detection.core.losses import HardExampleMiner
    from object_detection.core.matcher import Match as TfMatch

    place, score = scores((2, 400), 20), scores((2, 400), 21)
    decoded = [_boxlist(crowded(400, 22 + 10 * i)) for i in range(2)]
    marks = [positives(400, 24), np.zeros(400, bool)]
    match = [TfMatch(tf.constant(np.where(mark, 0, -1), tf.int32)) for mark in marks]
    ssd = HardExampleMiner(3000, 0.99, "cls", max_negatives_per_positive=3)
    tight = HardExampleMiner(100, 0.5, "cls", max_negatives_per_positive=3)
    online = HardExampleMiner(64, 0.7, "both", cls_loss_weight=1.0, loc_loss_weight=1.0)
    inputs = tf.constant(place), tf.constant(score), decoded
    return {
        "miner_ssd": np.array([float(x) for x in ssd(*inputs, match)]),
        "miner_tight": np.array([float(x) for x in tight(*inputs, match)]),
        "miner_online": np.array([float(x) for x in online(*inputs)]),
    }


def samples() -> dict[str, Array]:
    """Numbers of sampled positives and negatives, for 256 samples with half positives and 64 with a quarter."""
    import tensorflow.compat.v1 as tf
    from object_detection.core.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler

    result = []
    for size, fraction in ((256, 0.5), (64, 0.25)):
        sampler = BalancedPositiveNegativeSampler(positive_fraction=fraction)
        for positive, negative in SAMPLES:
            labels = np.arange(positive + negative) < positive
            taken = sampler.subsample(tf.ones(len(labels), tf.bool), size, tf.constant(labels)).numpy()
            result.append(((taken & labels).sum(), (taken & ~labels).sum()))
    return {"samples": np.array(result).reshape(2, len(SAMPLES), 2)}


def losses() -> dict[str, Array]:
    """For 2 x 50 references: smooth L1 of 4 codes, cross-entropy over K + 1, binary cross-entropies over K + 1."""
    import tensorflow.compat.v1 as tf
    from object_detection.core import losses as tf_losses

    codes, wanted, logits = (tf.constant(array) for array in (*regressions(), logits_and_labels()[0]))
    truth = tf.one_hot(logits_and_labels()[1], CLASSES + 1)
    ones = tf.ones((2, 50, 1))
    place = tf_losses.WeightedSmoothL1LocalizationLoss(delta=1.0)(codes, wanted, weights=tf.ones((2, 50)))
    softmax = tf_losses.WeightedSoftmaxClassificationLoss()(logits, truth, weights=ones)
    sigmoid = tf_losses.WeightedSigmoidClassificationLoss()(logits, truth, weights=ones)
    terms = place, softmax, tf.reduce_sum(sigmoid, -1)
    return {f"loss_{name}": np.asarray(term) for name, term in zip(("place", "softmax", "sigmoid"), terms, strict=True)}


def crops() -> dict[str, Array]:
    """Crops of 16 boxes on each of two maps [2, 16, C, n, n], and R-FCN's 3 x 3 bins before their mean."""
    import tensorflow.compat.v1 as tf
    from object_detection.utils.ops import position_sensitive_crop_regions

    height, width = CANVAS
    share = swapped(boxes(32, 31)) / np.array([height, width, height, width], np.float32)
    owner = np.repeat(np.arange(2), 16)
    maps, groups = (features(channels).transpose(0, 2, 3, 1) for channels in (4, BINS * BINS * 2))
    result = {}
    for bins in CROPS:
        cropped = tf.image.crop_and_resize(maps, share, owner, [bins, bins]).numpy()
        result[f"crop_{bins}"] = cropped.transpose(0, 3, 1, 2).reshape(2, 16, 4, bins, bins)
    side = BINS * SAMPLES_A_BIN
    signature = (tf.TensorSpec([None, None, groups.shape[3]]), tf.TensorSpec([None, 4]))

    def crop(image: Any, own: Any) -> Any:
        return position_sensitive_crop_regions(image, own, [side, side], [BINS, BINS], global_pool=False)

    # With the sides of the map unknown, as in a detector; where they are known it reads the border outside, not 0
    assembled = tf.function(crop, input_signature=signature)
    parts = [assembled(image, own).numpy() for image, own in zip(groups, share.reshape(2, 16, 4), strict=True)]
    result["position_sensitive"] = np.stack(parts).transpose(0, 1, 4, 2, 3)
    return result


if __name__ == "__main__":
    made_with = {"made_with": np.array([f"{package} {version(package)}" for package in PACKAGES])}
    rules = coder() | matches() | anchors() | selections() | miners() | samples() | losses()
    for path, kept in ((RULES, rules), (OPS, crops())):
        path.parent.mkdir(exist_ok=True)
        everything: dict[str, Any] = kept | made_with
        np.savez_compressed(path, **everything)
