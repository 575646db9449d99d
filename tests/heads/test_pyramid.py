"""Heads on a pyramid: the level of a box, Detectron's last pixel, the counts of Mask R-CNN's heads."""

import pytest
import torch

from paretodet.heads.mask import MaskHead
from paretodet.heads.pyramid import ConnectedHead, PyramidAlign, level_of
from paretodet.types import FeatureInfo, References

STRIDES = (4, 8, 16, 32)
INFO = FeatureInfo((256,) * 5, (*STRIDES, 64))
CANVAS = (128, 192)


def square(side):
    return torch.tensor([[[5.0, 7.0, 5.0 + side, 7.0 + side]]])


@pytest.mark.parametrize(
    ("side", "stride"),
    [(1, 4), (111.9, 4), (112, 8), (223.9, 8), (224, 16), (447, 16), (448, 32), (5000, 32)],  # equation 1: 224 -> 16
)
def test_the_level_of_a_box(side, stride):
    assert STRIDES[level_of(square(side), STRIDES).item()] == stride


def test_a_box_without_area_reads_the_finest_level():
    assert level_of(torch.zeros(1, 1, 4), STRIDES).item() == 0


def test_the_level_depends_on_the_area():
    wide = torch.tensor([[[0.0, 0.0, 448.0, 112.0]]])  # as large as a square of 224
    assert level_of(wide, STRIDES).item() == 2


def maps(channels=3, seed=0):
    noise = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, channels, CANVAS[0] // s, CANVAS[1] // s, generator=noise) for s in INFO.strides)


def test_each_box_is_cropped_from_its_level_alone():
    flat = tuple(torch.full_like(x, float(level)) for level, x in enumerate(maps()))
    boxes = torch.cat([square(side) for side in (30, 115, 300, 500)], 1).expand(2, -1, -1)
    found = PyramidAlign(bins=5)(flat, boxes, CANVAS).reshape(2, 4, -1)
    assert [found[0, i].unique().tolist() for i in range(2)] == [[0.0], [1.0]]
    assert found[0, 2].max() == 2 and found[0, 3].max() == 3


def test_trimmed_boxes_end_a_pixel_earlier():
    boxes = torch.tensor([[[10.0, 20.0, 90.0, 70.0]]]).expand(2, 1, 4)
    ends = boxes - torch.tensor([0.0, 0, 1, 1])
    expected = PyramidAlign()(maps(), ends, CANVAS)
    assert torch.equal(PyramidAlign(trim=1.0)(maps(), boxes, CANVAS), expected)
    assert not torch.equal(PyramidAlign()(maps(), boxes, CANVAS), expected)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_counts_of_the_heads():
    """systems.md 10.1: Detectron's with 81 classes."""
    with torch.device("meta"):
        assert count(ConnectedHead().build(INFO, 0, 80, 81)) == 14_310_805
        assert count(ConnectedHead(class_agnostic=True).build(INFO, 0, 80, 81)) == 14_310_805 - 79 * 4 * 1025
        assert count(ConnectedHead(background_box=False).build(INFO, 0, 80, 81)) == 14_310_805 - 4 * 1025
        assert count(MaskHead().build(INFO, 0, 80)) == 2_643_537
        assert count(MaskHead(background=False).build(INFO, 0, 80)) == 2_643_537 - 257


@pytest.mark.parametrize("class_agnostic", [False, True])
@torch.no_grad()
def test_a_head_is_its_crop_and_then_its_prediction(class_agnostic):
    torch.manual_seed(0)
    head = ConnectedHead(width=16, class_agnostic=class_agnostic).build(FeatureInfo((3,) * 5, INFO.strides), 0, 4, 5)
    boxes = torch.cat([square(20), square(60)], 1).expand(2, -1, -1)
    refs = References(boxes, torch.ones(2, 1), (2,))
    whole, halves = head(maps(), refs, CANVAS, None), head.predict(head.crop(maps(), boxes, CANVAS), refs, None)
    assert torch.equal(whole.codes, halves.codes) and torch.equal(whole.logits, halves.logits)
    assert whole.codes.shape == ((2, 2, 4) if class_agnostic else (2, 2, 4, 4))


