"""Networks of the timm library as backbones, if timm is installed, and the error if it is not."""

import importlib
import sys
from dataclasses import replace

import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.detectors.spec import Pixels, from_data, to_data
from paretodet.types import Images

HOME = "paretodet.backbones.timm"
IMAGENET = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


@pytest.fixture
def make():
    """The spec class, or a skip with the reason."""
    pytest.importorskip("timm", reason="timm is not installed: pip install 'paretodet[timm]'")
    return importlib.import_module(HOME).Timm


@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet", "test_convnext", "densenet121"])
@pytest.mark.parametrize("taps", [(-3, -2, -1), (0, 2)])
@torch.no_grad()
def test_channels_and_strides_are_known_without_running(make, model, taps):
    net = make(model=model, taps=taps).build().eval()
    maps = net.trunk(torch.zeros(2, 3, 64, 96))
    assert tuple(m.shape[1] for m in maps) == net.info.channels
    assert [tuple(m.shape[2:]) for m in maps] == [(64 // s, 96 // s) for s in net.info.strides]


@torch.no_grad()
def test_dilation_replaces_stride(make):
    net = make(model="test_resnet", output_stride=8).build().eval()
    assert net.info.strides == (8, 8, 8)
    assert {m.shape[2:] for m in net.trunk(torch.zeros(1, 3, 64, 64))} == {(8, 8)}


@torch.no_grad()
def test_a_network_with_channels_last(make):
    """timm's Swin gives [B, H, W, C]; ours is [B, C, H, W] with the same numbers."""
    net = make(model="swin_tiny_patch4_window7_224", taps=(-2, -1), options=(("img_size", 64),)).build().eval()
    pixels = torch.randn(1, 3, 64, 64)
    for found, theirs in zip(net.trunk(pixels), net.net(pixels), strict=True):
        assert torch.equal(found.permute(0, 2, 3, 1), theirs)
    assert [m.shape[1:] for m in net.trunk(pixels)] == [(384, 4, 4), (768, 2, 2)]


def test_a_spec_is_data(make):
    chosen = make(model="test_vit", options=(("img_size", (64, 96)), ("dynamic_img_size", False)))
    assert from_data(to_data(chosen)) == chosen
    assert hash(chosen) == hash(from_data(to_data(chosen)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "resnet51"}, "model: got 'resnet51', allowed timm's architectures, such as resnet"),
        ({"model": "hf-hub:timm/resnet50"}, "model: got 'hf-hub"),
        ({"taps": ()}, "taps: got"),
        ({"taps": (2, 1)}, "taps: got"),
        ({"taps": (0, -1)}, "taps: got"),
        ({"taps": (-1, 0)}, "taps: got"),
        ({"output_stride": 4}, "output_stride: got 4"),
        ({"options": (("pretrained", True),)}, "options: got 'pretrained'"),
    ],
)
def test_bad_fields_are_named(make, fields, message):
    with pytest.raises(ValueError, match=message):
        make(**{"model": "test_resnet"} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "test_resnet", "taps": (9,)},
        {"model": "swin_tiny_patch4_window7_224", "output_stride": 16},
        {"model": "test_resnet", "options": (("no_such_argument", 1),)},
    ],
)
def test_unsupported_arguments_are_refused_in_build(make, fields):
    with pytest.raises(ValueError, match="backbone: got model .* which timm cannot build: ."):
        make(**fields).build()


def test_the_same_weights_give_timms_maps(make):
    """The maps of the whole classifier at the taps."""
    import timm

    torch.manual_seed(0)
    net, whole = make(model="test_resnet").build().eval(), timm.create_model("test_resnet", pretrained=False).eval()
    net.net.load_state_dict({k: v for k, v in whole.state_dict().items() if k in net.net.state_dict()})
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.allclose(net.trunk(pixels)[-1], whole.forward_features(pixels), atol=1e-6)


@torch.no_grad()
def test_a_detector_on_it_is_one_expression(make):
    made = replace(
        spec("ssd-mobilenet_v1-300"),
        name="ssd-timm_test_resnet-300",
        pixels=IMAGENET,
        backbone=make(model="test_resnet", taps=(-2, -1)),
    )
    detector = Detector(made).eval()
    images = Images(torch.zeros(1, 3, 300, 300, dtype=torch.uint8), torch.tensor([[300.0, 300.0]]))
    assert detector(images).boxes.shape == (1, 100, 4)
    assert detector.info.channels[:2] == (192, 96)


@torch.no_grad()
def test_a_trunk_exports_strictly(make):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make(model="test_resnet").build()

        def forward(self, pixels):
            return self.net.trunk(pixels)

    whole, pixels = Whole().eval(), torch.randn(1, 3, 64, 64)
    exported = torch.export.export(whole, (pixels,), strict=True).module()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(exported(pixels), whole(pixels), strict=True))


def test_without_timm_the_error_has_its_installation(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, HOME, raising=False)
    with pytest.raises(ImportError, match=r"need timm; run pip install 'paretodet\[timm\]'"):
        importlib.import_module(HOME)
