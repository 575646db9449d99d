"""The join of a data set's box sizes with a row's canvas, against the boxes themselves brought there."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.detectors.spec import to_data
from paretodet.labels.builder import LabelsBuilder
from paretodet.labels.lint.sizes import sizes
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.report.boxes import SIDES, box_sizes, boxes_section, fit_of, image_side, percent, read_box_sizes
from paretodet.report.page import page
from paretodet.transforms.resize_policy import Letterbox, ShortSide, ShortSideCrop, Stretch

FITS = (
    Stretch(height=300, width=300),
    Stretch(height=480, width=800),
    Letterbox(height=416, width=416),
    Letterbox(height=320, width=640),
    ShortSide(short=600, long=1024),
    ShortSideCrop(height=300, width=400),
)
CLOSE = 2 ** (1 / 16 + 1 / 32)  # a bin of shares, and half a bin of aspects under the root


def part_of(folder, seed, images=12, boxes=300):
    """Random boxes on images of many aspects."""
    chance = np.random.default_rng(seed)
    rows = LabelsBuilder(folder, lambda name, number: (folder, str(number)))
    shapes = [(int(height), int(width)) for height, width in chance.integers(100, 2000, (images, 2))]
    for key, size in enumerate(shapes):
        rows.image(key, f"{key}.jpg", *size)
    for number in range(boxes):
        owner = int(chance.integers(images))
        height, width = shapes[owner]
        w, h = width * 2 ** -chance.uniform(0, 8), height * 2 ** -chance.uniform(0, 8)
        x, y = chance.uniform(0, width - w), chance.uniform(0, height - h)
        rows.box(owner, 0, (x, y, x + w, y + h), number=number, crowd=number % 7 == 0)
    data = rows.build({0: "thing"}, source=folder)
    return LabeledSplit(split="all", file=folder, data=data, where=lambda name, number: (folder, str(number)))


def sides_on(part, fit):
    """[M] px: the root of each box's area on the canvas; crowds are left out."""
    found = []
    for sample in part.data:
        placed = fit.place(torch.from_numpy(sample.boxes[~sample.crowd].copy()).double(), sample.size)
        found.append((placed[:, 2:] - placed[:, :2]).prod(1).sqrt().numpy())
    return np.concatenate(found)


@settings(max_examples=12)
@given(st.integers(0, 2**31), st.sampled_from(FITS), st.sampled_from(SIDES))
def test_shares_are_those_of_the_boxes_on_the_canvas(tmp_path_factory, seed, fit, px):
    part = part_of(tmp_path_factory.mktemp("set"), seed)
    joined = box_sizes({"data": "set", "box_sizes": sizes([part])})
    sides = sides_on(part, fit)
    assert joined.boxes == len(sides)
    low, high = (sides < px / CLOSE).mean(), (sides < px * CLOSE).mean()
    assert low - 1e-9 <= joined.below(px, to_data(fit)) <= high + 1e-9


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(480, 640), (2000, 500)])
def test_image_side_equals_the_side_of_the_resized_image(fit, size):
    height, width = fit.layout(size).resized
    assert image_side(to_data(fit), size[1] / size[0]) == pytest.approx((height * width) ** 0.5, rel=0.01)


def test_parts_are_counted_one_by_one_and_together(tmp_path):
    parts = [part_of(tmp_path, seed) for seed in (5, 6)]
    joined = box_sizes({"data": "set", "box_sizes": sizes(parts)})
    for fit in FITS:
        sides = np.concatenate([sides_on(part, fit) for part in parts])
        found = joined.below(64, to_data(fit))
        assert (sides < 64 / CLOSE).mean() <= found <= (sides < 64 * CLOSE).mean()
        alone = [box_sizes({"data": "set", "box_sizes": sizes([part])}) for part in parts]
        assert found == pytest.approx(np.mean([each.below(64, to_data(fit)) for each in alone]), abs=0.02)


def test_boxes_are_evenly_spread_within_a_bin():
    shape = {"aspect": 1, "counts": [0, 8]}  # shares from a half to the whole
    joined = box_sizes({"data": "set", "box_sizes": {"octave": 1, "octaves": 2, "shapes": [shape]}})
    fit = {"type": "Stretch", "height": 100, "width": 100}
    assert joined.below(100 * 2**-0.5, fit) == pytest.approx(0.5)
    assert joined.below(100 * 2**-0.25, fit) == pytest.approx(0.75)


