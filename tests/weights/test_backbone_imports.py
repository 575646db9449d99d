"""Every classifier of docs/weights.md is read whole as the backbones that it lists, at the width of its tensors."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from test_detectron_naming import backbone_names
from torch import nn

from paretodet.backbones.mobilenet_v2 import BODY
from paretodet.backbones.resnet import UNITS
from paretodet.importing import import_weights
from paretodet.weights import files, safe
from paretodet.weights.backbones import build_backbone
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.namings import caffe, tf_detection
from record_tf_detection_golden import FOLDER
from record_torchvision_names import FILE
from tensorflow_files import graph

PAGE = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
WIDTH = {"mobilenet_v2": 0.5, "mobilenet_v2_classifier": 0.5}  # of the recorded variables


def empty(shapes):
    return {name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()}


@cache
def recorded(model):
    return json.loads(FILE.read_text())[model]


def torchvision(name):
    model = name.removesuffix("_torchvision").removesuffix("_features")
    tensors = empty(
        deeper(recorded("resnet101"), 152, r"layer(\d)\.(\d+)\.") if model == "resnet152" else recorded(model)
    )
    if name == "vgg16_features":
        return {each: values for each, values in tensors.items() if each.startswith("features.")}
    factors = (each for each in tensors if each.endswith(".bn.weight"))  # all 1 in Inception v3
    return tensors | {each: torch.ones(tensors[each].shape) for each in factors}


def timm(name):
    tensors = torchvision(name)
    if name != "vgg16":
        return tensors
    kept = {each: values for each, values in tensors.items() if each.startswith("features.")}
    sides = {"pre_logits.fc1": (4096, 512, 7, 7), "pre_logits.fc2": (4096, 4096, 1, 1), "head.fc": (1000, 4096)}
    kernels = {f"{layer}.weight": shape for layer, shape in sides.items()}
    return kept | empty(kernels | {f"{layer}.bias": shape[:1] for layer, shape in sides.items()})


def deeper(shapes, depth, pattern, first=0):
    """The shapes of a ResNet of another depth: the second unit of each block, several times."""
    found = {}
    for name, shape in shapes.items():
        unit = re.search(pattern, name)
        if unit is None or int(unit[2]) == first:
            found[name] = shape
        elif int(unit[2]) == first + 1:
            for index in range(first + 1, first + UNITS[depth][int(unit[1]) - 1]):
                found[f"{name[: unit.start(2)]}{index}{name[unit.end(2) :]}"] = shape
    return found


@cache
def variables(case):
    with np.load(FOLDER / f"tf-{case}.npz") as kept:
        pairs = zip(kept["names"].tolist(), kept["shapes"].tolist(), strict=True)
        return {name: [int(side) for side in shape.split(",") if side] for name, shape in pairs}


def whole_last(shapes):
    """The shapes of a MobileNet v2 whose last convolution has all channels, as narrow classifiers of slim have it."""
    last = {name: shape for name, shape in shapes.items() if "/Conv_1/" in name and "Predictor" not in name}
    return shapes | {name: [*shape[:-1], 1280] for name, shape in last.items()}


def slim(name):
    if name.startswith("resnet"):
        units = deeper(variables("resnet_v1_101"), int(name[6:]), r"block(\d)/unit_(\d+)/", first=1)
        root = f"resnet_v1_{name[6:]}"
        return empty({each.replace("resnet_v1_101", root): shape for each, shape in units.items()})
    cases = {"vgg16": "vgg_16", "mobilenet_v2": "ssdlite_mobilenet_v2", "vgg16_features": "vgg_16"}
    if name == "mobilenet_v2_classifier":
        return empty(whole_last(variables(cases["mobilenet_v2"])))
    return empty(variables(cases.get(name, name)))


def detectron(name):
    with torch.device("meta"):
        state = build_backbone(name).state_dict()
    found = {"fc1000_w": state["stem.norm.weight"], "fc1000_b": state["stem.norm.weight"]}
    for path, conv, norm in backbone_names(int(re.search(r"\d+", name)[0])):
        found[f"{conv}_w"] = state[f"{path}.conv.weight"]
        found |= {f"{norm}_bn_{end}": state[f"{path}.norm.{leaf}"] for end, leaf in (("s", "weight"), ("b", "bias"))}
    return found


def caffes(name):
    with torch.device("meta"):
        net = build_backbone("vgg16" if name == "vgg16_features" else name)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    found = {"fc8.0": torch.empty(1000, 4096, device="meta"), "fc8.1": torch.empty(1000, device="meta")}
    for blob, layer in zip(caffe.VGG, layers, strict=True):
        found |= {f"{blob}.0": layer.weight.data, f"{blob}.1": layer.bias.data}
    return found


ORIGINALS = {"torchvision": torchvision, "timm": timm, "TF-slim": slim, "Detectron": detectron, "Caffe": caffes}


def listed():
    """(source, backbone) of the table."""
    rows = PAGE.read_text("utf-8").partition("| Files of | `--as` |\n")[2].split("\n\n")[0].splitlines()[1:]
    for sources, names in (row.strip("|").split("|") for row in rows):
        for source in (each for each in ORIGINALS if each in sources):
            yield from ((source, name) for name in re.findall("`([a-z0-9_]+)`", names))


LISTED = list(listed())


def test_the_table_is_found():
    assert len(LISTED) > 20 and {source for source, _ in LISTED} == set(ORIGINALS)


@pytest.mark.parametrize(("source", "name"), LISTED)
def test_a_classifier_of_the_table_fills_its_backbone(source, name):
    tensors = ORIGINALS[source](name)
    naming = files.naming_of(tensors)
    assert naming is not None
    factor = naming.width(tensors) or 1.0
    assert factor == WIDTH.get(name, 1.0)
    with torch.device("meta"):
        net = build_backbone(name, factor)
    safe.check_complete(net, naming.state(tensors, net), Path("file"))


def slim_mobilenet(path, width):
    """A classifier in a graph, with random kernels; returns the first one."""
    kept = {name: shape for name, shape in variables("mobilenet_v1").items() if "Logits" not in name}
    narrow = {name: [side if side <= 3 else int(side * width) for side in shape] for name, shape in kept.items()}
    tensors = {name: torch.rand(shape) for name, shape in narrow.items()}
    graph(tensors, path)
    return tensors["MobilenetV1/Conv2d_0/weights"]


def test_a_narrow_backbone_is_imported_at_its_width_and_again(tmp_path):
    first = slim_mobilenet(tmp_path / "frozen.pb", 0.25)
    done = import_weights(tmp_path / "frozen.pb", WeightsMetadata(name="mobilenet_v1"), tmp_path / "a.safetensors")
    assert done.width == 0.25 and files.read_metadata(tmp_path / "a.safetensors").width == 0.25
    given = WeightsMetadata(name="mobilenet_v1", license="MIT")
    import_weights(tmp_path / "a.safetensors", given, tmp_path / "b.safetensors")
    again = import_weights(tmp_path / "b.safetensors", WeightsMetadata(name="mobilenet_v1"), tmp_path / "c.safetensors")
    assert (again.width, again.license) == (0.25, "MIT")
    found = safe.read(tmp_path / "c.safetensors")["stem.conv.weight"]
    assert torch.equal(found, first.permute(3, 2, 0, 1))


def mobilenet_v2(path, width):
    """A classifier of slim in a graph, with random variables; returns how many channels its layers have."""
    depths = {"Conv": (3, 3, 3, slim_depth(32, width)), "Conv_1": (1, 1, slim_depth(320, width), 1280)}
    before = depths["Conv"][-1]
    for index, (_, channels) in enumerate(BODY):
        scope = f"expanded_conv_{index}" if index else "expanded_conv"
        inner, after = before * (6 if index else 1), slim_depth(channels, width)
        if index:
            depths[f"{scope}/expand"] = (1, 1, before, inner)
        depths[f"{scope}/depthwise"] = (3, 3, inner, 1)
        depths[f"{scope}/project"] = (1, 1, inner, after)
        before = after
    tensors = {}
    for scope, shape in depths.items():
        leaf = "depthwise_weights" if scope.endswith("depthwise") else "weights"
        tensors[f"MobilenetV2/{scope}/{leaf}"] = torch.rand(shape)
        count = shape[2] if leaf == "depthwise_weights" else shape[3]
        norm = ("gamma", "beta", "moving_mean", "moving_variance")
        tensors |= {f"MobilenetV2/{scope}/BatchNorm/{part}": torch.rand(count) for part in norm}
    graph(tensors, path)


def slim_depth(channels, width):
    """slim's `_make_divisible`: a multiple of 8, at least 8, and at least 0.9 of what is asked."""
    exact = channels * width
    near = max(8, int(exact + 4) // 8 * 8)
    return near + 8 if near < 0.9 * exact else near


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0])
def test_a_narrow_mobilenet_v2_of_slim_is_imported_with_its_whole_last_convolution(tmp_path, width):
    mobilenet_v2(tmp_path / "frozen.pb", width)
    given, out = WeightsMetadata(name="mobilenet_v2_classifier"), tmp_path / "a.safetensors"
    assert import_weights(tmp_path / "frozen.pb", given, out).width == width
    again = import_weights(out, given, tmp_path / "b.safetensors")
    assert again.width == width
    found = safe.read(tmp_path / "b.safetensors")
    assert found["last.conv.weight"].shape[:2] == (1280, slim_depth(320, width))
    assert found["stem.conv.weight"].shape[0] == slim_depth(32, width)


