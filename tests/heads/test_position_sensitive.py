"""R-FCN's head against a loop over boxes, bins and samples that reads one point at a time."""

import pytest
import torch
import torch.nn.functional as F

from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.types import FeatureInfo, References

CANVAS = (64, 96)
INFO = FeatureInfo((6,), (8,))


def head(bins=3, crop=6, classes=2, tail_channels=0, depth=5):
    torch.manual_seed(0)
    made = PositionSensitiveHead(bins=bins, crop=crop, depth=depth).build(INFO, tail_channels, classes, classes + 1)
    for layer in made.children():  # its initial weights are nearly 0
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    return made


def references(batch=2, count=4, seed=0):
    noise = torch.Generator().manual_seed(seed)
    low, high = torch.rand(2, batch, count, 2, generator=noise).sort(0).values
    boxes = torch.cat([low, high], -1) * torch.tensor([CANVAS[1], CANVAS[0]] * 2)
    return References(boxes, torch.ones(count, 1), (count,))


def maps(batch=2, channels=6):
    return (torch.randn(batch, channels, 8, 12, generator=torch.Generator().manual_seed(1)),)


def identity(x):
    return x


def point(plane, y, x):
    """One bilinear sample [D] of a plane [D, H, W] at (y, x) in cells."""
    height, width = plane.shape[1:]
    grid = torch.tensor([[[[2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1]]]])
    return F.grid_sample(plane[None], grid, align_corners=True, padding_mode="border")[0, :, 0, 0]


def voted(scores, box, bins, crop):
    """The mean over all bins of the mean over a bin's samples, each bin in its own channels: [D]."""
    depth, samples = scores.shape[0] // bins**2, crop // bins
    left, top, right, bottom = (box / torch.tensor([CANVAS[1], CANVAS[0]] * 2)).tolist()
    shares = [i / (samples - 1) if samples > 1 else 0.5 for i in range(samples)]
    found = []
    for row in range(bins):
        for col in range(bins):
            plane = scores[(row * bins + col) * depth :][:depth]
            for down in shares:
                for across in shares:
                    y = (top + (bottom - top) * (row + down) / bins) * (plane.shape[1] - 1)
                    x = (left + (right - left) * (col + across) / bins) * (plane.shape[2] - 1)
                    found.append(point(plane, y, x))
    return torch.stack(found).mean(0)


@pytest.mark.parametrize(("bins", "crop"), [(3, 12), (7, 21), (2, 2), (1, 3)])
@torch.no_grad()
def test_a_proposal_equals_a_loop(bins, crop):
    made, refs, (pixels,) = head(bins, crop), references(), maps()
    found = made((pixels,), refs, CANVAS, identity)
    reduced = F.relu(made.reduce(pixels))
    for image in range(2):
        for index, box in enumerate(refs.boxes[image]):
            logits = voted(made.scores(reduced)[image], box, bins, crop)
            codes = voted(made.boxes(reduced)[image], box, bins, crop).view(2, 4)
            torch.testing.assert_close(found.logits[image, index], logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(found.codes[image, index], codes, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_tail_runs_once_on_the_whole_map():
    seen = []

    def tail(x):
        seen.append(x.shape)
        return F.avg_pool2d(x, 2).repeat(1, 2, 1, 1)

    found = head(tail_channels=12)(maps(), references(count=9), CANVAS, tail)
    assert seen == [(2, 6, 8, 12)]
    assert found.codes.shape == (2, 9, 2, 4) and found.logits.shape == (2, 9, 3)


@torch.no_grad()
def test_on_constant_maps_the_box_does_not_matter():
    made = head()
    flat = (torch.ones(1, 6, 8, 12),)
    found = made(flat, references(batch=1), CANVAS, identity)
    wanted = made.scores(F.relu(made.reduce(flat[0])))[0, :, 0, 0].view(9, 3).mean(0)
    torch.testing.assert_close(found.logits[0], wanted.expand(4, 3), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_proposal_does_not_read_outside_its_box():
    made, refs = head(), references(batch=1, count=1)
    refs = refs._replace(boxes=torch.tensor([[[0.0, 0.0, 40.0, 60.0]]]))
    pixels = maps(batch=1)[0]
    changed = pixels.clone()
    changed[..., 6:] += 1  # the box ends at column 40 / 96 * 11 = 4.6
    both = [made((x,), refs, CANVAS, identity) for x in (pixels, changed)]
    assert torch.equal(both[0].logits, both[1].logits)
    assert not torch.equal(made((changed.flip(-1),), refs, CANVAS, identity).logits, both[0].logits)


def test_gradient_reaches_maps_and_every_weight_and_no_box():
    made, refs, (pixels,) = head(), references(), maps()
    pixels.requires_grad_()
    refs.boxes.requires_grad_()
    found = made((pixels,), refs, CANVAS, identity)
    (found.codes.square().sum() + found.logits.square().sum()).backward()
    assert refs.boxes.grad is None
    for part in (pixels, *made.parameters()):
        assert part.grad is not None and part.grad.isfinite().all() and part.grad.abs().sum() > 0


@pytest.mark.parametrize("tail_channels", [0, 6])
@torch.no_grad()
def test_strict_export_equals_eager(tail_channels):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.tail = head(tail_channels=tail_channels), torch.nn.Conv2d(6, 6, 3, stride=2)

        def forward(self, pixels, boxes):
            refs = References(boxes, torch.ones_like(boxes[0, :, :1]), (boxes.shape[1],))
            return self.head((pixels,), refs, CANVAS, self.tail)

    net, inputs = Net().eval(), (*maps(), references().boxes)
    exported = torch.export.export(net, inputs, strict=True).module()
    for found, wanted in zip(exported(*inputs), net(*inputs), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(("bins", "crop"), [(7, 20), (0, 0), (3, 0), (4, 2)])
def test_a_crop_that_is_not_a_multiple_of_bins_is_refused(bins, crop):
    with pytest.raises(ValueError, match=f"crop: got {crop}, allowed multiples of bins, {bins}"):
        PositionSensitiveHead(bins=bins, crop=crop)
