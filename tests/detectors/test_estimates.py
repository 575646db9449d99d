"""Estimates of AP: what they rest on, how wrong they are, and where there is none."""

import math
import re
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from paretodet.detectors import catalogue, estimates
from paretodet.detectors.estimates import (
    COVERAGE,
    covered,
    estimate,
    facts,
    interval_scale,
    left_out_combinations,
    left_out_systems,
)
from paretodet.detectors.names import parse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "estimates.md"
SYSTEMS = [
    name
    for name in catalogue.names()
    if parse(name).architecture in ("ssd", "faster_rcnn", "rfcn") and parse(name).backbone in catalogue.REGION_STRIDES
]
HELD_OUT = {"system": left_out_systems(), "combination": left_out_combinations()}


def of(name: str) -> float:
    known = estimate(name)
    assert known
    return known.ap


def test_every_system_of_the_paper_has_an_estimate_and_nothing_else_has():
    assert len(SYSTEMS) == 206
    assert [name for name in catalogue.names() if estimate(name)] == SYSTEMS
    assert all(known.low < known.ap < known.high for known in map(estimate, SYSTEMS) if known)


@pytest.mark.parametrize(
    "name",
    [
        "ssd-mobilenet_v1-150",  # outside of the published sides
        "ssd-mobilenet_v1-600x300",
        "faster_rcnn-resnet101-600-s16-p5",
        "faster_rcnn-resnet101-600-s16-p1000",
        "faster_rcnn-resnet101-600-s32-p100",
        "faster_rcnn-resnet50-600-s16-p100",
        "ssd_liu-vgg16-300",
        "hf:d_fine-s",
        "model.onnx",
    ],
)
def test_nothing_is_extrapolated(name):
    assert estimate(name) is None


def test_systems_that_differ_in_stride_or_proposals_alone_share_their_error():
    names = ("rfcn-resnet101-300-s16-p50", "rfcn-resnet101-300-s8-p300", "rfcn-resnet101-600-s16-p50")
    one, like, larger = (estimate(name).group for name in names)
    assert one == like != larger


def test_values_between_the_published_ones_are_estimated():
    sizes = [of(f"ssd-mobilenet_v1-{side}") for side in (300, 400, 512, 600)]
    assert sizes == sorted(sizes)
    counts = [of(f"rfcn-resnet101-600-s8-p{count}") for count in (10, 33, 150, 300)]
    assert counts == sorted(counts)


def test_the_facts_are_those_of_the_catalogue():
    """Huang et al.'s values are the catalogue's published ones on the same split, to the printed digits."""
    published = {
        name: entry.ap
        for name, entries in catalogue.PUBLISHED.items()
        for entry in entries
        if entry.split == facts().split and entry.source.startswith(catalogue.HUANG)
    }
    assert {each.name: each.ap for each in facts().values if each.source == "huang"} == published
    assert {each.name for each in facts().values} <= {*catalogue.names()}
    assert {each.source for each in facts().values} == {*facts().sources}


def test_the_stated_effects_reach_the_estimates():
    """Between systems of a combination of which no value is known; the values have moved the factor of the stride."""
    assert of("rfcn-inception_v3-600-s16-p10") / of("rfcn-inception_v3-600-s16-p300") == pytest.approx(
        0.8192, abs=0.001
    )
    assert of("rfcn-inception_v3-600-s16-p50") / of("rfcn-inception_v3-600-s16-p300") == pytest.approx(0.96, abs=0.001)
    at_8 = of("ssd-inception_resnet_v2-300-s8") / of("ssd-inception_resnet_v2-300")
    assert at_8 == pytest.approx(1.05, abs=0.015)


def test_more_of_what_helps_gives_more():
    for start in ("faster_rcnn-vgg16-300-s16", "rfcn-inception_resnet_v2-600-s8"):
        counts = [of(f"{start}-p{count}") for count in catalogue.PROPOSALS]
        assert all(fewer < more for fewer, more in pairwise(counts))


def test_an_interval_is_wide_where_no_value_of_the_combination_is_known():
    def width(name: str) -> float:
        known = estimate(name)
        assert known
        return math.log(known.high / known.low)

    assert width("faster_rcnn-resnet101-600-s16-p300") < width("faster_rcnn-resnet101-300-s16-p300")
    assert 2 * width("rfcn-resnet101-600-s16-p300") < width("rfcn-inception_v2-600-s16-p300")


