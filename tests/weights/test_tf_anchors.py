"""An SSD of TensorFlow's detection API is imported with the anchors that its file shows, or is refused.

Of the weights only a head of one level has values: what is tested is the order of its rows.
"""

from dataclasses import replace

import pytest
import torch

from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.ops.geometry import center_size
from paretodet.rules.anchors import GridAnchors, MultiGridAnchors
from paretodet.weights.anchors import multi_grid_orders
from paretodet.weights.namings import tf_detection
from paretodet.weights.safe import WeightsError

GRID = "MultipleGridAnchorGenerator"
MADE = spec("ssd-mobilenet_v1-300")
SIDES = (19, 10, 5, 3, 2, 1)
RATIOS = {"last": [1.0, 2.0, 0.5, 3.0, 0.3333, 1.0], "second": [1.0, 1.0, 2.0, 0.5, 3.0, 0.3333]}
SECOND = [0, 5, 1, 2, 3, 4]  # the anchors of a location in a graph of 2017
TODAY = ((0, 1, 2), *(tuple(range(6)),) * 5)
OF_2017 = ((0, 1, 2), *((0, 2, 3, 4, 5, 1),) * 5)


@pytest.fixture(scope="module")
def detector():
    with torch.device("meta"):
        return build(MADE)


def table(anchors=MADE.anchors, *, order="last", corners=True):
    """The anchors [N, 4] as TensorFlow has them: (y, x, y, x), or (y, x, height, width), as shares of the canvas."""
    maps = tuple(torch.zeros(1).expand(1, 1, side, side) for side in SIDES)
    found = anchors(maps, (300, 300))
    boxes = found.boxes if corners else torch.cat(center_size(found.boxes), -1)
    first, *later = torch.split(boxes[:, [1, 0, 3, 2]] / 300, list(found.counts))
    rows = range(6) if order == "last" else SECOND
    return torch.cat([first, *(level.unflatten(0, (-1, 6))[:, list(rows)].flatten(0, 1) for level in later)])


def constants(anchors=MADE.anchors, *, order="last"):
    """What a graph computes its anchors from: the ratios and the scales of each level, the latter twice."""
    found = {}
    for level, scales in enumerate(anchors.scales):
        ratios = RATIOS[order] if level else [1.0, 2.0, 0.5]
        rows = range(len(scales)) if order == "last" or not level else SECOND
        found[f"{GRID}/Sqrt_{level}/x"] = torch.tensor(ratios)
        for operation in ("truediv", "mul"):
            found[f"{GRID}/{operation}_{level}/x"] = torch.tensor([scales[row] for row in rows])
        found[f"{GRID}/Reshape_{level}/shape"] = torch.tensor([1, 1, 3], dtype=torch.int32)
    return found


def refused(tensors, detector):
    with pytest.raises(WeightsError) as error:
        multi_grid_orders(tensors, detector)
    return error.value


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize(("order", "wanted"), [("last", TODAY), ("second", OF_2017)])
def test_the_anchors_of_a_file_tell_their_order(detector, order, wanted, corners):
    found = table(order=order, corners=corners)
    other = {"weights": torch.ones(3, 3, 8, 4), "box": torch.ones(1, 4)}
    for tensors in ({"anchors": found}, {"Postprocessor/ExpandDims": found[None]}, {"a": found.repeat(2, 1, 1)}):
        assert multi_grid_orders(other | tensors, detector) == wanted


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize(
    "anchors", [MultiGridAnchors(smallest=0.1), MultiGridAnchors(largest=0.9), MultiGridAnchors(lowest=0.07)]
)
def test_anchors_of_other_sizes_are_refused(detector, anchors, corners):
    """Their ratios, and so their order, are the same."""
    error = refused({"anchors": table(anchors, corners=corners)}, detector)
    assert error.id == "weights-other" and "anchors are others" in error.message


def test_of_several_tables_one_has_to_be_the_detectors(detector):
    other = table(MultiGridAnchors(smallest=0.1))
    assert multi_grid_orders({"a": other, "b": table()}, detector) == TODAY
    assert refused({"a": other, "b": other}, detector).id == "weights-other"


def test_anchors_of_another_canvas_are_refused(detector):
    error = refused({"anchors": table()[3 * 19 * 19 :]}, detector)
    assert error.id == "weights-other" and "834 anchors" in error.message


def test_rows_of_four_without_the_ratios_of_anchors_are_none(detector):
    assert multi_grid_orders(constants() | {"w": torch.ones(9, 4)}, detector) == TODAY


