"""The weights of a classifier become a backbone's, and the training of any detector on it starts from them."""

import numpy as np
import pytest
import torch

from caffe_networks import faster_rcnn, write
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.opening import open_candidate
from paretodet.weights import files
from paretodet.weights.backbones import BACKBONES, build_backbone
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.finetune import initialize_from
from paretodet.weights.safe import WeightsError

WIDTH = 0.125
LABELS = Override(labels=("a", "b"))


def kept(path, name, *, width=WIDTH, seed=1):
    """A file with the weights of a backbone, all different from the initial ones."""
    torch.manual_seed(seed)
    net = build_backbone(name, width)
    for values in net.state_dict().values():
        if values.is_floating_point():
            values.uniform_(0.1, 0.2)
    files.save(net.state_dict(), path, WeightsMetadata(name=name, width=width))
    return net.state_dict()


def narrow(name, width=WIDTH):
    return build(WeightsMetadata(name=name, width=width).apply_to(spec(name, LABELS)))


@pytest.mark.parametrize(
    ("backbone", "name", "random"),
    [
        ("vgg16", "faster_rcnn_ren-vgg16-600x850-p300", ()),
        ("vgg16", "faster_rcnn-vgg16-600-s16-p300", ()),
        ("vgg16", "ssd_liu-vgg16-300", ("fc6", "fc7")),
        ("vgg16_reduced", "ssd_liu-vgg16-300", ()),
        ("vgg16_features", "faster_rcnn_ren-vgg16-600x850-p300", ("fc6", "fc7")),
        ("vgg16_features", "ssd_liu-vgg16-300", ("fc6", "fc7")),
        ("vgg16_reduced", "faster_rcnn_ren-vgg16-600x850-p300", ("fc6", "fc7")),
        ("mobilenet_v1", "ssd-mobilenet_v1-300", ()),
        ("inception_v2", "faster_rcnn-inception_v2-600-s16-p300", ()),
        ("resnet101", "ssd-resnet101-300-s16", ()),
        ("resnet50_torchvision", "retinanet_tv-resnet50-800", ()),
        ("resnet50_caffe", "faster_rcnn_fpn-resnet50-800x1344", ()),
    ],
)
def test_a_backbone_fills_the_detectors_on_it(tmp_path, backbone, name, random):
    path = tmp_path / "backbone.safetensors"
    given = kept(path, backbone)
    detector = narrow(name)
    before = {key: values.clone() for key, values in detector.state_dict().items()}
    new = initialize_from(detector, path, name)
    assert {key.split(".")[1] for key in new if key.startswith("backbone.")} == set(random)
    assert any(key.startswith("heads.") for key in new)
    found = detector.state_dict()
    filled = [key for key in found if key not in new and found[key].is_floating_point()]
    assert filled and all(key.startswith("backbone.") for key in filled)
    assert all(torch.equal(found[key], before[key]) for key in new)
    values = {tuple(tensor.flatten()[:9].tolist()) for tensor in given.values()}
    assert all(tuple(found[key].flatten()[:9].tolist()) in values for key in filled)


def test_the_layers_of_vgg_keep_their_order_in_ssd(tmp_path):
    path = tmp_path / "backbone.safetensors"
    given, detector = kept(path, "vgg16"), narrow("ssd_liu-vgg16-300")
    initialize_from(detector, path, "ssd_liu-vgg16-300")
    state = detector.state_dict()
    for block, index in ((0, 0), (1, 1), (3, 5)):
        assert torch.equal(state[f"backbone.conv4_3.{block}.{index}.weight"], given[f"blocks.{block}.{index}.weight"])
    assert torch.equal(state["backbone.conv5_3.5.bias"], given["blocks.4.5.bias"])


@pytest.mark.parametrize(
    ("backbone", "name", "width", "id"),
    [
        ("mobilenet_v1", "ssd_liu-vgg16-300", WIDTH, "weights-other"),
        ("resnet50_caffe", "retinanet_tv-resnet50-800", WIDTH, "weights-other"),
        ("resnet50", "ssd-resnet101-300-s16", WIDTH, "weights-other"),  # the first blocks would fit
        ("vgg16", "ssd_liu-vgg16-300", 2 * WIDTH, "weights-shape"),
    ],
)
def test_another_backbone_or_width_is_refused(tmp_path, backbone, name, width, id):
    path = tmp_path / "backbone.safetensors"
    kept(path, backbone)
    with pytest.raises(WeightsError, match=r"backbone\.safetensors: ") as refused:
        initialize_from(narrow(name, width), path, name)
    assert refused.value.id == id


def test_a_file_without_the_tensors_of_its_backbone_fills_nothing(tmp_path):
    path = tmp_path / "backbone.safetensors"
    files.save({"strange": torch.zeros(1)}, path, WeightsMetadata(name="vgg16"))
    with pytest.raises(WeightsError, match="its tensors are not those of vgg16: blocks.0.0.bias is missing") as refused:
        initialize_from(narrow("ssd_liu-vgg16-300"), path, "ssd_liu-vgg16-300")
    assert refused.value.id == "weights-shape"


def test_a_backbone_is_no_detector(tmp_path):
    path = tmp_path / "backbone.safetensors"
    kept(path, "vgg16")
    with pytest.raises(WeightsError, match=r"backbone\.safetensors: weights of vgg16, not of ssd_liu-vgg16-300"):
        open_candidate("ssd_liu-vgg16-300", weights=path)
    with pytest.raises(WeightsError, match=r"backbone\.safetensors: 'vgg16' is not a detector"):
        open_candidate(str(path))


def test_only_known_backbones_are_built():
    with pytest.raises(ValueError, match="^backbone: got 'vgg17', allowed vgg16, "):
        build_backbone("vgg17")
    assert {"vgg16_reduced", "resnet50", "darknet53"} <= set(BACKBONES)
    assert all(spec.width == 1 for spec in BACKBONES.values())


def test_from_caffes_classifier_to_a_detector(tmp_path):
    """In the file the first layer takes BGR, ours RGB."""
    network = faster_rcnn((64, 64), classes=3, regions=8, width=WIDTH)
    noise = np.random.default_rng(0)
    layers = {
        name: [noise.random(shape, np.float32), noise.random(shape[0], np.float32)]
        for name, shape in network.shapes.items()
        if name.startswith("conv") or name in ("fc6", "fc7")
    }
    layers["fc8"] = [noise.random((1000, 512), np.float32), noise.random(1000, np.float32)]
    write(tmp_path / "VGG.caffemodel", network, layers, form="old")
    net = build_backbone("vgg16", WIDTH)
    files.load(net, tmp_path / "VGG.caffemodel")
    files.save(net.state_dict(), tmp_path / "vgg16.safetensors", WeightsMetadata(name="vgg16", width=WIDTH))
    name = "faster_rcnn_ren-vgg16-600x850-p300"
    detector = narrow(name)
    initialize_from(detector, tmp_path / "vgg16.safetensors", name)
    state = detector.state_dict()
    assert np.array_equal(state["backbone.blocks.0.0.weight"].numpy(), layers["conv1_1"][0][:, ::-1])
    assert np.array_equal(state["backbone.fc6.weight"].numpy(), layers["fc6"][0])
