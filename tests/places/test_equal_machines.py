"""A search on several machines at once, with stand-ins: who measures what, who is not equal, who is lost or late."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from paretodet.errors import InputError
from paretodet.frontier.searched import SearchResult
from paretodet.places.equals import EqualMachines
from paretodet.places.host import search_place
from paretodet.places.place import Fleet, Request
from paretodet.places.ray import RayFleet
from paretodet.places.runner import CALIBRATION
from paretodet.places.several import Several
from paretodet.places.ssh import SshPlace
from paretodet.records.row_id import job_key
from paretodet.records.store import Store
from paretodet.searching import search
from toy_board import Board, Message

NAMES = ("ssd-mobilenet_v1-300", "ssd-inception_v2-300", "ssd_liu-vgg16-300", "yolo_v3-darknet53-320")


class Boards:
    """A fleet whose members may change at every look."""

    name, many = "ray:head:1", True

    def __init__(self, *boards: Board, there: Callable[[], list[Board]] | None = None) -> None:
        self._there = there or (lambda: list(boards))
        self.released = 0

    def owns(self, name: str) -> bool:
        return name.startswith("ray:head:1/")

    @contextmanager
    def connect(self, notify: Callable[[str], None]) -> Iterator["Boards"]:
        yield self

    def places(self) -> Mapping[str, Board]:
        return {board.name: board for board in self._there()}

    def release(self) -> None:
        self.released += 1


def board(label: str, **changed: Any) -> Board:
    return Board(name=f"ray:head:1/{label}", machine=12 * label, **changed)


def searched(
    *boards: Board,
    there: Callable[[], list[Board]] | None = None,
    notes: list[str] | None = None,
    **options: Any,
) -> SearchResult:
    said = [] if notes is None else notes
    fleet = Boards(*boards, there=there)
    machines = EqualMachines(fleet, Request(names=NAMES), said.append, wait=60, poll=0.005, retry=0.01)
    try:
        with machines.connected() as host:
            return search(NAMES, host=host, store="rows.db", notify=said.append, **options)
    finally:
        assert fleet.released


def stored() -> Counter[tuple[str, str]]:
    """How many first measurements the store has of every job, without those of the reference."""
    rows = [row for row in Store("rows.db").rows() if row.name != CALIBRATION and row.processes == 2]
    return Counter((row.name, job_key(row.name, row.job)) for row in rows)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_equal_machines_measure_at_the_same_time_and_nothing_twice() -> None:
    meet = Barrier(2, timeout=60)
    asked = list[str]()

    def waits(job: Message) -> None:
        asked.append(job["name"])
        if len([name for name in asked if name != CALIBRATION]) <= 4:
            meet.wait()  # fails unless both machines are measuring

    one, two = board("a", waits=waits), board("b", waits=waits)
    progress = list[Any]()
    result = searched(one, two, on_progress=progress.append)
    assert isinstance(Boards(), Fleet) and result.members and not result.undecided
    assert len(one.measured) >= 2 and len(two.measured) >= 2
    assert one.calibrations == two.calibrations == 1
    assert max(stored().values()) == 1 and len(stored()) == int(result.measured.sum()) > 2
    rows = [each.row for each in result.configurations if each.row]
    assert {row.machine for row in rows} == {12 * "a", 12 * "b"}  # each has the name of its own
    assert {row.run for row in Store("rows.db").rows()} == {result.run}
    assert {each.name.split(" on ")[1] for each in progress} == {one.name, two.name}


def test_machines_that_are_not_equal_are_refused_before_anything_is_measured() -> None:
    one, two = board("a"), board("b", slowness=1.5)
    with pytest.raises(InputError, match=r"is not equal to ray:head:1/.: the reference candidate takes .*--on ray:.*"):
        searched(one, two)
    assert one.measured == two.measured == []
    other = board("b", facts={"cpu": "another"})
    with pytest.raises(InputError, match=r"cpu is .*place-unfit"):
        searched(board("a", facts={"cpu": "one"}), other)
    searched(board("c"), board("d", slowness=1.01))  # less than what its interval allows


def test_a_late_machine_measures_if_it_is_equal() -> None:
    one, equal, slower = board("a"), board("b"), board("c", slowness=2.0)
    notes, until = list[str](), time.monotonic() + 60

    def waits(job: Message) -> None:
        while one.measured and time.monotonic() < until:
            if equal.measured and any("equal" in note for note in notes):
                break
            time.sleep(0.005)

    one.waits = waits
    result = searched(one, there=lambda: [one, equal, slower] if one.measured else [one], notes=notes)
    assert equal.measured and slower.measured == [] and slower.calibrations == 1
    assert result.members and max(stored().values()) == 1
    (note,) = [note for note in notes if "equal" in note]
    assert note.startswith("ray:head:1/c: it is not equal to ray:head:1/a: ") and "It measures nothing" in note


def test_what_a_lost_machine_measured_is_measured_by_another() -> None:
    one, lost = board("a"), board("b", dies=1)
    meet, notes = Barrier(2, timeout=60), list[str]()
    lost.waits = one.waits = lambda job: (
        None if job["name"] == CALIBRATION or len(one.measured) > 1 or len(lost.measured) > 1 else meet.wait()
    )
    result = searched(one, lost, notes=notes)
    assert "ray:head:1/b: ray:head:1/b: is gone." not in notes and "ray:head:1/b: is gone." in notes
    assert not result.undecided and max(stored().values()) == 1 and len(stored()) == int(result.measured.sum())
    assert len(lost.measured) == 2 and lost.measured[1] in one.measured


def test_without_a_machine_the_search_ends_and_the_same_command_goes_on() -> None:
    with pytest.raises(InputError, match=r"no machine measures: ray:head:1/a \(is gone\); .*same command goes on"):
        searched(board("a", dies=2), notes=[])
    before = Store("rows.db").rows()
    assert sum(row.name != CALIBRATION for row in before) >= 2
    other = board("b")
    result = searched(other)  # another machine than the first one, equal to it
    assert {row.run for row in before} == {result.run} and max(stored().values()) == 1
    assert len(other.measured) < int(result.measured.sum()) == len(stored())
    with pytest.raises(InputError, match=r"is not equal to the first machine of this search"):
        searched(board("c", slowness=3.0))


def test_a_machine_that_runs_other_things_is_left_out() -> None:
    notes = list[str]()
    other = board("b", versions={"python": "4"})
    searched(board("a"), other, notes=notes)
    assert other.measured == [] or notes == []
    first = next(note for note in notes if "its python is" in note)
    assert "install the same versions, or search on it alone" in first


def test_several_places_are_one_fleet() -> None:
    assert search_place("ray:h:1/a", "ray:h:1/b") == RayFleet("h:1", ("a", "b"))
    assert search_place("ray:h:1/a", "ray:h:1") == RayFleet("h:1")
    assert search_place("ssh:x", "ssh:x") == SshPlace("x")
    both = search_place("ssh:x", "ray:h:1/a", python="p")
    assert isinstance(both, Several) and isinstance(both, Fleet) and both.name == "ssh:x + ray:h:1/a"
    assert both.parts == (SshPlace("x", "p"), RayFleet("h:1", ("a",)))
    assert both.owns("ssh:x") and both.owns("ray:h:1/a") and not both.owns("ray:h:1/b")
    with pytest.raises(InputError, match=r"two clusters.*option-conflict"):
        search_place("ray:h:1/a", "ray:i:1/a")
    with pytest.raises(InputError, match="option-conflict"):
        search_place("ray:h:1/a", "ray:h:1/b", python="p")


def test_several_places_are_there_together() -> None:
    cluster = Boards(board("a"))
    both = Several((board("x"), cluster))  # type: ignore[arg-type]
    with both.connect(print) as members:
        assert set(members.places()) == {"ray:head:1/x", "ray:head:1/a"}
        members.release()
    assert cluster.released == 1
