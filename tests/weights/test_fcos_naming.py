"""Files with FCOS's names fill its detectors: first convolution in RGB, norms without an epsilon, one scale a level."""

import pytest
import torch

from paretodet.backbones.resnet import UNITS
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.importing import import_weights
from paretodet.weights import files, safe
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.namings import fcos
from paretodet.weights.safe import WeightsError

NAME = "fcos-resnet50-800x1344"
NORM = ("weight", "bias", "running_mean", "running_var")
MEMBERS = {"squeeze": 1, "spatial": 2, "expand": 3}


def layers(depth):
    """Our paths of convolutions and norms, and the names of the authors' modules, in their `resnet.py`."""
    yield "stem", "backbone.body.stem.conv1", "backbone.body.stem.bn1"
    before = 0
    for block, units in enumerate(UNITS[depth], 1):
        for unit in range(units):
            path = f"block4.{unit}" if block == 4 else f"blocks.{before + unit}"
            scope = f"backbone.body.layer{block}.{unit}"
            yield from ((f"{path}.{ours}", f"{scope}.conv{n}", f"{scope}.bn{n}") for ours, n in MEMBERS.items())
            if unit == 0:
                yield f"{path}.shortcut", f"{scope}.downsample.0", f"{scope}.downsample.1"
        before += units


def others():
    """The same of modules with weight and bias, in their `fpn.py` and `fcos.py`."""
    for level in range(3):
        yield f"neck.laterals.{level}", f"backbone.fpn.fpn_inner{level + 2}"
        yield f"neck.smooth.{level}", f"backbone.fpn.fpn_layer{level + 2}"
    yield from ((f"neck.extra.p{level}", f"backbone.fpn.top_blocks.p{level}") for level in (6, 7))
    for ours, theirs in (("score", "cls"), ("box", "bbox")):
        for layer in range(4):
            yield f"heads.0.{ours}_tower.{layer}.conv", f"rpn.head.{theirs}_tower.{3 * layer}"
            yield f"heads.0.{ours}_tower.{layer}.norm", f"rpn.head.{theirs}_tower.{3 * layer + 1}"
    for ours, theirs in (("scores", "cls_logits"), ("boxes", "bbox_pred"), ("centerness", "centerness")):
        yield f"heads.0.{ours}", f"rpn.head.{theirs}"


def checkpoint(detector, depth=50):
    """The detector's weights by the authors' names."""
    state = detector.state_dict()
    found = {f"{name}.{kind}": state[f"{path}.{kind}"] for path, name in others() for kind in ("weight", "bias")}
    for path, conv, norm in layers(depth):
        found[f"{conv}.weight"] = state[f"backbone.{path}.conv.weight"]
        found |= {f"{norm}.{kind}": state[f"backbone.{path}.norm.{kind}"] for kind in NORM}
    stem = "backbone.body.stem.conv1.weight"
    scales = {f"rpn.head.scales.{level}.scale": scale.view(1) for level, scale in enumerate(state["heads.0.scales"])}
    return found | scales | {stem: found[stem].flip(1)}


@torch.no_grad()
def drawn(seed=1):
    """A thin detector with random factors, offsets, statistics and scales."""
    detector = build(scale_width(spec(NAME, Override(labels=("a", "b"))), 0.125), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, values in detector.state_dict().items():
        if ".norm." in name or name.endswith("scales"):
            values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    return detector


@pytest.mark.parametrize("depth", [50, 101])
def test_all_tensors_have_a_place(depth):
    name = NAME.replace("50", str(depth))
    with torch.device("meta"):
        detector, other = Detector(spec(name)), Detector(spec(name))
        tensors = checkpoint(detector, depth)
        assert files.naming_of(tensors) is fcos.NAMING
        assert fcos.NAMING.metadata(tensors, spec(name)) == {"classes": 80}
        state = fcos.NAMING.state(tensors, other)
    assert {key: values.shape for key, values in state.items()} == {
        key: values.shape for key, values in detector.state_dict().items()
    }


@torch.no_grad()
def test_a_checkpoint_gives_the_function_of_the_original():
    tensors, other = checkpoint(drawn()), build(drawn().spec, seed=2)
    safe.load_tensors(other, fcos.NAMING.state(tensors, other), "file")
    rgb = torch.randn(1, 3, 40, 40)
    x = torch.nn.functional.conv2d(rgb.flip(1), tensors["backbone.body.stem.conv1.weight"], stride=2, padding=3)
    weight, bias, mean, variance = (tensors[f"backbone.body.stem.bn1.{kind}"].view(-1, 1, 1) for kind in NORM)
    scale = weight * variance.rsqrt()
    wanted = (x * scale + (bias - mean * scale)).relu()
    assert (other.backbone.stem(rgb) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    for path, name in others():
        assert torch.equal(other.state_dict()[f"{path}.weight"], tensors[f"{name}.weight"])
    assert [tensors[f"rpn.head.scales.{level}.scale"].item() for level in range(5)] == other.heads[0].scales.tolist()


def test_a_training_s_file_is_imported(tmp_path):
    """As its `Checkpointer` saves it, from several processes."""
    trained = {f"module.{name}": values for name, values in checkpoint(build(spec(NAME), seed=1)).items()}
    torch.save({"model": trained, "optimizer": {}, "iteration": 90000}, path := tmp_path / "model_final.pth")
    done = import_weights(path, WeightsMetadata(name=NAME), tmp_path / "w.safetensors")
    assert (done.code_base, done.classes) == ("FCOS", 80)
    (sentence,) = done.unproved
    assert "FCOS_imprv" in sentence


def test_another_detector_and_missing_tensors_are_refused():
    tensors, detector = checkpoint(drawn()), drawn()
    with torch.device("meta"):
        other = Detector(spec("retinanet-resnet50-800"))
    for module in (other, other.backbone):
        with pytest.raises(WeightsError, match=r"FCOS.*\[weights-other\]"):
            fcos.NAMING.state(tensors, module)
    tensors["rpn.head.scales.5.scale"] = torch.ones(1)
    tensors["backbone.fpn.fpn_inner1.weight"] = tensors.pop("backbone.body.layer2.0.bn1.running_var")
    with pytest.raises(WeightsError, match=r"missing|has shape|unused"):
        safe.load_tensors(detector, fcos.NAMING.state(tensors, detector), "file")