@pytest.mark.parametrize(("order", "wanted"), [("last", TODAY), ("second", OF_2017)])
def test_the_scales_of_a_graph_are_compared(detector, order, wanted):
    assert multi_grid_orders(constants(order=order), detector) == wanted


@pytest.mark.parametrize(
    ("anchors", "scale"),
    [
        (MultiGridAnchors(smallest=0.1), "0.35 and 0.4183"),
        (MultiGridAnchors(largest=0.9), "0.35 and 0.4183"),
        (MultiGridAnchors(lowest=0.07), "0.1 and 0.2"),
    ],
)
def test_a_graph_with_other_scales_is_refused(detector, anchors, scale):
    error = refused(constants(anchors), detector)
    assert error.id == "weights-other" and f"scales {scale} of ssd-mobilenet_v1-300" in error.message


def test_only_a_file_without_sizes_leaves_them_open(detector):
    ratios = {name: value for name, value in constants().items() if "Sqrt" in name}
    assert multi_grid_orders(ratios, detector) == TODAY
    assert len(tf_detection.unproved(ratios, detector)) == 1
    assert tf_detection.unproved(constants(), detector) == () == tf_detection.unproved({"a": table()}, detector)


def test_the_rows_of_a_head_follow_the_anchors_of_the_file(detector):
    """By way of a naming: the third anchor in a table of 2017 is the second here."""
    scores = torch.arange(6 * 91.0)
    tensors = {"BoxPredictor_1/ClassPredictor/biases": scores, "anchors": table(order="second", corners=False)}
    state = tf_detection.state(tensors, detector)
    assert torch.equal(state["heads.0.scores.1.bias"].view(6, 91), scores.view(6, 91)[[0, 2, 3, 4, 5, 1]])


def test_a_detector_with_other_anchors_is_compared_with_its_own():
    with torch.device("meta"):
        other = build(replace(MADE, anchors=MultiGridAnchors(smallest=0.1)))
    assert multi_grid_orders({"a": table(MultiGridAnchors(smallest=0.1))}, other) == TODAY
    assert refused(constants(), other).id == "weights-other"


REGION = "faster_rcnn-resnet50-600-s16-p300"


@pytest.fixture(scope="module")
def region():
    with torch.device("meta"):
        return build(spec(REGION))


def region_grid(anchors, *, stated=("Meshgrid/Const", "Const")):
    """What the graph of a region detector computes its anchors from."""
    numbers = {
        "Meshgrid/Const": [torch.tensor(anchors.scales), torch.tensor(anchors.ratios)],
        "Const": [torch.tensor([int(side)] * 2) for side in (anchors.base, anchors.stride, anchors.offset[0])],
    }
    names = {0: "", 1: "_1", 2: "_2"}
    return {
        f"GridAnchorGenerator/{scope}{names[place]}": each
        for scope in stated
        for place, each in enumerate(numbers[scope])
    }


def test_the_anchors_of_a_region_detector_are_compared(region):
    tf_detection.state(region_grid(region.spec.anchors), region)
    assert tf_detection.unproved(region_grid(region.spec.anchors), region) == ()


@pytest.mark.parametrize(
    ("anchors", "what"),
    [
        (GridAnchors(scales=(0.5, 1.0, 2.0, 4.0)), "scales"),
        (GridAnchors(scales=(0.5, 1.0, 2.0)), "scales"),
        (GridAnchors(ratios=(1.0, 0.5, 2.0)), "ratios"),  # the same anchors in another order
        (GridAnchors(base=128), "size"),
        (GridAnchors(stride=8), "stride"),
        (GridAnchors(offset=(4.0, 4.0)), "offset"),
    ],
)
def test_other_anchors_of_a_region_detector_are_refused(region, anchors, what):
    with pytest.raises(WeightsError, match=f"the {what} .*, {REGION} has ") as error:
        tf_detection.state(region_grid(anchors), region)
    assert error.value.id == "weights-other"


def test_anchors_of_a_region_detector_that_a_file_does_not_have_are_named(region):
    """Graphs of 2018 have size, stride and offset among constants without a name; checkpoints have no anchors."""
    of_2018 = region_grid(region.spec.anchors, stated=("Meshgrid/Const",))
    (named,) = tf_detection.unproved(of_2018, region)
    (all_of_them,) = tf_detection.unproved({}, region)
    assert "size, stride, offset" in named and "scales" not in named and "scales, ratios, size" in all_of_them
    assert REGION in named
