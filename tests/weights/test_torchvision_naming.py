"""Checkpoints with torchvision's names fill our detectors and backbones; what does not fit is refused."""

import json
from argparse import Namespace
from dataclasses import replace
from functools import cache

import pytest
import torch

from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16
from paretodet.detectors.catalogue import names
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import spec
from paretodet.importing import _completed, import_weights
from paretodet.layers.norms import BatchNorm
from paretodet.reading import sha256
from paretodet.types import Images
from paretodet.weights import files, safe
from paretodet.weights.backbones import build_backbone
from paretodet.weights.formats import torch_file
from paretodet.weights.namings.torchvision import DEVIATION, NAMING, VGG, our_names
from paretodet.weights.safe import WeightsError
from record_torchvision_names import FILE, MODELS, shapes

RESNET = {"taps": (2, 3, 4, 5), "tail": False, "output_stride": 32, "layout": "torchvision"}
BACKBONES = {
    "vgg16": VGG16(),
    "resnet50": ResNet(depth=50, **RESNET),
    "resnet101": ResNet(depth=101, **RESNET, norm=BatchNorm()),
    "inception_v3": InceptionV3(taps=("Mixed_7c",), norm=BatchNorm(eps=1e-3)),
}
DETECTORS = {
    "ssd300_vgg16": "ssd_tv-vgg16-300",
    "retinanet_resnet50_fpn": "retinanet_tv-resnet50-800",
    "fasterrcnn_resnet50_fpn": "faster_rcnn_tv-resnet50-800x1344",
    "maskrcnn_resnet50_fpn": "mask_rcnn_tv-resnet50-800x1344",
}
OLD = (  # names of before torchvision 0.13, as its `_load_from_state_dict` turns them into today's
    ("inner_blocks.{i}.0.", "inner_blocks.{i}."),
    ("layer_blocks.{i}.0.", "layer_blocks.{i}."),
    ("rpn.head.conv.0.0.", "rpn.head.conv."),
)


@cache
def recorded():
    return json.loads(FILE.read_text())


def checkpoint(model, frozen=False):
    """Tensors without memory by the names of torchvision's model; frozen norms count no batches."""
    shapes = recorded()[model]
    return {
        name: torch.empty(shape, device="meta")
        for name, shape in shapes.items()
        if not (frozen and name.endswith("num_batches_tracked"))
    }


def old(name):
    """A name of today -> before torchvision 0.13."""
    for i in range(4):
        for new, before in OLD:
            name = name.replace(new.format(i=i), before.format(i=i))
        name = name.replace(f"roi_heads.mask_head.{i}.0.", f"roi_heads.mask_head.mask_fcn{i + 1}.")
        for head in ("classification", "regression"):
            name = name.replace(f"head.{head}_head.conv.{i}.0.", f"head.{head}_head.conv.{2 * i}.")
    return name


def on_meta(made):
    with torch.device("meta"):
        return Detector(made) if hasattr(made, "stages") else made.build()


def fill(module, tensors):
    safe.load_tensors(module, NAMING.state(tensors, module), FILE)


def test_all_models_are_recorded():
    assert set(recorded()) == set(MODELS) == {*BACKBONES, *DETECTORS}


@pytest.mark.parametrize("model", DETECTORS)
@pytest.mark.parametrize("rename", [str, old], ids=["new", "old"])
def test_a_checkpoint_fills_the_detector(model, rename):
    tensors = {rename(name): values for name, values in checkpoint(model, frozen=True).items()}
    assert files.naming_of(tensors) is NAMING
    fill(on_meta(spec(DETECTORS[model])), tensors)


@pytest.mark.parametrize("model", BACKBONES)
def test_a_classifier_fills_the_backbone(model):
    tensors = checkpoint(model)
    assert files.naming_of(tensors) is NAMING
    fill(on_meta(BACKBONES[model]), tensors)


