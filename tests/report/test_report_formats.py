"""Numbers and labels as people read them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.detectors.families import FAMILIES as ARCHITECTURES
from paretodet.report.families import FAMILIES, OTHER, family_of
from paretodet.report.formats import (
    QUANTITIES,
    accuracy,
    finite,
    latency,
    listed,
    plain,
    plural,
    probability,
    round_down,
    round_up,
    short_reason,
    significant,
)
from paretodet.report.theme import DARK, LIGHT, custom_properties
from paretodet.sources.published import PUBLISHED

positive = st.floats(min_value=1e-6, max_value=1e12)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (33.42, "33.4"),
        (0.04479, "0.0448"),
        (9.999, "10.0"),
        (999.6, "1,000"),
        (4870.0, "4,870"),
        (123456.0, "123,000"),
        (0, "0"),
        (-2.5, "-2.50"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_three_figures_without_an_exponent(value, text):
    assert significant(value) == text


@given(positive)
def test_significant_is_within_half_a_unit_of_the_last_figure(value):
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@given(positive)
def test_outward_rounding_includes_the_value_and_moves_by_at_most_one_percent(value):
    assert value <= round_up(value) <= value * 1.0101
    assert value * 0.989 <= round_down(value) <= value


def test_finite_accepts_only_numbers():
    assert [finite(value) for value in (None, "3", True, float("nan"), 3)] == [None, None, None, None, 3.0]


def test_quantities_scale_and_name_their_unit(rows):
    assert QUANTITIES["parameters"].text(rows[2]) == "62.0 M"
    assert QUANTITIES["flops"].text(rows[2]) == "39.0 GFLOPs"
    assert QUANTITIES["flops"].text(rows[-1]) == "–"
    assert QUANTITIES["energy_j"].axis == "Energy (J)"
    assert QUANTITIES["memory_infer_mib"].axis == "Memory (MiB)"


def test_latency_shows_its_interval_if_there_is_one(rows):
    assert latency(rows[0]) == "33.4 ms (32.7–34.1)"
    assert latency(rows[0], unit=False) == "33.4 (32.7–34.1)"
    assert latency(replace(rows[0], latency_ms_p50_low=None)) == "33.4 ms"


def test_accuracy_has_the_decimals_of_its_source(rows):
    assert accuracy(rows[0]) == "21"  # a zoo's whole points
    assert accuracy(rows[3]) == "31.0"
    assert accuracy(rows[-1]) == "–"


def test_lists_and_plurals():
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert (plural(1, "row"), plural(1200, "row"), plural(2, "more", "more")) == ("1 row", "1,200 rows", "2 more")


def test_a_small_probability_is_not_zero():
    assert [probability(share) for share in (1.0, 0.743, 0.004, 0.0)] == ["1.00", "0.74", "< 0.01", "< 0.01"]


def test_only_unusable_rows_have_a_short_reason(rows):
    busy = (
        "41 % of the time was contended: other processes used 39 % of a core; tasks waited for a CPU 23 % of the time"
    )
    contended = replace(rows[0], validity="contended", reasons=(busy, "not watched: temperature"))
    assert short_reason(contended) == "contended: other processes used 39 % of a core"
    assert short_reason(replace(contended, validity="noisy")) == "noisy", "a wide interval leaves nothing out"
    assert short_reason(rows[0]) == "valid"
    assert short_reason(replace(rows[0], validity="error", error="no such file\nmore")) == "error: no such file"
    assert short_reason(replace(rows[0], validity="throttled", reasons=())) == "throttled"


def test_plain_text_has_no_control_characters():
    assert plain("a\x1b[31mb\r") == "a\ufffd[31mb\ufffd"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("ssd_liu-vgg16-300", "SSD"),
        ("yolo_v3-darknet53-416", "YOLO"),
        ("faster_rcnn-resnet101-600-s16-p100", "Faster R-CNN"),
        ("cascade_rcnn-resnet50-800x1344", "Cascade R-CNN"),
        ("retinanet_tv-resnet50-800", "RetinaNet"),
        ("fcos-resnet50-800x1344", "FCOS"),
        ("hf:d_fine-s", "DETR"),
        ("hf:deimv2-s", "DETR"),
        ("my_detector:make", "Other"),
        ("", "Other"),
    ],
)
def test_families_by_architecture(name, title):
    assert family_of(name).title == title


@pytest.mark.parametrize("name", sorted({*ARCHITECTURES, *PUBLISHED}))
def test_every_detector_of_the_catalogue_and_the_hub_has_one_family(name):
    """A new architecture needs a family, or it would be drawn as "Other"."""
    architecture = name.rpartition(":")[2]
    (family,) = (family for family in FAMILIES if family.prefixes and architecture.startswith(family.prefixes))
    assert family_of(name) is family is not OTHER


def test_families_differ_in_color_and_shape_and_both_themes_have_every_tone():
    assert len({family.shape for family in FAMILIES}) == len({family.tone for family in FAMILIES}) == len(FAMILIES)
    assert OTHER in FAMILIES
    assert LIGHT.keys() == DARK.keys() >= {family.tone for family in FAMILIES}


def _luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_meets_wcag(theme):
    """WCAG 2.2: text 4.5 to 1 (1.4.3), graphics 3 to 1 (1.4.11)."""
    assert all(_contrast(theme[text], theme["paper"]) >= 4.5 for text in ("ink", "soft", "accent", "warn"))
    assert all(_contrast(theme[family.tone], theme["paper"]) >= 3 for family in FAMILIES)


def test_custom_properties_are_css():
    assert custom_properties({"ink": "#123456"}) == "--ink:#123456;"