def test_shares_grow_with_the_limit_and_end_at_one(tmp_path):
    joined = box_sizes({"data": "set", "box_sizes": sizes([part_of(tmp_path, 1), part_of(tmp_path, 2)])})
    fit = to_data(FITS[0])
    shares = [joined.below(px, fit) for px in np.geomspace(1e-3, 1e5, 200)]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == pytest.approx(1)


def test_one_size_on_one_canvas(tmp_path):
    """100 boxes of a tenth of the side of a square image are 30 px on 300, not 32: half a bin apart."""
    rows = LabelsBuilder(tmp_path, lambda name, number: (tmp_path, str(number)))
    rows.image(0, "a.jpg", 1000, 1000)
    for number in range(100):
        rows.box(0, 0, (number, 0, number + 100, 100), number=number)
    part = LabeledSplit(
        split="all", file=tmp_path, data=rows.build({0: "thing"}, source=tmp_path), where=lambda *_: (tmp_path, "")
    )
    counted = sizes([part])
    joined, fit = box_sizes({"data": "set", "box_sizes": counted}), to_data(FITS[0])
    assert (joined.below(28, fit), joined.below(32, fit)) == (0, 1)
    assert counted["images"] == [{"height": 1000, "width": 1000, "images": 1}]


def test_a_set_without_boxes_has_no_small_ones(tmp_path):
    joined = box_sizes({"data": "set", "box_sizes": sizes([part_of(tmp_path, 3, boxes=0)])})
    assert (joined.boxes, joined.below(32, to_data(FITS[0]))) == (0, 0)


def test_how_a_row_fits_its_images(rows):
    spec = json.dumps({"fit": to_data(ShortSide(short=600, long=1024))})
    assert fit_of(replace(rows[0], spec=spec))["short"] == 600
    assert fit_of(replace(rows[0], spec=None)) == {"type": "Stretch", "height": 300, "width": 300}
    assert fit_of(replace(rows[0], job={"fit": "letterbox-darknet"}))["type"] == "Letterbox"
    assert fit_of(replace(rows[0], height=None)) is None
    for spec in ("mine", "[]", '{"fit": 3}', '{"fit": {"type": "ShortSide", "short": -1, "long": 2}}'):
        assert fit_of(replace(rows[0], spec=spec))["type"] == "Stretch"


def document(tmp_path, **changes):
    fields = {"data": "<b>my</b> boxes", "box_sizes": sizes([part_of(tmp_path, 0)])} | changes
    path = tmp_path / "doctor.json"
    path.write_text(json.dumps(fields))
    return path


def test_the_page_has_a_line_for_every_member_of_the_frontier(tmp_path, rows, plain_page):
    found = read_box_sizes(document(tmp_path))
    text = page(rows, boxes=found)
    assert "How small your boxes become" in text and "How small your boxes become" not in plain_page
    assert "&lt;b&gt;my&lt;/b&gt; boxes" in text and "<b>my</b>" not in text
    section = text[text.index('id="boxes"') : text.index('id="rows"')]
    table = boxes_section(found, [rows[0]], {rows[0].id: "one"})
    assert table["rows"][0][:3] == ("one", "300 × 300", "stretched")
    members = text[text.index('class="members"') : text.index("</ol>")].count("<li>")
    assert section.count('scope="row"') == members > 2


@pytest.mark.parametrize(
    "damage",
    [
        {"box_sizes": None},
        {"data": 3},
        {"box_sizes": {"octave": 16, "octaves": 12, "shapes": [{"aspect": 1, "counts": [1]}]}},
        {"box_sizes": {"octave": 1, "octaves": 2, "shapes": [{"aspect": 0, "counts": [1, 2]}]}},
        {"box_sizes": {"octave": 1, "octaves": 2, "shapes": [{"aspect": 1, "counts": [1, -2]}]}},
        {"box_sizes": {"octave": 10**9, "octaves": 2, "shapes": []}},
    ],
)
def test_another_file_is_refused_by_name(tmp_path, damage):
    with pytest.raises(ValueError, match=r"data-doctor: .*doctor\.json is not what"):
        read_box_sizes(document(tmp_path, **damage))


def test_no_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="data-doctor: .*nothing.json"):
        read_box_sizes(tmp_path / "nothing.json")


def test_a_small_share_is_not_zero_percent():
    assert [percent(share) for share in (0, 0.001, 0.006, 0.5, 1)] == ["0 %", "< 1 %", "1 %", "50 %", "100 %"]
