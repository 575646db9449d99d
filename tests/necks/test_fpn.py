"""The feature pyramid: its sums by hand, its sizes on odd canvases, its extra levels."""

import pytest
import torch
import torch.nn.functional as F

from paretodet.necks.fpn import FPN, Convolutions, Subsample
from paretodet.types import FeatureInfo

RESNET = FeatureInfo((256, 512, 1024, 2048), (4, 8, 16, 32))


def maps(info, height, width, batch=1):
    torch.manual_seed(0)
    return tuple(
        torch.randn(batch, c, -(-height // s), -(-width // s)) for c, s in zip(info.channels, info.strides, strict=True)
    )


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("info", "extra", "count"),
    [
        (FeatureInfo(RESNET.channels[1:], RESNET.strides[1:]), Convolutions(), 2_688_512 + 5_308_928),  # systems.md 8.1
        (RESNET, Subsample(), 3_344_384),  # systems.md 10.1
    ],
)
def test_parameters(info, extra, count):
    assert parameters(FPN(extra=extra).build(info)) == count


@pytest.mark.parametrize(("height", "width"), [(64, 64), (75, 101), (33, 47)])
@pytest.mark.parametrize(
    ("extra", "strides"),
    [
        (None, (8, 16, 32)),
        (Subsample(), (8, 16, 32, 64)),
        (Convolutions(), (8, 16, 32, 64, 128)),
        (Convolutions(smoothed=True), (8, 16, 32, 64, 128)),
    ],
)
def test_levels_of_any_canvas(extra, strides, height, width):
    info = FeatureInfo((6, 7, 9), (8, 16, 32))
    neck = FPN(channels=5, extra=extra).build(info).eval()
    found = neck(maps(info, height, width))
    assert neck.info == FeatureInfo((5,) * len(strides), strides)
    assert [tuple(x.shape[1:]) for x in found] == [(5, -(-height // s), -(-width // s)) for s in strides]


def test_a_level_is_its_lateral_and_the_coarser_level_enlarged():
    info = FeatureInfo((6, 7), (8, 16))
    neck = FPN(channels=5).build(info).eval()
    fine, coarse = maps(info, 40, 24)  # 5x3 and 3x2: the last row and column are not doubled
    rows, columns = torch.arange(5) * 3 // 5, torch.arange(3) * 2 // 3
    top = neck.laterals[1](coarse)
    wanted = neck.smooth[0](neck.laterals[0](fine) + top[:, :, rows][..., columns])
    low, high = neck((fine, coarse))
    torch.testing.assert_close(low, wanted)
    torch.testing.assert_close(high, neck.smooth[1](top))


def test_inputs_of_the_extra_levels():
    info = FeatureInfo((6, 7), (8, 16))
    given = maps(info, 80, 48)
    for extra in (Convolutions(), Convolutions(smoothed=True)):
        neck = FPN(channels=5, extra=extra).build(info).eval()
        _, p5, p6, p7 = neck(given)
        torch.testing.assert_close(p6, neck.extra.p6(p5 if extra.smoothed else given[-1]))
        torch.testing.assert_close(p7, neck.extra.p7(F.relu(p6)))
    _, coarsest, more = FPN(channels=5, extra=Subsample()).build(info).eval()(given)
    assert torch.equal(more, coarsest[:, :, ::2, ::2])


def test_maps_that_do_not_shrink_are_refused():
    with pytest.raises(ValueError, match=r"taps: got maps of strides \(16, 16\)"):
        FPN().build(FeatureInfo((8, 8), (16, 16)))


def test_0_channels_are_refused():
    with pytest.raises(ValueError, match="channels: got 0, allowed 1 or more"):
        FPN(channels=0)


def test_strict_export_and_one_graph():
    info = FeatureInfo((6, 7, 9), (8, 16, 32))
    neck = FPN(channels=5, extra=Convolutions()).build(info).eval()
    given = maps(info, 75, 101)
    wanted = neck(given)
    exported = torch.export.export(neck, (given,), strict=True).module()(given)
    compiled = torch.compile(neck, fullgraph=True, backend="eager")(given)
    for found in (exported, compiled):
        for level, truth in zip(found, wanted, strict=True):
            torch.testing.assert_close(level, truth)