def test_norms_of_inception_v3_need_no_factors():
    tensors = checkpoint("inception_v3")
    ones = {name: torch.ones(each.shape) for name, each in tensors.items() if name.endswith(".bn.weight")}
    fill(on_meta(InceptionV3(taps=("Mixed_7c",))), tensors | ones)
    with pytest.raises(WeightsError, match=r"unused .*norm\.weight"):
        fill(on_meta(InceptionV3(taps=("Mixed_7c",))), tensors | {name: 2 * each for name, each in ones.items()})


def test_timms_classifier_is_left_out():
    tensors = {name: values for name, values in checkpoint("vgg16").items() if name.startswith("features.")}
    for name in ("pre_logits.fc1.weight", "pre_logits.fc2.bias", "head.fc.weight"):  # timm 1.0's vgg16
        tensors[name] = torch.empty(4096, device="meta")
    fill(on_meta(VGG16(tail=False)), tensors)


def test_the_first_layer_of_vgg_takes_pixels_that_are_not_divided():
    pixels, kernel = 255 * torch.rand(1, 3, 8, 8) - 120, torch.rand(64, 3, 3, 3)
    state = NAMING.state({"features.0.weight": kernel}, on_meta(VGG16(tail=False)))
    divided = pixels / torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    found = torch.conv2d(pixels, state["blocks.0.0.weight"])
    torch.testing.assert_close(found, torch.conv2d(divided, kernel), rtol=1e-4, atol=1e-4)
    detector = NAMING.state({"backbone.features.0.weight": kernel}, on_meta(spec("ssd_tv-vgg16-300")))
    assert torch.equal(detector["backbone.conv4_3.0.0.weight"], kernel)


@pytest.mark.parametrize("name", [name for name in names() if "-vgg16-" in name])
def test_no_detector_on_vgg_divides_pixels(name):
    assert spec(name).pixels.std == (1.0, 1.0, 1.0)


def test_a_missing_tensor_and_one_too_many_are_named():
    tensors = checkpoint("retinanet_resnet50_fpn", frozen=True)
    tensors["backbone.fpn.extra_blocks.p8.weight"] = tensors.pop("head.regression_head.bbox_reg.bias")
    with pytest.raises(WeightsError, match=r"missing heads\.0\.boxes\.out\.bias; unused neck\.extra\.p8\.weight"):
        fill(on_meta(spec("retinanet_tv-resnet50-800")), tensors)


@pytest.mark.parametrize(
    "name",
    [f"layer1.{'9' * 5000}.conv1.weight", f"features.{'9' * 5000}.weight", "Mixed_5b.branch7x7_1.conv.weight"],
    ids=["layer", "feature", "branch"],
)
def test_a_name_that_no_model_has_is_kept(name):
    tensors = checkpoint("resnet50") | {name: torch.empty(1)}
    assert our_names(tensors)[name] == name
    with pytest.raises(WeightsError, match="unused"):
        fill(on_meta(BACKBONES["resnet50"]), tensors)


@pytest.mark.parametrize(("model", "name"), DETECTORS.items())
def test_classes_are_counted(model, name):
    made = spec(name)
    assert NAMING.metadata(checkpoint(model), made)["classes"] == made.classes


def test_the_epsilon_of_norms_is_read_or_asked():
    made, trained = spec("retinanet_tv-resnet50-800"), checkpoint("retinanet_resnet50_fpn")
    frozen = checkpoint("retinanet_resnet50_fpn", frozen=True)
    assert NAMING.metadata(trained, made)["norm_eps"] == 1e-5
    assert NAMING.unsaid(trained) == {} == NAMING.unsaid(checkpoint("ssd300_vgg16")) == NAMING.unsaid({"fc.bias": 0})
    assert "norm_eps" not in NAMING.metadata(frozen, made)
    assert "--norm-eps" in NAMING.unsaid(frozen)["norm_eps"]
    with pytest.raises(WeightsError, match=r"epsilon 1e-05, those of retinanet_tv-resnet50-800 0"):
        fill(on_meta(made), trained)
    changed = files.WeightsMetadata(name=made.name, norm_eps=1e-5).apply_to(made)
    fill(on_meta(changed), trained)
    assert changed.backbone.norm.eps == 1e-5 and made.backbone.norm.eps == 0


