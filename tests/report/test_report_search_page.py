"""The page of a search: what it says at every stop of the slider, and that no name becomes markup."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretodet.bench.job import Job, Plan
from paretodet.errors import InputError
from paretodet.frontier.dominance import SURE
from paretodet.frontier.searched import Configuration, SearchResult
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.report.search_chart import MEMBER, OFF, stairs_of
from paretodet.report.search_page import SHOWN, search_page, stops, write_search_page
from paretodet.report.searched import duration, endings, labels_of, search_json
from toy_bench import Clock, ToyBench, started

HOSTILE = "</script><img src=x onerror=alert(1)>"


def searched(jobs: list[Job], folder: Path, **options: Any) -> SearchResult:
    """The result of a search over jobs, each measurement of which takes 10 s."""
    clock, store = Clock(), Store(folder / "rows.db")

    class Ticking(ToyBench):
        def __call__(self, job: Job, *, patience: float, processes: int = 2) -> Measurement:
            clock.now += 10.0
            return super().__call__(job, patience=patience, processes=processes)

    search = started(store, jobs, clock, **options)
    list(search.measure(Ticking(jobs, plan=Plan(), run=search.run, on_progress=None), patience=0.0))
    return search.result()


def networks(count: int) -> list[Job]:
    sizes = [128 + 32 * place for place in range(count // 4)]
    return [
        Job(
            name=f"ssd-mobilenet_v1-{size}",
            make=dict,
            recipe={"name": f"ssd-mobilenet_v1-{size}", "runtime": runtime},
            asked={"runtime": runtime},
            about={"ap": round(10 + size / 40, 1), "ap_split": "test-dev", "ap_rounding": 0.05},
        )
        for size in sizes
        for runtime in ("eager", "winograd", "compiled", "opencv")
    ]


@pytest.fixture
def result(tmp_path: Path) -> SearchResult:
    hostile = Job(name=HOSTILE, make=dict, recipe={"name": HOSTILE}, about={"ap": 60.0, "ap_split": "test-dev"})
    return searched([*networks(40), hostile], tmp_path)


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def test_the_last_stop_is_the_result_and_every_stop_has_every_mark(result: SearchResult) -> None:
    data = data_of(search_page(result))
    last = data["moments"][-1]
    labels = labels_of(result)
    assert [member[0] for member in last["members"]] == [labels[index] for index in result.members]
    assert {len(moment["marks"]) for moment in data["moments"]} == {len(data["notes"])} == {len(result)}
    kinds = [mark[0] for mark in last["marks"]]
    assert kinds.count(MEMBER) == len(result.members) and data["moments"][0]["members"] == []
    counts = [int(moment["text"].split()[0]) for moment in data["moments"]]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == int(result.measured.sum())


def test_what_needs_no_measurement_is_listed_with_what_beats_it(result: SearchResult) -> None:
    found = search_json(result)
    assert result.spared and len(found["spared"]) == len(result.spared)
    members = {member["label"] for member in found["members"]}
    assert {each["beaten_by"] for each in found["spared"]} <= members
    assert {each["basis"] for each in found["members"]} == {"measured"}
    unlike = [each["basis"] for each in found["spared"]].count("extrapolated")
    said = f"Of them, {unlike} are unlike all that was measured."
    assert unlike < len(result.spared) and any(said in line for line in endings(result)) == (unlike > 0)
    html, labels = search_page(result), labels_of(result)
    assert all(f">{labels[index]}<" in html for index in result.spared)
    assert any(line.startswith(f"{len(result.spared)} configurations need not be measured") for line in endings(result))


def test_a_name_never_becomes_markup(result: SearchResult) -> None:
    html = search_page(result)
    assert HOSTILE not in html and "<img" not in html and "&lt;img src=x" in html


def test_an_estimated_accuracy_says_so_wherever_it_stands(tmp_path: Path) -> None:
    published = Job(
        name="ssd-mobilenet_v1-300",
        make=dict,
        recipe={"name": "ssd-mobilenet_v1-300"},
        about={"ap": 18.8, "ap_split": "test-dev", "ap_rounding": 0.05},
    )
    name = "rfcn-resnet101-300-s16-p50"
    found = searched([published, Job(name=name, make=dict, recipe={"name": name})], tmp_path, estimates=True)
    data = data_of(search_page(found))
    texts = {member[0]: member[1] for member in data["moments"][-1]["members"]}
    assert texts["ssd-mobilenet_v1-300"] == "18.8" and texts[name].endswith("estimated")
    hollow = re.findall(r'data-key="(\d+)" data-estimated=""', search_page(found))
    assert [found.configurations[int(key)].expected.name for key in hollow] == [name]


def test_a_known_accuracy_is_not_drawn_as_an_estimated_one(result: SearchResult) -> None:
    assert "data-estimated=" not in search_page(result)


def test_a_cost_as_the_gain_is_the_better_the_less_it_is(result: SearchResult) -> None:
    less = replace(result, cost="memory_infer_mib", gain="-latency_ms_p50")  # half of the latency is the memory
    marks = data_of(search_page(less))["moments"][-1]["marks"]
    measured = sorted((x, y) for kind, x, y, *_ in (mark for mark in marks if mark[0] >= OFF))
    heights = [y for _, y in measured]
    assert heights == sorted(heights) and len({*heights}) > 3


def test_a_page_is_written_and_one_of_nothing_is_refused(result: SearchResult, tmp_path: Path) -> None:
    assert write_search_page(result, tmp_path / "page.html").read_text("utf-8") == search_page(result)
    empty = tuple(Configuration(expected=each.expected) for each in result.configurations)
    with pytest.raises(InputError) as caught:
        search_page(replace(result, configurations=empty))
    assert caught.value.id == "rows-none"


@pytest.mark.parametrize("spent", [0.0, 3.0, 59.0, 225.0, 1200.0, 86_400.0])
def test_the_slider_has_few_stops_that_rise_to_the_end(spent: float) -> None:
    made = stops(spent)
    assert len(made) <= 41 and made == sorted(made) and made[-1] == spent and made[0] == 0.0


def test_durations_are_words() -> None:
    assert [duration(seconds) for seconds in (0, 59.6, 60, 200, 1200)] == [
        "0 s", "1 min", "1 min", "3 min 20 s", "20 min",
    ]  # fmt: skip


def test_the_staircase_goes_up_at_members_that_are_better_and_to_the_right_edge() -> None:
    plane: Any = type("Plane", (), {"width": 100})()
    assert stairs_of(plane, [(10.0, 50.0), (20.0, 60.0), (30.0, 20.0)]) == [
        (10.0, 50.0), (30.0, 50.0), (30.0, 20.0), (100.0, 20.0),
    ]  # fmt: skip
    assert stairs_of(plane, []) == []


def test_a_large_space_draws_a_part_and_says_so(tmp_path: Path) -> None:
    large = searched(networks(4 * 90), tmp_path, minutes=2.5)
    html = search_page(large)
    data = data_of(html)
    assert len(data["notes"]) == SHOWN < len(large) and "are not drawn" in html
    assert len(html) < 3e6
    drawn = {int(key) for key in data["notes"]}
    assert {*large.members} <= drawn
    hidden = [index for index in range(len(large)) if index not in drawn]
    open_ = [index for index in hidden if large.standing.membership[index] > 1 - SURE]
    assert re.search(rf"{len(hidden)} configurations are not drawn: {len(hidden) - len(open_)} surely beaten", html)
    assert (f"{len(open_)} less likely" in html) == bool(open_)


def test_what_is_not_predicted_is_not_called_beaten(tmp_path: Path) -> None:
    early = searched(networks(40), tmp_path, minutes=0.3)
    assert 0 < early.measured.sum() < 3
    html, left = search_page(early), len(early) - int(early.measured.sum())
    assert f"{left} configurations are not drawn: {left} not predicted yet." in html
    assert f"{left} configurations were not measured and may be on the frontier: " in html


def test_the_slider_moves_marks_and_members(result: SearchResult, opened: Callable[..., Any]) -> None:
    tab = opened(search_page(result))
    rows = "#members tbody tr"
    assert tab.locator(rows).count() == len(result.members)
    last = tab.inner_text("#known")
    tab.focus("#time")
    tab.keyboard.press("Home")
    assert tab.locator(rows).count() == 0 and tab.inner_text("#known").startswith("0 measured")
    assert tab.locator(".mark.kind-4").count() == 0
    tab.keyboard.press("End")
    assert tab.inner_text("#known") == last and tab.locator(".mark.kind-4").count() == len(result.members)
    tab.locator(".mark.kind-4").first.dispatch_event("pointerover")
    assert "probability" in tab.inner_text("#tip")
    assert tab.locator("img").count() == 0


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_nothing_of_a_search_is_wider_than_the_screen(
    result: SearchResult, opened: Callable[..., Any], width: int
) -> None:
    tab = opened(search_page(result), viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_prediction_unlike_all_that_was_measured_says_so(result: SearchResult) -> None:
    unlike = replace(result)
    unlike.__dict__["standing"] = result.standing._replace(known=np.zeros(len(result), dtype=np.bool_))
    assert {each["basis"] for each in search_json(unlike)["spared"]} == {"extrapolated"}
    assert any(f"{len(result.spared)} are unlike all that was measured." in line for line in endings(unlike))
