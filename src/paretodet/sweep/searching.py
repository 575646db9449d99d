"""Searches a space for its frontier: measures one configuration, commits its row, and decides what to measure next."""

import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import Identity, identity
from paretodet.config import CandidateConfig
from paretodet.errors import InputError, words
from paretodet.frontier.search import assumed, choose, standing
from paretodet.frontier.searched import Configuration, SearchResult
from paretodet.frontier.values import Columns, columns, matches
from paretodet.records.compare import versions_agree
from paretodet.records.measurement import GAINS, Measurement
from paretodet.records.row_id import job_key, row_text, validated, with_id
from paretodet.records.store import Store
from paretodet.sweep.known import ExpectedSeconds
from paretodet.sweep.measuring import content_hash

FIRST_PROCESSES, MAX_PROCESSES = 2, 8
SETTING = "search"  # in the settings of its rows: `seconds` of the measurement, and `finished`, s after the beginning


class Bench(Protocol):
    """Measures one job at a time; `start` is called before the first one."""

    def start(self) -> None: ...

    def __call__(self, job: Job, *, patience: float, processes: int) -> Measurement:
        """The row of a job over this many processes, whose measurement may lose `patience` seconds to other work."""
        ...


class Task(NamedTuple):
    """What a search asks for: the job at this place, over so many processes, which may lose `patience` seconds."""

    place: int
    job: Job
    patience: float
    processes: int


class Answer(NamedTuple):
    """What came of a task in so many seconds: a row, or why an answer is refused; None if its machine was lost."""

    task: Task
    outcome: Measurement | InputError | None
    seconds: float = 0.0


class Joined(NamedTuple):
    """Machines whose rows count from now on."""

    machines: frozenset[str]


@runtime_checkable
class Team(Protocol):
    """Measures several jobs at once, on machines that are equal."""

    def is_free(self) -> bool:
        """Whether a machine waits for a task."""
        ...

    def begin(self, task: Task) -> None:
        """Gives a task to a machine that is free."""
        ...

    def event(self) -> Answer | Joined | None:
        """What happens next; None if nothing does for a while. Raises InputError if no machine is left."""
        ...


class _Alone:
    """The team of one machine, which measures while it is asked what happens."""

    def __init__(self, bench: Bench, clock: Callable[[], float]) -> None:
        self._bench, self._clock, self._tasks = bench, clock, list[Task]()

    def is_free(self) -> bool:
        return not self._tasks

    def begin(self, task: Task) -> None:
        self._tasks.append(task)

    def event(self) -> Answer:
        return answer_of(self._bench, self._tasks.pop(), self._clock)


def answer_of(bench: Bench, task: Task, clock: Callable[[], float] = time.monotonic) -> Answer:
    """What a bench answers to a task. Raises an error that is not only about this answer."""
    bench.start()
    began = clock()
    try:
        row = bench(task.job, patience=task.patience, processes=task.processes)
    except InputError as error:
        if error.id != "row-invalid":
            raise
        return Answer(task, error)
    return Answer(task, row, clock() - began)


