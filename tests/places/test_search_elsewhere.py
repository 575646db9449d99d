"""`search` on another machine, with a stand-in for its runner: what it decides, what is refused, and how it goes on."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import made_bundles
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.frontier.searched import SearchResult
from paretodet.places.host import connected, search_place
from paretodet.places.place import Fleet
from paretodet.places.ssh import SshPlace
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import row_text, with_id
from paretodet.records.store import Store
from paretodet.searching import search
from paretodet.transforms.resize_policy import Stretch
from toy_board import Board

SSD, YOLO = "ssd-mobilenet_v1-300", "yolo_v3-darknet53-320"
NAMES = (SSD, "ssd-inception_v2-300", "ssd_liu-vgg16-300", YOLO, "yolo_v3-darknet53-416")


def searched(board: Any, *names: str, **options: Any) -> SearchResult:
    with connected(board, names or NAMES) as host:
        return search(names or NAMES, host=host, store="rows.db", **options)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_frontier_is_that_of_the_machine_there_in_what_it_can_run() -> None:
    board, notes, progress = Board(), list[str](), list[Any]()
    result = searched(board, notify=notes.append, on_progress=progress.append)
    assert len(result) == 2 * len(NAMES) and not result.undecided
    members = [result.configurations[index] for index in result.members]
    assert {each.expected.runtime for each in members} == {"executorch"}
    assert {SSD, "yolo_v3-darknet53-416"} <= {each.expected.name for each in members}
    rows = Store("rows.db").rows()
    assert len(rows) == len(board.measured) == int(result.measured.sum())
    assert {(row.machine, row.run, row.threads) for row in rows} == {("abcdefabcdef", result.run, 77)}
    assert all(row.ap and row.ap_source for row in rows)  # what is published is known here
    assert all(each.expected.threads == 77 for each in result.configurations)
    assert "ssh:board: Not in the space: a reason." in notes and progress and all(each.total == 10 for each in progress)


def test_a_lost_machine_keeps_its_rows_and_the_same_command_goes_on() -> None:
    with pytest.raises(InputError, match=r"is gone; .*same command goes on .*place-unreachable"):
        searched(Board(dies=3))
    before = {row.id for row in Store("rows.db").rows()}
    board = Board()
    result = searched(board)
    assert len(before) == 3 and len(before) + len(board.measured) == int(result.measured.sum())
    assert {row.run for row in Store("rows.db").rows()} == {result.run}
    board = Board(versions={"python": "4"})
    searched(board)
    assert len(board.measured) >= 3  # rows of other versions do not count


def changed(row: dict[str, Any], **values: Any) -> dict[str, Any]:
    return json.loads(row_text(with_id(Measurement.from_json(row | values))))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"latency_ms_p50": -1.0}, "latency_ms_p50 is -1.0"),
        ({"machine": "other"}, "of this connection"),
        ({"run": "other"}, "of this connection"),
        ({"name": YOLO}, "of another configuration"),
        ({"job": {"name": SSD, "bundle": "0" * 64}}, "of another configuration"),
    ],
)
def test_an_answer_that_is_nonsense_is_refused_and_the_search_goes_on(values: dict[str, Any], says: str) -> None:
    def change(message: dict[str, Any]) -> dict[str, Any]:
        row = message.get("row")
        return {"row": changed(row, **values)} if row and row["name"] == SSD else message

    notes = list[str]()
    result = searched(Board(change=change), notify=notes.append)
    assert {each.expected.name for each in result.failed} == {SSD}
    assert any(SSD in note and says in note for note in notes)
    assert all(row.name != SSD for row in Store("rows.db").rows()) and len(result.members)


@pytest.mark.parametrize("nonsense", [7, [], {}, {"row": 3}, {"row": None}, {"progress": 3}, {"note": "hello"}])
def test_answers_after_nonsense_are_still_those_of_their_questions(nonsense: Any) -> None:
    notes, board = list[str](), Board()
    board.change = lambda message: nonsense if "row" in message and len(board.measured) == 2 else message
    result = searched(board, notify=notes.append)
    assert len(result.failed) == 1 and sum("is refused" in note for note in notes) == 1
    assert int(result.measured.sum()) == len(board.measured) - 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda space: 3, "what it can run"),
        (lambda space: {}, "what it can run"),
        (lambda space: space | {"threads": -1}, "threads"),
        (lambda space: space | {"jobs": [{"runtime": "eager", "job": {"name": "other"}}]}, "other was not asked for"),
        (lambda space: space | {"jobs": [space["jobs"][0] | {"runtime": "made up"}]}, "no runtime made up"),
        (lambda space: space | {"jobs": 2 * space["jobs"]}, "twice"),
        (lambda space: space | {"jobs": [7]}, "what it can run"),
    ],
)
def test_what_it_can_run_is_only_what_was_asked(change: Callable[[Any], Any], says: str) -> None:
    board = Board(change=lambda message: {"space": change(message["space"])})
    with pytest.raises(InputError, match="place-answer") as error:
        searched(board)
    assert says in str(error.value) and str(error.value).startswith("ssh:board: ") and not board.measured


def test_a_space_without_a_known_gain_is_refused_before_the_machine_is_asked() -> None:
    board = Board(change=lambda message: pytest.fail("it was asked"))
    with pytest.raises(InputError, match="rfcn-mobilenet.*space-empty"):
        searched(board, "rfcn-mobilenet_v1-300-s16-p50")


def test_bundles_are_copied_before(folder: Path) -> None:
    made_bundles.write_grid(folder / "grid", Stretch(height=96, width=96))
    board = Board()
    with connected(board, [str(folder / "grid")]) as host:
        config = CandidateConfig(name=str(folder / "grid"))
        found = host.runnable([config], [], runtimes=("all",), precisions=("all",), calibration=None, images=None)
    assert board.copied == [folder / "grid"]
    assert [job.recipe["name"] for job in found.jobs] == ["grid", "grid"]
    assert {job.recipe["bundle"] for job in found.jobs} == {config.to_json()["bundle"]}


def test_code_and_files_of_this_machine_are_not_sent() -> None:
    with pytest.raises(InputError, match="option-unsupported"):
        searched(Board(), "model.onnx")
    with pytest.raises(InputError, match="option-conflict"):
        searched(Board(), images="photo.jpg")


@dataclass
class Cluster:
    """A fleet of boards, which is lost when `lost` is set."""

    boards: dict[str, Board]
    name: str = "ray:head:1/a"
    many: bool = False
    lost: bool = False
    released: int = 0

    def owns(self, name: str) -> bool:
        return name in self.boards

    @contextmanager
    def connect(self, notify: Callable[[str], None]) -> Iterator["Cluster"]:
        yield self

    def places(self) -> Mapping[str, Board]:
        if self.lost:
            raise InputError("its head does not answer; the same command goes on", "place-unfit")
        return self.boards

    def release(self) -> None:
        self.released += 1


def test_one_machine_of_a_cluster_is_searched() -> None:
    assert isinstance(Cluster({}), Fleet)
    board = Board(name="ray:head:1/a")
    one = Cluster({"ray:head:1/a": board})
    assert searched(one).members and one.released and board.calibrations == 0
    with pytest.raises(InputError, match=r"ray:head:1/a: .* has left the cluster"):
        searched(Cluster({}))


def test_a_cluster_that_is_lost_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.places.host.POLL_S", 0.01)

    class Waiting(Board):
        def receive(self) -> str:
            if self.measured:
                cluster.lost = True
                while not cluster.released:
                    time.sleep(0.01)
                raise InputError("the run was ended", "place-unreachable")
            return super().receive()

    cluster = Cluster({"a": Waiting()})
    with pytest.raises(InputError, match="its head does not answer"):
        searched(cluster)


def test_places_that_a_search_cannot_use_are_refused() -> None:
    assert search_place("ssh:board", python="python") == SshPlace("board", "python")
    with pytest.raises(InputError, match=r"paretodet measure BUNDLE --on adb:1.*option-unsupported"):
        search_place("adb:1")
    with pytest.raises(InputError, match="names no place"):
        search_place("board")
    with pytest.raises(InputError, match=r"--on adb:.*option-unsupported"):
        search_place("ssh:board", "adb:1")
