"""ResNet: where it halves and dilates, which maps it returns, and how its three layouts relate."""

import pytest
import torch

from paretodet.backbones.resnet import ResNet, ResNetStage, steps
from paretodet.layers.norms import BatchNorm

THIN = BatchNorm(eps=1e-5)


def flat(units, layout, output_stride):
    return [(s.squeeze, s.spatial, s.dilation) for block in steps(units, layout, output_stride) for s in block]


def test_slim_halves_in_the_last_unit():
    """TF-slim's stack_blocks_dense: the last unit of a block carries its stride."""
    plain = (1, 1, 1)
    assert flat((2, 2, 2), "slim", 16) == [plain, (1, 2, 1), plain, (1, 2, 1), plain, plain]
    assert flat((2, 2, 2), "slim", 8) == [plain, (1, 2, 1), plain, plain, (1, 1, 2), (1, 1, 2)]
    assert flat((2, 2, 2, 2), "slim", 16)[-2:] == [(1, 1, 2)] * 2


def test_caffe_and_torchvision_halve_in_the_first_unit():
    plain = (1, 1, 1)
    assert flat((2,) * 4, "caffe", 32) == [plain, plain] + [(2, 1, 1), plain] * 3
    assert flat((2,) * 4, "torchvision", 32) == [plain, plain] + [(1, 2, 1), plain] * 3
    assert flat((2,) * 4, "torchvision", 16)[-2:] == [(1, 1, 1), (1, 1, 2)]
    assert flat((2,) * 4, "caffe", 16)[-2:] == [(1, 1, 2), (1, 1, 2)]


@pytest.fixture(params=["slim", "caffe", "torchvision"])
def layout(request):
    return request.param


def net(**fields):
    torch.manual_seed(0)
    made = ResNet(depth=50, width=0.125, norm=THIN, **fields).build().eval()
    for name, value in made.named_buffers():
        if name.endswith("running_var"):
            value.fill_(0.2)
    return made


@torch.no_grad()
@pytest.mark.parametrize("side", [64, 97])
def test_a_dilated_network_contains_the_strided_one(layout, side):
    pixels = torch.randn(1, 3, side, side)
    strided, dilated = (net(layout=layout, taps=(2, 3, 4, 5), tail=False, output_stride=s) for s in (32, 8))
    dilated.load_state_dict(strided.state_dict())
    for coarse, dense, a, b in zip(
        strided.trunk(pixels), dilated.trunk(pixels), strided.info.strides, dilated.info.strides, strict=True
    ):
        assert torch.allclose(coarse, dense[:, :, :: a // b, :: a // b], rtol=1e-4, atol=1e-5 * coarse.abs().max())


@pytest.mark.parametrize("side", [33, 224, 301])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_maps_have_the_size_of_their_strides(layout, output_stride, side):
    with torch.device("meta"):
        made = ResNet(depth=50, layout=layout, taps=(2, 3, 4, 5), tail=False, output_stride=output_stride).build()
        maps = made.trunk(torch.zeros(1, 3, side, side))
    assert made.info.channels == (256, 512, 1024, 2048)
    assert [m.shape[1] for m in maps] == [256, 512, 1024, 2048]
    assert [m.shape[2] for m in maps] == [-(-side // stride) for stride in made.info.strides]
    assert made.info.strides[-1] == output_stride


def test_the_layouts_first_map_differs():
    """Slim's conv2 ends in a stride, the others' does not."""
    strides = {name: ResNet(layout=name, taps=(2, 3, 4, 5), tail=False, output_stride=32) for name in ("slim", "caffe")}
    with torch.device("meta"):
        assert strides["slim"].build().info.strides == (8, 16, 32, 32)
        assert strides["caffe"].build().info.strides == (4, 8, 16, 32)


@torch.no_grad()
def test_names_of_weights_do_not_depend_on_the_cut(layout):
    """conv5 is `block4` as a tail and at the trunk's end; with stride and dilation 1 the two are equal."""
    whole, cut = net(layout=layout, taps=(2, 4, 5), tail=False, output_stride=8), net(layout=layout, output_stride=8)
    assert list(whole.state_dict()) == list(cut.state_dict())
    cut.load_state_dict(whole.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.equal(whole.trunk(pixels)[1], cut.trunk(pixels)[0])
    assert cut.tail_channels == 256 and whole.tail_channels == 0
    assert all(unit.spatial.conv.dilation == (1, 1) and unit.stride == 1 for unit in cut.block4)
    assert cut.tail(torch.zeros(3, 128, 7, 7)).shape == (3, 256, 7, 7)


@pytest.mark.parametrize("taps", [(2,), (3,), (2, 3)])
def test_blocks_after_the_last_tap_are_not_built(taps):
    with torch.device("meta"):
        made = ResNet(depth=50, taps=taps, tail=False).build()
    assert len(made.blocks) == {2: 3, 3: 7}[taps[-1]]
    assert not any(name.startswith("block4") for name, _ in made.named_parameters())


@torch.no_grad()
@pytest.mark.full
def test_exports_strictly_and_compiles_without_a_break(layout):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net(layout=layout, taps=(3, 5), tail=False, output_stride=16)

        def forward(self, x):
            return self.net.trunk(x)

    whole, pixels = Whole().eval(), torch.randn(1, 3, 65, 65)
    exported = torch.export.export(whole, (pixels,), strict=True).module()
    for found, wanted in zip(exported(pixels), whole(pixels), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)
    compiled = torch.compile(whole, fullgraph=True, backend="eager")
    assert all(torch.equal(found, wanted) for found, wanted in zip(compiled(pixels), whole(pixels), strict=True))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"depth": 34}, "depth: got 34"),
        ({"layout": "tf"}, "layout: got 'tf'"),
        ({"taps": ()}, "taps"),
        ({"taps": (1,)}, "taps"),
        ({"taps": (4, 3)}, "taps"),
        ({"taps": (4, 4)}, "taps"),
        ({"taps": (2, 3)}, "tail: got True"),
        ({"taps": (4, 5)}, "tail: got True"),
        ({"output_stride": 4}, "output_stride: got 4"),
        ({"width": 0.0}, "width: got 0.0"),
    ],
)
def test_bad_fields_are_named(fields, field):
    with pytest.raises(ValueError, match=field):
        ResNet(**fields)


def test_the_stride_of_a_unit():
    assert ResNetStage(2, 1, 1).stride == ResNetStage(1, 2, 4).stride == 2
