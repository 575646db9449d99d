"""Files with Detectron's names fill its detectors: first convolution in RGB, norms that only scale and shift."""

import pytest
import python2_pickles as python2
import torch

from paretodet.backbones.resnet import UNITS, ResNet
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.importing import import_weights
from paretodet.types import Images
from paretodet.weights import files, safe
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.namings import detectron
from paretodet.weights.safe import WeightsError

NAMES = (
    "retinanet-resnet50-800",
    "retinanet-resnet101-800",
    "faster_rcnn_fpn-resnet50-800x1344",
    "faster_rcnn_fpn-resnet101-800x1344",
    "mask_rcnn-resnet50-800x1024",
    "mask_rcnn-resnet101-800x1024",
    "cascade_rcnn-resnet50-800x1344",
    "cascade_rcnn-resnet101-800x1344",
)
DEPTH = {"resnet50": 50, "resnet101": 101}


def backbone_names(depth):
    """Pairs of our paths of convolutions and Detectron's names, as its `ResNet.py` makes them."""
    yield "stem", "conv1", "res_conv1"
    before = 0
    for stage, units in enumerate(UNITS[depth], 2):
        for unit in range(units):
            path = f"block4.{unit}" if stage == 5 else f"blocks.{before + unit}"
            branches = {"squeeze": "2a", "spatial": "2b", "expand": "2c"} | ({} if unit else {"shortcut": "1"})
            for ours, branch in branches.items():
                name = f"res{stage}_{unit}_branch{branch}"
                yield f"{path}.{ours}", name, name
        before += units


def other_names(depth, family):
    """Pairs of our paths of layers behind the backbone and Detectron's names, as its `FPN.py` and heads make them."""
    lowest = 3 if family == "retinanet" else 2
    for stage in range(lowest, 6):
        end = f"res{stage}_{UNITS[depth][stage - 2] - 1}_sum"
        yield f"neck.laterals.{stage - lowest}", f"fpn_inner_{end}" + ("" if stage == 5 else "_lateral")
        yield f"neck.smooth.{stage - lowest}", f"fpn_{end}"
    if family == "retinanet":
        yield from (("neck.extra.p6", "fpn_6"), ("neck.extra.p7", "fpn_7"))
        for ours, theirs in (("scores", "cls"), ("boxes", "bbox")):
            yield from ((f"heads.0.{ours}.convs.{i}.conv", f"retnet_{theirs}_conv_n{i}_fpn3") for i in range(4))
            yield f"heads.0.{ours}.out", f"retnet_{theirs}_pred_fpn3"
        return
    yield from (("heads.0.conv", "conv_rpn_fpn2"), ("heads.0.scores", "rpn_cls_logits_fpn2"))
    yield "heads.0.boxes", "rpn_bbox_pred_fpn2"
    for stage, end in enumerate(("", "_2", "_3") if family == "cascade_rcnn" else ("",), 1):
        yield from ((f"heads.{stage}.hidden.1", f"fc6{end}"), (f"heads.{stage}.hidden.3", f"fc7{end}"))
        yield from ((f"heads.{stage}.head.scores", f"cls_score{end}"), (f"heads.{stage}.head.boxes", f"bbox_pred{end}"))
    if family == "mask_rcnn":
        yield from ((f"mask_head.layers.conv{i}", f"_[mask]_fcn{i}") for i in range(1, 5))
        yield from (("mask_head.layers.enlarge", "conv5_mask"), ("mask_head.layers.masks", "mask_fcn_logits"))


def blobs(detector, depth):
    """The detector's weights under Detectron's names; its norms have to have no statistics."""
    state, found = detector.state_dict(), {}
    for path, conv, norm in backbone_names(depth):
        found[f"{conv}_w"] = state[f"backbone.{path}.conv.weight"]
        found[f"{norm}_bn_s"] = state[f"backbone.{path}.norm.weight"]
        found[f"{norm}_bn_b"] = state[f"backbone.{path}.norm.bias"]
    for path, name in other_names(depth, detector.spec.name.split("-")[0]):
        found |= {f"{name}_w": state[f"{path}.weight"], f"{name}_b": state[f"{path}.bias"]}
    found["conv1_w"] = found["conv1_w"].flip(1)  # from RGB to BGR
    return found


def trained_in_detectron():
    """What a file of Detectron has beside the weights of its detector."""
    rest = {"conv1_w_momentum": torch.ones(2), "fc6_b_momentum": torch.ones(2), "lr_momentum": torch.ones(1)}
    return rest | {"__preserve__/fc1000_w": torch.ones(2, 2), "__preserve__/pred_b": torch.ones(2)}


