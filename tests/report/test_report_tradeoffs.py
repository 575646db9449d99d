"""Huang et al.'s Figure 2 from rows, and estimated AP on the page: hollow, with its interval, and called estimated."""

import json
import re
from dataclasses import replace

import pytest

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.report import frontier_wording, wording
from paretodet.report.console import frontier_json
from paretodet.report.drawing import DrawingStyle
from paretodet.report.page import page
from paretodet.report.scatter import frontier_plane, notes, tradeoff_plane
from paretodet.report.theme import LIGHT
from paretodet.report.tradeoffs import BACKBONES, tradeoffs
from paretodet.sweep.estimates import with_estimated_ap

NAMES = (
    "ssd-vgg16-300",
    "ssd-inception_v2-300",
    "rfcn-resnet101-300-s16-p300",
    "faster_rcnn-inception_resnet_v2-600-s8-p300",
    "faster_rcnn-mobilenet_v1-600-s16-p50",
)
STYLE = DrawingStyle(width=600, paint=LIGHT.__getitem__)


@pytest.fixture(scope="module")
def systems(rows):
    """Five systems of the paper, of which two have a published AP."""
    published = {1: 22.0, 3: 35.7}
    known = [
        replace(
            rows[0],
            id=f"system{number:06d}",
            name=name,
            latency_ms_p50=50.0 * 3**number,
            latency_ms_p50_low=49.0 * 3**number,
            latency_ms_p50_high=51.0 * 3**number,
            ap=published.get(number),
            ap_split="minival2014" if number in published else None,
            ap_rounding=0.05 if number in published else None,
        )
        for number, name in enumerate(NAMES)
    ]
    return list(with_estimated_ap(known))


@pytest.fixture(scope="module")
def estimated_page(systems):
    return page(systems)


def test_the_figure_has_the_backbone_as_color_and_the_architecture_as_shape(systems):
    frontier = pareto_frontier(systems)
    figure = tradeoffs(systems, row_labels(systems))
    assert figure and figure.draw and "2 filled" in figure.caption and "3 hollow" in figure.caption
    drawn = figure.draw(STYLE).body
    points = re.findall(r'<(\w+)[^>]*class="point" data-key="(system\d+)"[^>]*?(fill="[^"]+"[^>]*)', drawn)
    tags = {key: tag for tag, key, _ in points}
    looks = {key: look for _, key, look in points}
    assert tags["system000000"] == "circle" and tags["system000002"] == "polygon"
    assert f'fill="{LIGHT[BACKBONES["inception_v2"].tone]}"' in looks["system000001"]  # published: filled
    for number, backbone in ((0, "vgg16"), (2, "resnet101"), (4, "mobilenet_v1")):  # estimated: hollow
        look = looks[f"system{number:06d}"]
        assert f'fill="{LIGHT["paper"]}"' in look and f'stroke="{LIGHT[BACKBONES[backbone].tone]}"' in look
    assert all(title in drawn for title in ("VGG-16", "ResNet-101", "Inception-ResNet V2", "SSD", "R-FCN"))
    assert frontier.members  # the staircase is theirs


def test_the_estimates_have_their_interval_as_a_bar(systems):
    labels, frontier = row_labels(systems), pareto_frontier(systems)
    points = {point.key: point for point in frontier_plane(frontier, labels, width=600).points}
    guess = systems[0].ap_estimate
    assert points["system000000"].y == guess["ap"] and points["system000000"].y_low == guess["low"]
    assert points["system000000"].estimated and not points["system000000"].filled
    assert points["system000001"].filled and not points["system000001"].estimated
    looks = {row.id: BACKBONES["vgg16"] for row in systems[:1]}
    (only,) = tradeoff_plane(frontier, looks, labels, width=600).points
    assert only.family == BACKBONES["vgg16"] and only.y_high == guess["high"]


def test_without_estimates_there_is_no_such_figure(rows, systems):
    known = [replace(row, ap_estimate=None) for row in systems]
    assert tradeoffs(known, row_labels(known)) is None
    assert tradeoffs(systems[:2], row_labels(systems)) is None  # too few
    plain = page(known)
    assert "paper-title" not in plain and "estimated" not in plain


def test_the_page_calls_estimates_estimated(estimated_page):
    assert 'id="paper-title"' in estimated_page and "as in Figure 2 of Huang et al. 2017" in estimated_page
    data = json.loads(re.search(r'id="data">(.*?)</script>', estimated_page, re.DOTALL).group(1))
    noted = dict(data["notes"]["system000000"])
    assert noted["AP"].endswith("estimated (minival2014)")
    assert dict(data["notes"]["system000001"])["AP"] == "22.0 (minival2014)"
    assert "estimated: minival2014 (3 rows)" in estimated_page
    assert "The AP of 3 of 5 rows is estimated, with a 90 % interval" in estimated_page


def test_the_reading_of_the_page_says_what_hollow_means(rows, systems):
    assert wording.reading(rows) == wording.READING
    text = " ".join(wording.reading(systems))
    assert "Hollow points have an estimated AP" in text and "hollow points are not" not in text


def test_improbable_members_are_counted(systems):
    """Two estimates of the same number, one of which costs more: its interval keeps it on the frontier."""
    times = {"latency_ms_p50": 9e4, "latency_ms_p50_low": 8e4, "latency_ms_p50_high": 1e5}
    guess = systems[4].ap_estimate | {"ap": 10.0, "low": 5.0, "high": 35.75}
    low = replace(systems[4], id="low", name="faster_rcnn-mobilenet_v1-300-s16-p50", ap_estimate=guess, **times)
    found = pareto_frontier([*systems, low])
    assert low in [member.row for member in found.members]
    assert low not in [member.row for member in frontier_wording.listed_members(found)]
    assert frontier_wording.unlisted(found)[0].startswith("1 more")
    assert len(frontier_wording.member_lines(found, row_labels([*systems, low]))) == len(found.members)


def test_the_json_of_a_frontier_marks_estimates(systems):
    members = {member["name"]: member for member in frontier_json(pareto_frontier(systems))["members"]}
    assert members["ssd-vgg16-300"]["ap_estimate"] == systems[0].ap_estimate
    assert "ap_estimate" not in members["ssd-inception_v2-300"]


def test_a_tooltip_without_an_accuracy_names_no_split(rows):
    bare = replace(rows[0], ap=None, ap_split="test-dev")
    assert notes(bare, "x")["AP"] == "–"
