"""Geometry of the resize policies: exact inverses, known layouts, and the positions of pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given
from hypothesis import strategies as st

from paretodet.transforms.resize_policy import (
    Letterbox,
    ResizePolicy,
    ShortSide,
    ShortSideCrop,
    Stretch,
    to_batch,
    to_originals,
)
from paretodet.types import Detections

SIDE = st.integers(1, 700)
FITS = st.one_of(
    st.builds(Stretch, height=SIDE, width=SIDE),
    st.builds(Letterbox, height=SIDE, width=SIDE, undo=st.sampled_from(["exact", "darknet"])),
    st.builds(lambda short, more, multiple, whole: ShortSide(short=short, long=short + more, multiple=multiple,
                                                             whole=whole),
              SIDE, SIDE, st.sampled_from([1, 32, 128]), st.sampled_from(["nearest", "below"])),
    st.builds(ShortSideCrop, height=SIDE, width=SIDE),
)  # fmt: skip


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(fit=FITS, height=SIDE, width=SIDE, seed=st.integers(0, 1000))
def test_undo_is_the_inverse_of_place(fit: ResizePolicy, height: int, width: int, seed: int) -> None:
    boxes = torch.rand(5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * max(height, width)
    back = fit.restore(fit.place(boxes, (height, width)), (height, width))
    assert torch.allclose(back, boxes, atol=1e-8 * max(height, width))


@given(fit=FITS, height=SIDE, width=SIDE)
def test_layouts_keep_their_contract(fit: ResizePolicy, height: int, width: int) -> None:
    layout = fit.layout((height, width))
    assert layout.canvas == fit.canvas((height, width))
    assert all(part <= side for part, side in zip(layout.true, layout.canvas, strict=True))
    whole = torch.tensor([0.0, 0.0, width, height])
    placed = fit.place(whole, (height, width))
    if isinstance(fit, ShortSideCrop):  # the canvas lies inside the image
        assert placed[0] <= 0 and placed[1] <= 0
        assert placed[2] >= fit.width - 1e-3 and placed[3] >= fit.height - 1e-3
    else:  # the image lies inside the canvas
        assert placed.min() >= 0
        assert placed[2] <= layout.canvas[1] + 1e-3 and placed[3] <= layout.canvas[0] + 1e-3


def test_letterbox_is_darknets_undo() -> None:
    """systems.md 6.2: newW = netW, newH = int(H * netW / W), paste at (net - new) // 2, undo with the float half."""
    layout = Letterbox(height=416, width=416).layout((333, 500))
    assert layout.resized == (int(333 * 416 / 500), 416) == (277, 416)
    assert layout.offset == ((416 - 277) // 2, 0) == (69, 0)
    tall = Letterbox(height=416, width=416).layout((640, 480))
    assert tall.resized == (416, 312) and tall.offset == (0, 52)

    darknet = Letterbox(height=416, width=416, undo="darknet")
    net_y, new_y = (
        0.5,
        277 / 416,
    )  # the center of the canvas as a fraction; y' = (y - (net - new) / 2 / net) / (new / net)
    expected = (net_y - (416 - 277) / 2 / 416) / new_y * 333
    box = torch.tensor([0.0, 208.0, 416.0, 208.0], dtype=torch.float64)
    assert darknet.restore(box, (333, 500))[1].item() == pytest.approx(expected)
    assert Letterbox(height=416, width=416).restore(box, (333, 500))[1].item() == pytest.approx((208 - 69) * 333 / 277)


@pytest.mark.parametrize(
    ("fit", "original", "resized", "canvas"),
    [
        (ShortSide(short=600, long=1024), (480, 640), (600, 800), (600, 800)),
        (ShortSide(short=600, long=1024), (300, 900), (341, 1024), (341, 1024)),  # the long side binds
        (ShortSide(short=800, long=1333, multiple=128), (480, 640), (800, 1067), (896, 1152)),
        (ShortSide(short=800, long=1333, multiple=32, whole="below"), (480, 640), (800, 1066), (800, 1088)),
        (ShortSideCrop(height=300, width=300), (480, 640), (300, 400), (300, 300)),
        (Stretch(height=300, width=200), (480, 640), (300, 200), (300, 200)),
    ],
)
def test_known_sizes(
    fit: ResizePolicy, original: tuple[int, int], resized: tuple[int, int], canvas: tuple[int, int]
) -> None:
    layout = fit.layout(original)
    assert (layout.resized, layout.canvas) == (resized, canvas)


@given(short=st.integers(1, 900), more=st.integers(0, 900), height=st.integers(1, 2000), width=st.integers(1, 2000))
@example(short=800, more=533, height=480, width=640)  # COCO's commonest: 1066, nearest 1067
@example(short=800, more=533, height=427, width=640)
def test_sides_cut_below_are_torchvisions(short: int, more: int, height: int, width: int) -> None:
    """Its transform leaves the sides to torch's interpolation, with the scale in double precision."""
    fit = ShortSide(short=short, long=short + more, whole="below")
    scale = min(short / min(height, width), (short + more) / max(height, width))
    assume(min(height, width) * scale >= 1)  # torch refuses a side of 0
    empty = torch.empty(1, 1, height, width, device="meta")
    wanted = F.interpolate(empty, scale_factor=scale, mode="bilinear", recompute_scale_factor=True).shape[2:]
    assert fit.layout((height, width)).resized == tuple(wanted)


@pytest.mark.parametrize("size", [(480, 640), (427, 640), (640, 425), (333, 500), (300, 900), (719, 403)])
def test_sides_cut_below_are_what_torchvision_makes(size: tuple[int, int]) -> None:
    transform = pytest.importorskip("torchvision.models.detection.transform", reason="needs torchvision 0.28")
    made = transform.GeneralizedRCNNTransform(200, 333, [0.0] * 3, [1.0] * 3)
    batch, _ = made([torch.zeros(3, *size)])
    layout = ShortSide(short=200, long=333, multiple=32, whole="below").layout(size)
    assert (layout.resized, layout.canvas) == (batch.image_sizes[0], tuple(batch.tensors.shape[2:]))


def test_pixels_lie_where_boxes_say() -> None:
    """A white square's box, placed on the canvas, encloses the white of the canvas to a pixel."""
    image = np.zeros((120, 200, 3), np.uint8)
    image[30:90, 50:110] = 255
    box = torch.tensor([50.0, 30.0, 110.0, 90.0])
    for fit in (
        Stretch(height=240, width=240),
        Letterbox(height=300, width=301, fill=0),
        ShortSide(short=240, long=500, multiple=32),
        ShortSideCrop(height=120, width=160),
    ):
        canvas = fit(image).canvas
        rows, columns = np.nonzero(canvas[..., 0] > 127)
        found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (found - fit.place(box, (120, 200))).abs().max() <= 1, fit


@pytest.mark.parametrize("size", [(480, 640), (427, 640), (640, 634)])
def test_detectrons_pixels_and_boxes_have_the_scale_of_the_unrounded_sides(size: tuple[int, int]) -> None:
    """`prep_im_for_blob` resizes by a factor, by which boxes are divided: 1066.67 px of 640 become 1067, by 1.6667."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    fit = ShortSide(short=200, long=333, whole="detectron", sampling="opencv")
    scale = 200 / min(size)
    made = cv2.resize(_image(*size), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(fit(_image(*size)).canvas, made)
    box = torch.tensor([10.0, 20.0, 400.0, 300.0], dtype=torch.float64)
    assert torch.allclose(fit.place(box, size), box * scale) and torch.allclose(fit.restore(box * scale, size), box)
    assert ShortSide(short=200, long=333, whole="detectron").layout(size).scale is None  # the ratio of the sides


def test_letterbox_fills_its_margin_and_short_side_the_bottom_right() -> None:
    image = np.full((50, 100, 3), 200, np.uint8)
    boxed = Letterbox(height=100, width=100)(image)
    assert (boxed.canvas[:25] == 128).all() and (boxed.canvas[75:] == 128).all() and (boxed.canvas[25:75] == 200).all()
    assert boxed[1:] == (100, 100)
    short = ShortSide(short=50, long=100, multiple=64)(image)
    assert short.canvas.shape == (64, 128, 3) and short[1:] == (50, 100)
    assert (short.canvas[:50, :100] == 200).all() and short.canvas[50:].max() == 0 and short.canvas[:, 100:].max() == 0


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    image = _image(64, 48)
    for fit in (Stretch(height=64, width=48), Letterbox(height=64, width=48), ShortSide(short=48, long=64),
                ShortSideCrop(height=64, width=48)):  # fmt: skip
        assert np.array_equal(fit(image).canvas, image)


def test_to_batch_pads_to_the_largest_canvas() -> None:
    batch = to_batch([_image(60, 80), _image(80, 60)], ShortSide(short=30, long=100))
    assert batch.pixels.shape == (2, 3, 40, 40) and batch.pixels.dtype == torch.uint8
    assert batch.sizes.tolist() == [[30, 40], [40, 30]]
    assert batch.pixels[0, :, 30:].max() == 0 and batch.pixels[1, :, :, 30:].max() == 0


def test_to_originals_undoes_each_image_and_clips() -> None:
    fit = Stretch(height=100, width=100)
    boxes = torch.tensor([[[10.0, 10.0, 50.0, 50.0]], [[-20.0, 0.0, 120.0, 50.0]]])
    detections = Detections(boxes, torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.long))
    back = to_originals(detections, fit, torch.tensor([[200.0, 400.0], [50.0, 10.0]]))
    assert back.boxes.tolist() == [[[40.0, 20.0, 200.0, 100.0]], [[0.0, 0.0, 10.0, 25.0]]]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Stretch(height=0, width=3), "height"),
        (lambda: Letterbox(height=3, width=3, fill=300), "fill"),
        (lambda: Letterbox(height=3, width=3, undo="guess"), "undo"),  # type: ignore[arg-type]
        (lambda: ShortSide(short=30, long=20), "long"),
        (lambda: ShortSide(short=30, long=40, whole="above"), "whole"),  # type: ignore[arg-type]
        (lambda: ShortSideCrop(height=3, width=-1), "width"),
        (lambda: Stretch(height=3, width=3)(np.zeros((3, 3), np.uint8)), "image"),
        (lambda: Stretch(height=3, width=3)(np.zeros((3, 3, 3), np.float32)), "image"),
        (lambda: to_batch([], Stretch(height=3, width=3)), "images"),
    ],
)
def test_bad_input_names_the_field(make, word: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"^{word}: got"):
        make()
