"""Our operators equal torchvision 0.28's, if it is installed; the loops in the other files need nothing.

RoIAlign, RoIPool and suppression have the same definitions. torchvision's position-sensitive pools do not: our crop is
TensorFlow's, whose samples reach from edge to edge of a bin and whose channels are bin-major as in the paper. Theirs
sample the centers of equal parts (`ps_roi_align`) or average whole cells (`ps_roi_pool`), with class-major channels.
With one sample per bin, positions converted to cells and channels reordered, all three give the same numbers.
"""

import pytest
import torch

from paretodet.ops.nms import nms
from paretodet.ops.roi import position_sensitive_crop, roi_align, roi_pool

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("torchvision.ops", reason="needs torchvision 0.28 for the same torch")


def crowd(count, seed, canvas=800, centers=40):
    """Boxes [count, 4] around a few places on quarters of a pixel, and scores of which many tie."""
    noise = torch.Generator().manual_seed(seed)
    center = (torch.rand(centers, 2, generator=noise) * canvas)[torch.randint(centers, (count,), generator=noise)]
    center = center + torch.randn(count, 2, generator=noise) * 8
    size = torch.rand(count, 2, generator=noise) * 90 + 2
    boxes = torch.cat([center - size / 2, center + size / 2], 1).mul(4).round().div(4).clamp(0, canvas)
    return boxes, (torch.rand(count, generator=noise) * 500).floor() / 500


def scene(seed=0, channels=18, stride=8):
    """Maps [2, C, 20, 26] and boxes [2, 40, 4] px: some leave the map, some have no area."""
    noise = torch.Generator().manual_seed(seed)
    corners = torch.rand(2, 40, 2, 2, generator=noise) * torch.tensor([240.0, 190.0]) - 16
    boxes = torch.cat([corners.amin(2), corners.amax(2)], -1)
    boxes[:, 0, 2:] = boxes[:, 0, :2]
    return torch.randn(2, channels, 20, 26, generator=noise), boxes


def close(found, wanted):
    assert (found.flatten(0, 1) - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("count", [1, 300, 5000])
def test_suppression(theirs, count, overlap):
    boxes, scores = crowd(count, seed=count)
    wanted = theirs.nms(boxes, scores, overlap)
    found = nms(boxes[None], scores[None], overlap=overlap, keep=count)[0]
    assert torch.equal(found[: len(wanted)], wanted) and (found[len(wanted) :] == -1).all()


@pytest.mark.parametrize("count", [300, 5000])  # torchvision moves classes apart, or takes them in turn
def test_suppression_within_classes(theirs, count):
    boxes, scores = crowd(count, seed=count)
    scores = torch.arange(count)[torch.randperm(count, generator=torch.Generator().manual_seed(0))] / count
    labels = torch.randint(7, (count,), generator=torch.Generator().manual_seed(1))
    wanted = theirs.batched_nms(boxes, scores, labels, 0.5)
    found = nms(boxes[None], scores[None], labels[None], overlap=0.5, keep=count)[0]
    assert torch.equal(found[: len(wanted)], wanted)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("bins", "samples"), [(7, 2), (14, 2), (3, 1), (7, 0)])
def test_roi_align(theirs, bins, samples, aligned):
    features, boxes = scene()
    wanted = theirs.roi_align(features, list(boxes), bins, 1 / 8, samples or -1, aligned)
    close(roi_align([features], boxes, strides=[8], bins=bins, samples=samples, aligned=aligned), wanted)


@pytest.mark.parametrize("samples", [2, 0])
def test_roi_align_gradients(theirs, samples):
    features, boxes = scene()
    one, other = (features.clone().requires_grad_() for _ in range(2))
    weight = torch.randn(80, 18, 7, 7, generator=torch.Generator().manual_seed(2))
    (theirs.roi_align(one, list(boxes), 7, 1 / 8, samples or -1, True) * weight).sum().backward()
    crops = roi_align([other], boxes, strides=[8], bins=7, samples=samples, aligned=True)
    (crops.flatten(0, 1) * weight).sum().backward()
    torch.testing.assert_close(other.grad, one.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bins", [1, 2, 7])
def test_roi_pool(theirs, bins):
    features, boxes = scene(seed=1)
    assert torch.equal(
        roi_pool(features, boxes, stride=8, bins=bins).flatten(0, 1),
        theirs.roi_pool(features, list(boxes), bins, 1 / 8),
    )


def in_cells(boxes, features, stride):
    """Boxes that our crop reads at a half-pixel convention's places: cell = place / stride - 1/2."""
    height, width = features.shape[2:]
    scale = torch.tensor([width / (width - 1), height / (height - 1)] * 2)
    return (boxes / stride - 0.5) * stride * scale


def bin_major(features, bins):
    """Channels of class, then bin -> of bin, then class."""
    return features.unflatten(1, (-1, bins * bins)).transpose(1, 2).flatten(1, 2)


def test_position_sensitive_align(theirs):
    """Inside the map: outside, theirs reads the border and ours 0."""
    features, boxes = scene(seed=2)
    boxes = boxes.clamp(min=4) - torch.relu(boxes - torch.tensor([204.0, 156.0] * 2))
    wanted = theirs.ps_roi_align(features, list(boxes), 3, 1 / 8, 1)
    found = position_sensitive_crop(
        bin_major(features, 3), in_cells(boxes, features, 8), 3, (20 * 8, 26 * 8), samples=1
    )
    close(found, wanted)


def test_position_sensitive_pool(theirs):
    """On boxes of three cells a side every bin is one cell. Theirs never reads the map's last row and column."""
    features, _ = scene(seed=3)
    corner = torch.tensor([[[2.0, 3.0], [0.0, 0.0], [22.0, 16.0]]]).expand(2, -1, -1) * 8
    boxes = torch.cat([corner, corner + 24], -1)
    wanted = theirs.ps_roi_pool(features, list(boxes), 3, 1 / 8)
    found = position_sensitive_crop(
        bin_major(features, 3), in_cells(boxes, features, 8), 3, (20 * 8, 26 * 8), samples=1
    )
    close(found, wanted)
