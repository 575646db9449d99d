"""`--estimates` on the commands that answer from rows, and estimates in `list`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store

Run = Callable[..., tuple[int, str, str]]
NAMES = {"ssd-mobilenet_v1-300": 30.0, "ssd-vgg16-300": 90.0, "rfcn-resnet101-600-s8-p100": 400.0}


@pytest.fixture(autouse=True)
def store(run: Run) -> None:
    """A store of three systems in the working folder; the first has a published AP."""
    store = Store("paretodet.db")
    for name, ms in NAMES.items():
        known = {"ap": 18.8, "ap_split": "test-dev"} if ms == 30 else {}
        store.append(
            with_id(
                Measurement(id="", run="r", at="2030-01-01", name=name, latency_ms_p50=ms, job={"name": name}, **known)
            )
        )


def test_without_the_option_nothing_is_estimated(run: Run) -> None:
    code, out, err = run("frontier", "--json")
    assert code == 0 and [member["name"] for member in json.loads(out)["members"]] == ["ssd-mobilenet_v1-300"]
    assert "estimated" not in out + err


def test_a_frontier_with_estimates_says_so(run: Run) -> None:
    code, out, err = run("frontier", "--estimates")
    assert code == 0 and "rfcn-resnet101-600-s8-p100" in out and ") estimated" in out
    assert "The AP of 2 of 3 rows is estimated, with a 90 % interval" in err
    members = json.loads(run("frontier", "--estimates", "--json")[1])["members"]
    assert [("ap_estimate" in member) for member in members] == [member["ap"] != 18.8 for member in members]


def test_a_choice_by_an_estimate_says_so(run: Run) -> None:
    code, out, err = run("recommend", "--estimates", "--max-ms", "500")
    assert code == 0 and "rfcn-resnet101-600-s8-p100 (estimated AP" in out
    assert "report --estimates" in err
    choice = json.loads(run("recommend", "--estimates", "--max-ms", "500", "--json")[1])["choice"]
    assert choice["ap"] is None and choice["ap_estimate"]["low"] < choice["ap_estimate"]["high"]


def test_a_page_with_estimates(run: Run) -> None:
    assert run("report", "--estimates", "--out", "with.html")[0] == run("report", "--out", "without.html")[0] == 0
    assert "estimated" in Path("with.html").read_text("utf-8")
    assert "estimated" not in Path("without.html").read_text("utf-8")


def test_the_catalogue_shows_estimates_as_such(run: Run) -> None:
    listed = {entry["name"]: entry for entry in json.loads(run("list", "--json")[1])}
    estimated = [name for name, entry in listed.items() if entry["ap_estimate"]]
    assert len(estimated) == 206 - 7 and all(listed[name]["ap"] is None for name in estimated)
    assert listed["hf:d_fine-s"]["ap_estimate"] is None
    lines = run("list")[1].splitlines()
    assert sum("estimated, minival2014" in line for line in lines) == len(estimated)
