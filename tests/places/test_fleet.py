"""Many machines at once, with stand-ins: who joins late, who is lost and returns, and what is never measured twice."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from paretodet.bench.machine import Identity
from paretodet.errors import InputError
from paretodet.places.fleet import measure_on_all
from paretodet.places.place import Fleet, Members, RemotePlace, Request
from paretodet.places.runner import CALIBRATION
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, row_text, with_id
from paretodet.records.store import Store

FIRST, SECOND = "ssd-mobilenet_v1-300", "yolo_v2-darknet19-416"
NAMES = (CALIBRATION, FIRST, SECOND)
REQUEST = Request(names=(FIRST, SECOND))


@dataclass
class Board:
    """A machine that is lost before its row number `dies`, or answers with other artifacts."""

    name: str
    dies: int | None = None
    artifact: str = "a"
    fails: InputError | None = None
    measured: list[str] = field(default_factory=list)
    is_lost: bool = False
    slot: Any = field(default_factory=Lock)

    @property
    def identity(self) -> Identity:
        return Identity(machine=f"machine of {self.name}", versions={"python": "3"})

    @contextmanager
    def connect(self, request: Request) -> "Iterator[Board]":
        if self.fails:
            raise self.fails
        assert self.slot.acquire(blocking=False), "measured twice at once"
        try:
            yield self
        finally:
            self.slot.release()

    def measure(self, request: Request, *, run: str, finished: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        assert request.calibrate
        for name in (CALIBRATION, *request.names):
            if job_key(name, {"name": name}) not in finished:
                if self.dies == len(self.measured):
                    self.is_lost = True
                    raise InputError(f"{self.name}: is gone", "place-unreachable")
                self.measured.append(name)
                values = {"run": run, "machine": self.identity.machine, "artefact": f"{self.artifact} of {name}"}
                row = Measurement(id="", at="2030-01-01", name=name, job={"name": name}, latency_ms_p50=5.0, **values)
                yield {"row": json.loads(row_text(with_id(row)))}


class Boards:
    """A fleet whose members change at every look: `there` is called with the number of the look."""

    name, many = "boards", True

    def __init__(self, there: Callable[[int], list[Board]]) -> None:
        self._there, self._looks, self.released = there, 0, False

    def owns(self, name: str) -> bool:
        return name.startswith("boards/")

    @contextmanager
    def connect(self, notify: Callable[[str], None]) -> Iterator[Members]:
        yield self
        assert self.released

    def places(self) -> Mapping[str, RemotePlace]:
        self._looks += 1
        return {board.name: board for board in self._there(self._looks)}

    def release(self) -> None:
        self.released = True


class Bench:
    def __init__(self, folder: Path) -> None:
        self.store, self.notes = Store(folder / "rows.db"), list[str]()

    def measure(self, *boards: Board, there: Callable[[int], list[Board]] | None = None) -> list[Measurement]:
        fleet: Fleet = Boards(there or (lambda look: list(boards)))
        rows = measure_on_all(fleet, REQUEST, store=self.store, notify=self.notes.append, wait=0.4, poll=0.01)
        return list(rows)

    @property
    def stored(self) -> Counter[tuple[str, str]]:
        return Counter((row.machine.removeprefix("machine of boards/"), row.name) for row in self.store.rows())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def each(*labels: str) -> Counter[tuple[str, str]]:
    """Every job of the request once on every machine."""
    return Counter((label, name) for label in labels for name in NAMES)


def test_every_machine_measures_all_and_the_reference(bench: Bench) -> None:
    one, two = Board("boards/a"), Board("boards/b")
    assert len(bench.measure(one, two)) == 6 and bench.stored == each("a", "b") and bench.notes == []
    bench.measure(one, two)
    assert bench.stored == each("a", "b") + each("a", "b")  # a finished run is not continued


def test_a_machine_that_is_lost_and_returns_measures_what_it_lacks(bench: Bench) -> None:
    lost, back = Board("boards/b", dies=1), Board("boards/b")
    rows = bench.measure(there=lambda look: [Board("boards/a"), back if lost.is_lost else lost])
    assert len(rows) == 6 and bench.stored == each("a", "b")
    assert (lost.measured, back.measured) == ([CALIBRATION], [FIRST, SECOND])
    assert bench.notes[0] == "boards/b: is gone."


def test_a_machine_that_stays_away_is_named_and_the_same_command_continues(bench: Bench) -> None:
    one, lost = Board("boards/a"), Board("boards/b", dies=1)
    with pytest.raises(InputError, match="place-unreachable") as error:
        bench.measure(there=lambda look: [one] if lost.is_lost else [one, lost])
    assert "missing of boards/b (is gone)" in str(error.value) and len(bench.stored) == 4
    assert any(note.startswith("Waiting up to") and "boards/b" in note for note in bench.notes)
    with pytest.raises(InputError, match=r"boards/b \(not there\)"):
        bench.measure(one)  # without the lost one: nothing is measured again, and it is not forgotten
    back = Board("boards/b")
    assert len(bench.measure(one, back)) == 6 and bench.stored == each("a", "b")
    assert (one.measured, back.measured) == (list(NAMES), [FIRST, SECOND])


def test_a_machine_that_always_fails_is_given_up(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"boards/b \(is gone\)"):
        bench.measure(Board("boards/a"), Board("boards/b", dies=0))
    assert bench.stored == each("a")


def test_a_late_machine_joins(bench: Bench) -> None:
    one, late = Board("boards/a"), Board("boards/late")
    assert len(bench.measure(there=lambda look: [one, late] if one.measured else [one])) == 6
    assert bench.stored == each("a", "late")


def test_the_artifact_of_a_job_is_the_same_everywhere(bench: Bench) -> None:
    one, other = Board("boards/a"), Board("boards/b", artifact="other")
    with pytest.raises(InputError, match=r"boards/b \(") as error:
        bench.measure(there=lambda look: [one] if len(one.measured) != 3 else [one, other])
    assert "place-unreachable" in str(error.value) and bench.stored == each("a")
    assert (
        "has another hash (other of par) than on boards/a (a of paretod); install the same versions" in bench.notes[0]
    )


def test_a_machine_that_cannot_measure_leaves_the_others(bench: Bench) -> None:
    unfit = Board("boards/b", fails=InputError("boards/b: paretodet there is 0", "place-unfit"))
    with pytest.raises(InputError, match=r"missing of boards/b \(paretodet there is 0\)"):
        bench.measure(Board("boards/a"), unfit)
    assert bench.stored == each("a") and bench.notes == ["boards/b: paretodet there is 0."]


def test_a_busy_machine_is_waited_for(bench: Bench) -> None:
    busy = Board("boards/b", fails=InputError("boards/b: another run is measuring on this machine", "run-busy"))

    def there(look: int) -> list[Board]:
        return [busy if look < 50 else Board("boards/b")]

    assert len(bench.measure(there=there)) == 3
    assert bench.notes.count("boards/b: another run is measuring on this machine.") == 1


def test_an_error_of_the_store_or_in_the_code_ends_the_run(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="twice at once"):
        one = Board("boards/a")
        one.slot.acquire()
        bench.measure(one)


def test_a_run_that_is_interrupted_releases_the_machines_and_goes_on(bench: Bench) -> None:
    one = Board("boards/a")
    fleet = Boards(lambda look: [one])
    rows = measure_on_all(fleet, REQUEST, store=bench.store, poll=0.01)
    first = next(rows)
    rows.close()
    assert fleet.released
    assert first in bench.measure(one) and bench.stored == each("a")