@torch.no_grad()
def test_the_one_box_of_all_classes_is_the_second():
    """The first is the background's, as Detectron has it."""
    torch.manual_seed(0)
    head = ConnectedHead(width=16, class_agnostic=True).build(FeatureInfo((3,) * 5, INFO.strides), 0, 4, 5)
    head.head.boxes.weight.zero_()
    head.head.boxes.bias.copy_(torch.arange(8.0))
    refs = References(square(20).expand(2, -1, -1), torch.ones(1, 1), (1,))
    assert head(maps(), refs, CANVAS, None).codes[:, 0].tolist() == [[4, 5, 6, 7]] * 2


def small_head():
    torch.manual_seed(0)
    return MaskHead(crop=PyramidAlign(bins=4), convs=2, channels=8).build(FeatureInfo((3,) * 5, INFO.strides), 0, 5)


@torch.no_grad()
def test_masks_are_indexed_after_the_background():
    head, boxes = small_head(), torch.cat([square(20), square(60)], 1).expand(2, -1, -1)
    labels = torch.tensor([[0, 4], [2, 2]])
    found = head(maps(), boxes, labels, CANVAS)
    every = head.layers(head.crop(maps(), boxes, CANVAS)).view(2, 2, 6, 8, 8)
    assert found.shape == (2, 2, 8, 8)
    for image in range(2):
        for box in range(2):
            assert torch.equal(found[image, box], every[image, box, 1 + labels[image, box]])


def test_only_the_mask_of_the_label_is_trained():
    head = small_head()
    head(maps(), square(40).expand(2, 1, 4), torch.tensor([[1], [3]]), CANVAS).sum().backward()
    learned = head.layers.masks.bias.grad != 0
    assert learned.tolist() == [False, False, True, False, True, False]


@torch.no_grad()
def test_the_coarsest_map_is_not_cropped():
    torch.manual_seed(0)
    head = ConnectedHead(width=16).build(FeatureInfo((3,) * 5, INFO.strides), 0, 4, 5)
    boxes = torch.cat([square(20), square(300)], 1).expand(2, -1, -1)
    refs = References(boxes, torch.ones(2, 1), (2,))
    found = head(maps(), refs, CANVAS, None)
    assert found.codes.shape == (2, 2, 4, 4) and found.logits.shape == (2, 2, 5)
    *fine, coarsest = maps()
    assert torch.equal(head((*fine, coarsest + 1), refs, CANVAS, None).logits, found.logits)


@torch.no_grad()
def test_without_a_background_the_first_box_and_mask_are_those_of_the_first_class():
    torch.manual_seed(0)
    info = FeatureInfo((3,) * 5, INFO.strides)
    head = ConnectedHead(width=16, background_box=False).build(info, 0, 2, 3)
    head.head.boxes.weight.zero_()
    head.head.boxes.bias.copy_(torch.arange(8.0))
    refs = References(square(20).expand(2, -1, -1), torch.ones(1, 1), (1,))
    assert head(maps(), refs, CANVAS, None).codes[0].tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    masks = MaskHead(crop=PyramidAlign(bins=4), convs=1, channels=8, background=False).build(info, 0, 2)
    every = masks.outputs(masks.crop(maps(), refs.boxes, CANVAS))
    found = masks(maps(), refs.boxes, torch.tensor([[0], [1]]), CANVAS)
    assert torch.equal(found[0, 0], every[0, 0]) and torch.equal(found[1, 0], every[1, 1])


def test_aligned_crops_are_shifted_by_half_a_cell():
    """Of a ramp, one cell of which is 4 px: half a cell less everywhere."""
    ramp = tuple(torch.arange(float(x.shape[3])).expand(2, 3, x.shape[2], -1) for x in maps())
    boxes = torch.tensor([[[20.0, 20.0, 76.0, 76.0]]]).expand(2, -1, -1)
    crops = [
        PyramidAlign(samples=samples, aligned=aligned)(ramp, boxes, CANVAS)
        for samples, aligned in ((2, False), (0, True))
    ]
    torch.testing.assert_close(crops[0] - 0.5, crops[1])