@torch.no_grad()
def drawn(made, seed=1):
    """A detector with random weights, factors and offsets, as Detectron trains one."""
    detector = build(made, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, values in detector.backbone.state_dict().items():
        if name.endswith(("norm.weight", "norm.bias")):
            values.copy_(torch.rand(values.shape, generator=generator))
        elif name.endswith("running_var"):
            values.fill_(1 - 1e-5)
    return detector


def thin(name):
    return scale_width(spec(name, Override(labels=("a", "b"))), 0.125)


@pytest.mark.parametrize("name", NAMES)
def test_all_tensors_have_a_place(name):
    depth = DEPTH[name.split("-")[1]]
    with torch.device("meta"):
        detector, other = Detector(spec(name)), Detector(spec(name))
    tensors = blobs(detector, depth) | trained_in_detectron()
    assert files.naming_of(tensors) is detectron.NAMING
    assert detectron.NAMING.metadata(tensors, spec(name)) == {"classes": 80}
    state = detectron.NAMING.state(tensors, other)
    assert {key: tuple(values.shape) for key, values in state.items()} == {
        key: tuple(values.shape) for key, values in detector.state_dict().items()
    }


@pytest.mark.parametrize("name", NAMES[::2])
def test_a_file_gives_the_same_detector(tmp_path, name):
    made = thin(name)
    detector, path = drawn(made), tmp_path / "model_final.pkl"
    content = {key: values.numpy() for key, values in (blobs(detector, 50) | trained_in_detectron()).items()}
    path.write_bytes(python2.detectron(content, cfg="MODEL: {}"))
    other = build(made, seed=2)
    files.load(other, path)
    for key, values in detector.state_dict().items():
        assert torch.equal(other.state_dict()[key], values), key


@torch.no_grad()
def test_the_first_convolution_reads_bgr_and_norms_scale_and_shift():
    made = thin("retinanet-resnet50-800")
    tensors = blobs(drawn(made), 50)
    detector = build(made, seed=2)
    safe.load_tensors(detector, detectron.NAMING.state(tensors, detector), "file")
    rgb = torch.randn(1, 3, 40, 40)
    wanted = torch.nn.functional.conv2d(rgb.flip(1), tensors["conv1_w"], stride=2, padding=3)
    wanted = wanted * tensors["res_conv1_bn_s"][:, None, None] + tensors["res_conv1_bn_b"][:, None, None]
    found = detector.backbone.stem(rgb)
    assert (found - wanted.relu()).abs().max() <= 1e-6 * wanted.abs().max()


def test_an_import_has_the_number_of_classes(tmp_path):
    path, name = tmp_path / "model_final.pkl", "retinanet-resnet50-64"
    made = spec(name, Override(labels=("a", "b")))
    trained = drawn(made)
    path.write_bytes(python2.detectron({key: values.numpy() for key, values in blobs(trained, 50).items()}))
    with pytest.raises(WeightsError, match="has 2 classes, and 80 are named"):
        import_weights(path, WeightsMetadata(name=name), tmp_path / "w.safetensors")
    done = import_weights(path, WeightsMetadata(name=name, labels=("a", "b")), tmp_path / "w.safetensors")
    assert (done.format, done.code_base, done.classes) == ("detectron", "Detectron", 2)
    images = Images(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.tensor([[64.0, 64.0]]))
    detector = build(made, seed=2)
    files.load(detector, tmp_path / "w.safetensors")
    with torch.no_grad():
        for found, wanted in zip(detector.features(images), trained.features(images), strict=True):
            assert torch.equal(found, wanted)


def test_a_backbone_is_filled_without_the_classifier():
    choice = ResNet(depth=50, layout="caffe", taps=(2, 3, 4, 5), tail=False, output_stride=32, width=0.125)
    detector = drawn(thin("retinanet-resnet50-800"))
    tensors = {key: values for key, values in blobs(detector, 50).items() if key.startswith(("res", "conv1"))}
    net = choice.build()
    rest = {"conv1_b": torch.zeros(8), "fc1000_w": torch.ones(2, 2), "fc1000_b": torch.ones(2)}
    safe.load_tensors(net, detectron.NAMING.state(tensors | rest, net), "file")
    for key, values in detector.backbone.state_dict().items():
        assert torch.equal(net.state_dict()[key], values)


@pytest.mark.parametrize(
    "made",
    [spec("retinanet_tv-resnet50-800"), spec("faster_rcnn-resnet101-600-s16-p100")],
    ids=lambda made: made.name,
)
def test_another_systems_detector_is_refused(made):
    tensors = {"res_conv1_bn_s": torch.ones(1), "cls_score_b": torch.ones(81)}
    with torch.device("meta"):
        detector = Detector(made)
    for ask in (lambda: detectron.NAMING.metadata(tensors, made), lambda: detectron.NAMING.state(tensors, detector)):
        with pytest.raises(WeightsError, match="Detectron's detectors differ"):
            ask()


def test_a_backbone_with_other_strides_is_refused():
    with torch.device("meta"):
        net = ResNet(depth=50, layout="torchvision", taps=(5,), tail=False, output_stride=32).build()
    with pytest.raises(WeightsError, match="import the file as resnet50_caffe"):
        detectron.NAMING.state({"res_conv1_bn_s": torch.ones(1)}, net)