@pytest.mark.parametrize("name", ["retinanet-resnet50-800", "ssd_liu-vgg16-300"])
def test_another_systems_detector_is_refused(name):
    for ask in (NAMING.metadata, lambda tensors, made: fill(on_meta(made), tensors)):
        with pytest.raises(WeightsError, match=f"differ from {name}") as refused:
            ask(checkpoint("retinanet_resnet50_fpn"), spec(name))
        assert refused.value.id == "weights-other"


def test_a_resnet_with_other_strides_is_refused():
    with pytest.raises(WeightsError, match="import the file as resnet50_torchvision"):
        fill(on_meta(ResNet(**RESNET | {"layout": "caffe"}, depth=50)), checkpoint("resnet50"))


@pytest.mark.full
@pytest.mark.parametrize("model", MODELS)
def test_the_record_is_torchvisions(model):
    pytest.importorskip("torchvision", reason="needs torchvision 0.28 for the same torch")
    assert shapes(model) == recorded()[model]


@pytest.mark.full
@pytest.mark.parametrize("model", DETECTORS)
def test_torchvision_reads_the_old_names(model):
    detection = pytest.importorskip("torchvision.models.detection", reason="needs torchvision 0.28 for the same torch")
    with torch.device("meta"):
        built = getattr(detection, model)(weights=None, weights_backbone=None)
    built.load_state_dict({old(name): values for name, values in checkpoint(model).items()})


@pytest.mark.full
def test_a_file_of_torchvisions_own_becomes_weights_of_ours(tmp_path):
    """Its random model, saved as its training script does, imported with the epsilon that the file shows, detects."""
    detection = pytest.importorskip("torchvision.models.detection", reason="needs torchvision 0.28 for the same torch")
    model = detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=64).eval()
    torch.save({"model": model.state_dict(), "epoch": 1, "args": Namespace(lr=0.1)}, tmp_path / "model_0.pth")
    out = tmp_path / "w.safetensors"
    import_weights(tmp_path / "model_0.pth", files.WeightsMetadata(name="retinanet_tv-resnet50-800"), out)
    metadata = files.read_metadata(out)
    assert metadata.norm_eps == 1e-5
    detector = build(metadata.apply_to(spec(metadata.name)))
    files.load(detector, out)
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        maps = detector.features(Images(pixels, torch.tensor([[64.0, 64.0]])))
        wanted = model.backbone(model.transform([pixels[0] / 255])[0].tensors).values()
        for found, other in zip(maps, wanted, strict=True):
            assert (found - other).abs().max() <= 1e-4 * other.abs().max()
        logits = model.head(list(wanted))["cls_logits"]
        assert (detector.heads[0](maps).logits - logits).abs().max() <= 1e-4 * logits.abs().max()


def test_without_an_answer_a_frozen_file_is_not_imported(tmp_path, monkeypatch):
    """Its epsilon is asked by an import and where it is loaded; a published file's is known by its hash."""
    path, name = tmp_path / "w.pth", "retinanet_tv-resnet50-800"
    monkeypatch.setattr(torch_file.torch, "load", lambda *_, **__: checkpoint("retinanet_resnet50_fpn", frozen=True))
    monkeypatch.setattr(torch_file, "check_plain", lambda found, path: None)  # its tensors have no memory
    path.write_bytes(b"frozen")
    for load in (
        lambda: import_weights(path, files.WeightsMetadata(name=name), tmp_path / "out.safetensors"),
        lambda: files.load(on_meta(spec(name)), path),
    ):
        with pytest.raises(WeightsError, match=r"w\.pth: .*--norm-eps") as refused:
            load()
        assert refused.value.id == "weights-norm-eps"
    monkeypatch.setattr(files, "NAMINGS", (replace(NAMING, published_eps={sha256(path)[:8]: 0.0}),))
    file = files.read(path)
    file.check_said({})
    assert file.metadata(spec(name)) == {"classes": 91, "unused": 1, "norm_eps": 0.0}