class Runnable(NamedTuple):
    """What a machine can run: jobs, and a sentence for every reason why something is left out."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()


class Host(Protocol):
    """The machine that a search measures on, or several equal ones."""

    identity: Identity

    def runnable(
        self,
        configs: Sequence[CandidateConfig],
        jobs: Sequence[Job],
        *,
        runtimes: Sequence[str],
        precisions: Sequence[str],
        calibration: Path | None,
        images: Path | str | Sequence[Path | str] | None,
    ) -> Runnable:
        """The configs in every runtime and precision, as `executions` has them, and the jobs."""
        ...

    def bench(
        self, jobs: Sequence[Job], *, plan: Plan, run: str, store: Store, on_progress: Callable[[Progress], None]
    ) -> Bench | Team:
        """What measures the jobs. `store` is where the rows go."""
        ...


@dataclass(kw_only=True)
class Search:
    """A search that goes on where it stopped: what was measured, and what it measures next.

    `empty` is its result without any row. Rows of the store count if they are of the machine and versions of `host`, or
    of a machine that joined; those that this search measured in earlier sessions have its `run`. `budget` is the time
    of this session in seconds, from the moment when `clock` gave `began`; `notify` receives a sentence for every answer
    that is refused.
    """

    jobs: Sequence[Job]
    empty: SearchResult
    store: Store
    run: str
    budget: float
    began: float
    host: Identity = field(default_factory=identity)
    notify: Callable[[str], None] = lambda sentence: None
    on_progress: Callable[[Progress], None] = lambda progress: None
    clock: Callable[[], float] = time.monotonic
    _found: dict[int, Configuration] = field(default_factory=dict)
    _took: dict[int, float] = field(default_factory=dict)
    _final: set[int] = field(default_factory=set)  # those with a row that are not measured again
    _artifacts: dict[int, str] = field(default_factory=dict)
    _before: float = 0.0  # s of the earlier sessions
    _state: tuple[int, int] = (0, 0)  # decided memberships, and all

    def __post_init__(self) -> None:
        self._times = ExpectedSeconds.of([each.expected for each in self.empty.configurations])
        earlier = (_timed(row) for row in self.store.rows(run=self.run))
        self._before = max((float(when["finished"]) for when in earlier if when), default=0.0)
        self.admit({self.host.machine})

    def admit(self, machines: Collection[str]) -> None:
        """Takes the stored rows of machines into account, beside those of others that are no better."""
        for index, row in self._stored(machines):
            known = self._found[index].row if index in self._found else None
            if known and known.machine not in machines and known.processes >= row.processes:
                continue
            when = _timed(row)
            finished = float(when["finished"]) if when and row.run == self.run else 0.0
            self._add(index, row, seconds=when.get("seconds"), finished=finished)

    @property
    def spent(self) -> float:
        """Seconds of this search, with those of its earlier sessions."""
        return self._before + self._now

    @property
    def _now(self) -> float:
        return self.clock() - self.began

    def result(self) -> SearchResult:
        """What is known now."""
        seconds = self._times.after(self._took)
        return self.empty.after(self._found, seconds=seconds, spent=self.spent, run=self.run)

    def measure(self, bench: Bench | Team, *, patience: float) -> Iterator[Measurement]:
        """The rows that are measured until every membership is decided, or the time of this session is over.

        What is measured but too close to others is measured again, over twice as many processes. A measurement that is
        expected to last longer than what is left of the time is not started. Every row is committed before it is
        yielded and before the next one is chosen. All that one machine measures may lose `patience` seconds to other
        work. A team has a task for each of its machines; what is lost with a machine is asked for again.
        """
        team = bench if isinstance(bench, Team) else _Alone(bench, self.clock)
        running, begun = set[int](), False
        asks = True  # whether something may be left to measure beside what is running
        while True:
            while asks and team.is_free():
                if (task := self._next(running, patience)) is None:
                    asks = False
                else:
                    running.add(task.place)
                    team.begin(task)
                    begun = True
            if not running and (not asks or self._now >= self.budget):
                self._tell_of_short_time(begun)
                return
            event = team.event()
            asks = asks or event is not None
            if isinstance(event, Joined):
                self.admit(event.machines)
            elif isinstance(event, Answer):
                running.remove(event.task.place)
                if (row := self._received(event)) is not None:
                    yield row

    def _tell_of_short_time(self, begun: bool) -> None:
        """Says what the shortest measurement takes, if a session like this one could not begin what is left."""
        known = self.result()
        left = known.seconds[[index for index in known.undecided if not known.measured[index]]]
        if not left.size or (begun and left.min() <= self.budget):
            return
        shortest = f"the shortest of them is expected to take {math.ceil(left.min())} s, more than was left of the time"
        count = f"{left.size:,} of {len(known):,}"
        self.notify(f"Not measured, and maybe on the frontier: {count}; {shortest}; give more --minutes.")

    def progress(self, measuring: Progress) -> None:
        """Sends what the bench does, with the number of decided memberships and the time that is left."""
        done, total = self._state
        left = max(0.0, self.budget - self._now)
        self.on_progress(replace(measuring, done=done, total=total, left=left))

    def _next(self, running: Collection[int], patience: float) -> Task | None:
        """What to measure while others are running; None if nothing needs to be, or nothing more fits into the time."""
        if (left := self.budget - self._now) <= 0:
            return None
        known = self.result()
        self._state = (int(known.standing.decided.sum()), len(known))
        if (step := next_step(known, left, self._final, running)) is None:
            return None
        index, processes = step
        share = patience * min(1.0, float(known.seconds[index]) / self.budget)
        return Task(index, self.jobs[index], share, processes)

    def _received(self, answer: Answer) -> Measurement | None:
        """The row of an answer, kept; None if there is none. Nonsense excludes the configuration."""
        (index, job, *_), row = answer.task, answer.outcome
        if row is None:
            return None
        try:
            if isinstance(row, InputError):
                raise row
            check_answer(row, job, self._artifacts.get(index))
        except InputError as error:
            if error.id != "row-invalid":
                raise
            reason = f"its answer is refused: {words(error)}"
            self._exclude(index, reason, finished=self.spent)
            self.notify(f"{job.name}: {reason}.")
            return None
        return self._keep(index, row, seconds=answer.seconds)

    def _keep(self, index: int, row: Measurement, *, seconds: float) -> Measurement:
        """Commits a row with the time that it took."""
        when = {"seconds": round(seconds, 3), "finished": round(self.spent, 3)}
        row = with_id(replace(row, settings={**row.settings, SETTING: when}))
        self.store.append(row)
        self._artifacts |= {index: row.artefact} if row.artefact else {}
        self._add(index, row, seconds=seconds, finished=when["finished"])
        return row

    def _add(self, index: int, row: Measurement, *, seconds: float | None, finished: float) -> None:
        """Takes a row into account, or the reason why it has no cost."""
        if failed := _failure(row, self.empty.read):
            self._exclude(index, failed, finished=finished)
            return
        empty, before = self.empty.configurations[index], self._found.get(index)
        self._found[index] = replace(empty, row=row, finished=finished, before=before)
        if seconds and row.processes <= FIRST_PROCESSES:
            self._took[index] = float(seconds)

    def _exclude(self, index: int, reason: str, *, finished: float) -> None:
        """Excludes a configuration, or, if it has a row, does not measure it again."""
        if index in self._found and self._found[index].row:
            self._final.add(index)
        else:
            self._found[index] = replace(self.empty.configurations[index], reason=reason, finished=finished)

    def _stored(self, machines: Collection[str]) -> Iterator[tuple[int, Measurement]]:
        """The rows of machines that the store has, oldest first; notes the artifacts of all machines."""
        index = {job_key(job.name, job.recipe): place for place, job in enumerate(self.jobs)}
        rows = self.store.all_rows()
        rows = rows.where(matches(rows, "name", tuple({job.name for job in self.jobs}))) if len(rows) else rows
        ids = [row_id for row_id, name, job in rows.values("id", "name", "job") if job_key(name, job) in index]
        for row in sorted(self.store.complete_rows(ids).values(), key=lambda row: (row.at, row.id)):
            if row.versions and versions_agree(row.versions, self.host.versions):
                place = index[job_key(row.name, row.job)]
                if row.artefact:
                    self._artifacts[place] = row.artefact
                if row.machine in machines:
                    yield place, row


def open_run(
    store: Store, jobs: Sequence[Job], *, plan: Plan, question: Sequence[str | None], host: Identity | None = None
) -> str:
    """The id of the run of a search, which stays open: the same search of the same jobs, images and versions has it
    again. `host` is the machine that measures, by default this one.
    """
    host = host or identity()
    images = [content_hash(paths) for paths in dict.fromkeys(job.images for job in jobs)]
    request = {
        "search": list(question),
        "plan": asdict(plan),
        "jobs": [job.recipe for job in jobs],
        "pictures": images,
        "versions": host.versions,
    }
    return store.open_run(request, machine=host.machine)


def check_answer(row: Measurement, job: Job, artifact: str | None) -> None:
    """Raises InputError if a row cannot be the answer to a job: it has a number that is negative or not finite, is of
    another job, or of another artifact than the one with this hash.
    """
    validated(json.loads(row_text(row)))
    if job_key(row.name, row.job) != job_key(job.name, job.recipe):
        raise InputError(f"it is of another configuration ({row.name})", "row-invalid")
    if artifact and row.error is None and row.artefact != artifact:
        digests = f"{row.artefact[:12] or 'none'}, that of an earlier row is {artifact[:12]}"
        raise InputError(f"the hash of its artifact is {digests}", "row-invalid")


def _timed(row: Measurement) -> Mapping[str, Any]:
    """When a search measured a row, as in `SETTING`; empty for the rows of others, which may have anything there."""
    when: Mapping[str, Any] = row.settings.get(SETTING, {})
    times = [when.get(name) for name in ("seconds", "finished")] if isinstance(when, dict) else [None]
    return when if all(isinstance(each, int | float) and 0 <= each < 1e12 for each in times) else {}


def _failure(row: Measurement, fields: Sequence[str]) -> str | None:
    """Why a row cannot be compared; None if it can."""
    if row.error is not None:
        return words(row.error)
    missing = [name for name in fields if np.isnan(columns([row], name).point[0])]
    return f"its row has no {missing[0].removeprefix('-')} ({row.validity})" if missing else None


def next_step(
    known: SearchResult, left: float, final: Collection[int], running: Collection[int] = ()
) -> tuple[int, int] | None:
    """What to measure, over how many processes, of what is expected to end within `left` seconds; None if nothing
    needs to be measured. `running` are being measured meanwhile.
    """
    space, now = assumed(known.now, known.standing, running)
    too_long = ~space.measured & (known.seconds > left)
    index = choose(replace(space, excluded=space.excluded | too_long), now)
    return _again(known, left, {*final, *running}) if index is None else (index, FIRST_PROCESSES)


def _again(known: SearchResult, left: float, final: Collection[int]) -> tuple[int, int] | None:
    """The row with the widest interval of those that are undecided and would be decided by exact values, and of those
    whose intervals overlap theirs; none of `final`. The values are what is measured: the cost, maybe the gain.
    """
    now, is_stated = known.now, known.gain in GAINS
    exact = replace(now, cost=_exact(now.cost), gain=now.gain if is_stated else _exact(now.gain))
    is_open = np.flatnonzero(known.measured & ~known.standing.decided & standing(exact).decided)
    values = (known.standing.cost,) if is_stated else (known.standing.cost, known.standing.gain)
    overlaps = [(each.low < each.high[is_open, None]) & (each.high > each.low[is_open, None]) for each in values]
    near = np.flatnonzero(known.measured & np.logical_or.reduce(overlaps).any(axis=0))
    widths = np.max([(each.high[near] - each.low[near]) / abs(each.point[near]) for each in values], axis=0)
    widest = near[np.argsort(-widths, kind="stable")]
    steps = ((index, 2 * _processes(known, index)) for index in widest.tolist() if index not in final)
    return next((step for step in steps if step[1] <= MAX_PROCESSES and _fits(known, step, left)), None)


def _exact(column: Columns) -> Columns:
    return Columns(*3 * (column.point,))


def _fits(known: SearchResult, step: tuple[int, int], left: float) -> bool:
    index, processes = step
    return bool(known.seconds[index] * processes / FIRST_PROCESSES <= left)


def _processes(known: SearchResult, index: int) -> int:
    row = known.configurations[index].row
    return max(FIRST_PROCESSES, row.processes if row else 0)
