"""Rows are committed one by one, and an interrupted run is resumed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretodet.bench.job import Job, Plan
from paretodet.errors import InputError
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.sweep import measuring
from paretodet.sweep.measuring import measure_into, measure_once
from paretodet.sweep.read import find_row, read_rows


def make() -> Any:
    raise AssertionError("nothing is opened here")


def jobs(*names: str) -> list[Job]:
    return [Job(name=name, make=make, recipe={"name": name}) for name in names]


class Bench:
    """Replaces `measure`: one row per job, until `stop_after` rows."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.stop_after: int | None = None
        self.clock = 0

    def __call__(
        self, jobs: list[Job], *, plan: Plan, run: str = "single", on_progress: Any, **options: Any
    ) -> Iterator[Measurement]:
        for job in jobs:
            if self.stop_after is not None and len(self.measured) >= self.stop_after:
                raise KeyboardInterrupt
            self.measured.append(job.name)
            self.clock += 1
            at = f"2030-01-01T00:00:{self.clock:02}+00:00"
            yield with_id(
                Measurement(id="", run=run, at=at, name=job.name, job=job.recipe, latency_ms_p50=float(self.clock))
            )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(measuring, "measure", bench)
    return bench


def test_an_interrupted_run_is_resumed(tmp_path: Path, bench: Bench) -> None:
    store, requested = Store(tmp_path / "rows.db"), jobs("a", "b", "c")
    bench.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        list(measure_into(store, requested, plan=Plan()))
    assert [row.name for row in store.rows()] == ["a", "b"]
    bench.stop_after = None
    rows = list(measure_into(store, requested, plan=Plan()))
    assert [row.name for row in rows] == ["a", "b", "c"] and bench.measured == ["a", "b", "c"]
    assert len({row.run for row in rows}) == 1


def test_a_finished_run_or_another_plan_starts_a_new_run(tmp_path: Path, bench: Bench) -> None:
    store = Store(tmp_path / "rows.db")
    first = list(measure_into(store, jobs("a"), plan=Plan()))
    again = list(measure_into(store, jobs("a"), plan=Plan()))
    other = list(measure_into(store, jobs("a"), plan=Plan(processes=3)))
    assert bench.measured == ["a"] * 3 and len({row.run for row in first + again + other}) == 3


def test_each_row_is_stored_before_it_is_yielded(tmp_path: Path, bench: Bench) -> None:
    store = Store(tmp_path / "rows.db")
    for row in measure_into(store, jobs("a", "b"), plan=Plan()):
        assert store.get(row.id) == row


def test_reading_returns_the_newest_rows_or_a_run(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "rows.db"
    store = Store(path)
    first = list(measure_into(store, jobs("a", "b"), plan=Plan()))
    second = list(measure_into(store, jobs("a"), plan=Plan()))
    assert {row.id for row in read_rows(path)} == {first[1].id, second[0].id}
    assert [row.id for row in read_rows(path, run=first[0].run[:6])] == [row.id for row in first]
    store.export_jsonl(tmp_path / "rows.jsonl")
    assert {row.id for row in read_rows(tmp_path / "rows.jsonl")} == {first[1].id, second[0].id}
    assert find_row(tmp_path / "rows.jsonl", first[0].id[:8]) == find_row(path, first[0].id) == first[0]
    with pytest.raises(ValueError, match="no rows of run 'zzz'"):
        read_rows(path, run="zzz")


def test_reading_creates_no_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.db: no such store"):
        read_rows(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_measure_once_appends_a_row(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "rows.db"
    list(measure_into(Store(path), jobs("a"), plan=Plan()))
    row = measure_once(path, jobs("a")[0], plan=Plan())
    assert Store(path).get(row.id) == row and len(Store(path).rows()) == 2


def test_changed_images_start_a_new_run_and_finished_jobs_are_not_prepared(tmp_path: Path, bench: Bench) -> None:
    store, seen = Store(tmp_path / "rows.db"), []
    (tmp_path / "day.png").write_bytes(b"day")

    def prepare(job: Job) -> Job:
        seen.append(job.name)
        return job

    def requested() -> list[Job]:
        return [replace(job, images=(tmp_path / "day.png",)) for job in jobs("a", "b")]

    bench.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        list(measure_into(store, requested(), plan=Plan(), prepare=prepare))
    bench.stop_after = None
    rows = list(measure_into(store, requested(), plan=Plan(), prepare=prepare))
    assert seen == ["a", "b", "b"] and len({row.run for row in rows}) == 1
    bench.stop_after = len(bench.measured) + 1
    with pytest.raises(KeyboardInterrupt):
        list(measure_into(store, requested(), plan=Plan()))
    (tmp_path / "day.png").write_bytes(b"night")
    bench.stop_after = None
    assert len({row.run for row in measure_into(store, requested(), plan=Plan())}) == 1
    assert bench.measured == ["a", "b", "a", "a", "b"]


def test_a_second_process_may_not_measure_the_same_run(tmp_path: Path, bench: Bench) -> None:
    store = Store(tmp_path / "rows.db")
    first = measure_into(store, jobs("a", "b"), plan=Plan())
    next(first)
    with pytest.raises(InputError, match=r"^store: .*rows\.db.*\[run-busy\]$"):
        list(measure_into(Store(tmp_path / "rows.db"), jobs("a", "b"), plan=Plan()))
    assert [row.name for row in measure_into(store, jobs("a"), plan=Plan())] == ["a"]  # another plan may run
    assert [row.name for row in first] == ["b"]
    assert [row.name for row in store.rows()] == ["a", "a", "b"] and not list(tmp_path.glob(".*"))


HOLDER = """
import os, signal, sys
from pathlib import Path
from paretodet.bench.job import Job, Plan
from paretodet.records.store import Store
from paretodet.sweep import measuring
def killed(jobs, **options):
    print("measuring", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    yield
measuring.measure = killed
list(measuring.measure_into(Store(sys.argv[1]), [Job(name="a", make=print, recipe={"name": "a"})], plan=Plan()))
"""


def test_a_killed_process_holds_no_run_and_its_lock_is_removed(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "rows.db"
    killed = subprocess.run([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "measuring\n") and list(tmp_path.glob(".measure.*"))
    assert [row.name for row in measure_into(Store(path), jobs("b"), plan=Plan())] == ["b"]
    assert not list(tmp_path.glob(".*"))
    assert [row.name for row in measure_into(Store(path), jobs("a"), plan=Plan())] == ["a"]


def test_a_run_of_jobs_that_state_no_recipe_is_not_continued_by_other_ones(tmp_path: Path, bench: Bench) -> None:
    store = Store(tmp_path / "rows.db")
    bench.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        list(measure_into(store, [Job(name=name, make=make) for name in ("a", "b")], plan=Plan()))
    bench.stop_after = None
    others = [Job(name=name, make=make) for name in ("c", "d")]
    assert [row.name for row in measure_into(store, others, plan=Plan())] == ["c", "d"]
    larger = [Job(name=name, make=make, batch=8) for name in ("a", "b")]
    assert [row.name for row in measure_into(store, larger, plan=Plan())] == ["a", "b"]
    assert bench.measured == ["a", "c", "d", "a", "b"]