def test_the_fit_is_bayesian_linear_regression():
    """The same mean and interval from the normal equations of the coefficients, which the code never forms."""
    values = facts().values
    terms = [estimates._terms(parse(each.name), released=each.released) for each in values]
    wanted = estimates._terms(parse("rfcn-vgg16-300-s16-p100"))
    names = sorted({name for each in (*terms, wanted) for name in each})
    prior = [facts().terms[name.partition(":")[0]] for name in names]
    mean, spread = np.log([each.factor for each in prior]), np.array([each.spread for each in prior])
    design = np.array([[each.get(name, 0.0) for name in names] for each in terms])
    row = np.array([wanted.get(name, 0.0) for name in names])
    curve = [estimates._fewer_proposals(parse(each.name).proposals) for each in values]
    weight = 1 / np.array([estimates._noise(each) for each in values])
    precision = np.diag(spread**-2) + design.T * weight @ design
    known = np.log([each.ap for each in values]) - curve - design @ mean
    expected = row @ (mean + np.linalg.solve(precision, design.T @ (weight * known))) + estimates._fewer_proposals(100)
    variance = row @ np.linalg.solve(precision, row) + facts().noise["repeat"] ** 2
    found = estimate("rfcn-vgg16-300-s16-p100")
    assert found and found.ap == pytest.approx(math.exp(expected))
    assert math.log(found.high / found.ap) == pytest.approx(1.6449 * interval_scale() * math.sqrt(variance), rel=1e-4)


def test_a_held_out_value_does_not_reach_its_own_estimate():
    """R-FCN was published on one backbone only: without it, R-FCN is the prior's factor times Faster R-CNN."""
    with_it = of("rfcn-resnet101-600-s16-p300")
    (held_out,) = [each for each in HELD_OUT["system"] if each.name == "rfcn-resnet101-600-s16-p300"]
    (without,) = [each for each in HELD_OUT["system"] if each.name == "faster_rcnn-resnet101-600-s16-p300"]
    assert abs(with_it - 30.4) < 0.3 < abs(held_out.expected - 30.4)
    assert without.spread < held_out.spread  # three other values of its combination are known


@pytest.mark.parametrize(("kind", "middle", "root"), [("system", 2.3, 7.6), ("combination", 11.2, 18.2)])
def test_the_errors_stay_as_stated(kind, middle, root):
    errors = [100 * (each.expected / each.ap - 1) for each in HELD_OUT[kind]]
    assert len(errors) == len({each.name for each in facts().values}) == 15
    assert median(map(abs, errors)) == pytest.approx(middle, abs=0.05)
    assert math.sqrt(np.mean(np.square(errors))) == pytest.approx(root, abs=0.05)
    assert covered(HELD_OUT[kind]) == 14 and 0.85 <= 14 / 15 <= 1 and COVERAGE == 0.9
    assert interval_scale() == pytest.approx(1.02, abs=0.005)


def test_the_page_states_these_errors():
    text = PAGE.read_text("utf-8")
    line = re.compile(
        r"^\| `(?P<name>[\w-]+)` \| (?P<ap>[\d.]+) \| (?P<system>.+?) \| (?P<combination>.+?) \|$", re.MULTILINE
    )
    rows = {row["name"]: row for row in line.finditer(text)}
    half = 1.6449 * interval_scale()
    assert rows.keys() == {each.name for each in HELD_OUT["system"]}
    for kind, held_out in HELD_OUT.items():
        for each in held_out:
            low, high = (each.expected * math.exp(side * half * each.spread) for side in (-1, 1))
            error = f"{100 * (each.expected / each.ap - 1):+.0f} %".replace("-", "\u2212")
            assert rows[each.name][kind] == f"{each.expected:.1f} ({low:.1f}–{high:.1f}), {error}"
    assert "| Published values in their 90 % interval | 14 of 15 | 14 of 15 |" in text
    assert "| Median error | 2.3 % | 11.2 % |" in text and "| Root mean square error | 7.6 % | 18.2 % |" in text


def test_every_number_says_where_it_is_from():
    assert all(each.place for each in (*facts().values, *facts().proposals))
    assert all((each.source is None) == (each.place is None) for each in facts().terms.values())
    assert {each.source for each in facts().terms.values()} <= {None, *facts().sources}
    assert all(part in estimates.sentence() for part in ("20 published values", "15 systems", "11 %"))