def test_each_form_of_a_narrow_mobilenet_v2_is_told_by_its_name(tmp_path):
    mobilenet_v2(path := tmp_path / "frozen.pb", 0.5)
    with pytest.raises(safe.WeightsError, match="as mobilenet_v2_classifier") as refused:
        import_weights(path, WeightsMetadata(name="mobilenet_v2"), tmp_path / "o.safetensors")
    assert refused.value.id == "weights-other"
    with torch.device("meta"):
        net = build_backbone("mobilenet_v2_classifier", 0.5)
    with pytest.raises(safe.WeightsError, match=r"as mobilenet_v2 \[") as refused:
        tf_detection.state(slim("mobilenet_v2"), net)
    assert refused.value.id == "weights-other"


def test_a_width_that_no_backbone_has_is_an_error(tmp_path):
    graph({"MobilenetV1/Conv2d_0/weights": torch.ones(3, 3, 3, 64)}, path := tmp_path / "frozen.pb")
    with pytest.raises(safe.WeightsError, match=r"frozen\.pb: .*width") as refused:
        import_weights(path, WeightsMetadata(name="mobilenet_v1"), tmp_path / "o.safetensors")
    assert refused.value.id == "weights-metadata"


def test_the_width_is_told_by_the_first_layer():
    tensors = {"FeatureExtractor/MobilenetV1/Conv2d_0/weights": torch.ones(3, 3, 3, 24)}
    assert tf_detection.width(tensors) == 0.75
    assert tf_detection.width({"other": torch.ones(1)}) is None


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("resnet101", "resnet50"),
        ("resnet152", "resnet101"),
        ("resnet50", "resnet50_caffe"),
        ("resnet50", "resnet50_torchvision"),
    ],
)
def test_a_resnet_of_slim_is_no_other_resnet(given, name):
    """All tensors that the other one needs are there, in the same shapes."""
    with torch.device("meta"):
        net = build_backbone(name)
    with pytest.raises(safe.WeightsError, match="import (it|the file)") as refused:
        tf_detection.state(slim(given), net)
    assert refused.value.id == "weights-other"


@pytest.mark.parametrize(
    ("name", "strides"), [("resnet50_torchvision", True), ("vgg16", False), ("inception_v3", False)]
)
def test_what_the_file_of_a_classifier_does_not_show_is_named(name, strides):
    tensors = torchvision(name)
    with torch.device("meta"):
        (sentence,) = files.naming_of(tensors).unproved(tensors, build_backbone(name))
    assert "pixels" in sentence and ("strides" in sentence) == strides


def test_features_without_a_classifier_show_their_pixels():
    nothing = {"classifier.0.bias": torch.full((4096,), torch.nan)}
    with torch.device("meta"):
        net = build_backbone("vgg16_features")
    tensors = torchvision("vgg16") | nothing
    assert files.naming_of(tensors).unproved(tensors, net) == ()