def test_a_name_for_the_background_of_retinanet_is_not_needed(tmp_path):
    """torchvision counts it among the classes of RetinaNet, and nothing is trained to be it."""
    tensors = checkpoint("retinanet_resnet50_fpn", frozen=True)
    tensors["head.classification_head.cls_logits.bias"] = torch.empty(9 * 3, device="meta")
    (tmp_path / "w.pth").write_bytes(b"two classes")
    file = files.WeightsFile(path=tmp_path / "w.pth", format=torch_file.FORMAT, naming=NAMING, tensors=tensors)

    def labels(*names):
        metadata = files.WeightsMetadata(name="retinanet_tv-resnet50-800", labels=names, norm_eps=0.0)
        return _completed(metadata, file).labels

    assert labels("cat", "dog") == (None, "cat", "dog")
    assert labels("cell", "cat", "dog") == ("cell", "cat", "dog")
    with pytest.raises(WeightsError, match=r"w\.pth: has 3 classes, .*slot 0.* 5 are named") as refused:
        labels(*"abcde")
    assert refused.value.id == "weights-other"


@pytest.mark.parametrize("model", DETECTORS)
def test_only_retinanet_has_a_class_that_is_never_trained(model):
    unused = NAMING.metadata(checkpoint(model), spec(DETECTORS[model])).get("unused", 0)
    assert unused == (model == "retinanet_resnet50_fpn")


def timms(net):
    """The weights of our VGG-16 by the names of timm's."""
    state, tensors = net.state_dict(), {}
    for name in state:
        if name.startswith("blocks."):
            _, block, layer, leaf = name.split(".")
            tensors[f"features.{VGG[int(block)] + int(layer)}.{leaf}"] = state[name]
    for ours, theirs, side in (("fc6", "fc1", 7), ("fc7", "fc2", 1)):
        rows, columns = state[f"{ours}.weight"].shape
        tensors[f"pre_logits.{theirs}.weight"] = state[f"{ours}.weight"].view(rows, columns // side**2, side, side)
        tensors[f"pre_logits.{theirs}.bias"] = state[f"{ours}.bias"]
    return tensors | {"head.fc.weight": torch.ones(1000, rows), "head.fc.bias": torch.ones(1000)}


@torch.no_grad()
def test_the_classifier_of_timms_vgg_is_the_tail_of_ours():
    """Its fc6 and fc7 are convolutions."""
    made, net = build_backbone("vgg16", 0.125), build_backbone("vgg16", 0.125)
    tensors = timms(made)
    fill(net, tensors)
    crops = torch.rand(2, 64, 7, 7)
    hidden = torch.conv2d(crops, tensors["pre_logits.fc1.weight"], tensors["pre_logits.fc1.bias"]).relu()
    wanted = torch.conv2d(hidden, tensors["pre_logits.fc2.weight"], tensors["pre_logits.fc2.bias"]).relu()
    torch.testing.assert_close(net.tail(crops), wanted.flatten(1), rtol=1e-4, atol=1e-5)


def test_features_alone_have_a_backbone_of_their_own():
    """torchvision publishes a VGG-16 with NaN for a classifier, whose pixels are not divided."""
    state = build_backbone("vgg16_features", 0.125).state_dict()
    features = {name: values for name, values in timms(build_backbone("vgg16", 0.125)).items() if "features" in name}
    marked = features | {f"classifier.{i}.bias": torch.full((8,), torch.nan) for i in (0, 3, 6)}
    for tensors, factor in ((features, DEVIATION), (marked, (1.0, 1.0, 1.0))):
        with pytest.raises(WeightsError, match="vgg16_features") as refused:
            NAMING.state(tensors, build_backbone("vgg16", 0.125))
        assert refused.value.id == "weights-other"
        found = NAMING.state(tensors, build_backbone("vgg16_features", 0.125))
        assert found.keys() == state.keys()
        divided = found["blocks.0.0.weight"] * torch.tensor(factor).view(-1, 1, 1)
        torch.testing.assert_close(divided, tensors["features.0.weight"])
