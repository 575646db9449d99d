"""Equal machines as the host of one search, which decides here: each measures one configuration at a time.

Every machine that joins measures the reference candidate first. One whose time differs from that of the first machine
of the search by more than chance is not equal: its rows would be of another frontier, so it measures nothing.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, Queue
from threading import Thread
from typing import Any, NamedTuple

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import Identity
from paretodet.config import CandidateConfig
from paretodet.errors import InputError, words
from paretodet.places.fleet import JOIN_S, LOST, POLL_S, RETRY_S, WAIT_S, Roster
from paretodet.places.place import Fleet, Members, RemotePlace, Request
from paretodet.places.remote_host import GOES_ON, RemoteHost, calibration
from paretodet.places.runner import CALIBRATION
from paretodet.records.compare import reproduced
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key
from paretodet.records.store import Store
from paretodet.sweep.searching import Answer, Bench, Joined, Runnable, Task, answer_of

CALIBRATED_OVER = 4  # processes
KIND = ("cpu", "cores_allowed", "cpu_quota", "architecture", "gpus")  # facts that equal machines have in common


class _Ready(NamedTuple):
    """A machine can measure, and this is its row of the reference candidate."""

    bench: Bench
    row: Measurement


class _Left(NamedTuple):
    """A machine measures no more."""

    error: BaseException | None


Event = RemoteHost | _Ready | Answer | Progress | _Left | str  # a string is a sentence for the user
Work = Callable[[RemoteHost], Event]


@dataclass(kw_only=True)
class _Member:
    """One machine; its thread does what is in `work`, and ends at None."""

    work: "Queue[Work | None]" = field(default_factory=Queue)
    thread: Thread | None = None
    host: RemoteHost | None = None
    bench: Bench | None = None  # once it is known to be equal
    task: Task | None = None


class _Measuring(NamedTuple):
    """What the machines measure."""

    jobs: Sequence[Job]
    plan: Plan
    run: str
    store: Store
    on_progress: Callable[[Progress], None]


class EqualMachines:
    """The machines of a fleet, as the host and as the team of a search."""

    def __init__(
        self,
        fleet: Fleet,
        request: Request,
        notify: Callable[[str], None],
        *,
        wait: float = WAIT_S,
        poll: float = POLL_S,
        retry: float = RETRY_S,
    ) -> None:
        self._fleet, self._request, self._notify, self._wait, self._poll = fleet, request, notify, wait, poll
        self._roster = Roster(retry=retry)
        self._machines = dict[str, _Member]()
        self._events = Queue[tuple[str, Event]]()
        self._reasons = dict[str, str]()  # why a machine does not measure
        self._starting = set[str]()  # the first task waits for these to measure the reference
        self._reference: tuple[str, Measurement] | None = None  # the machine that all are compared with, and its row
        self._joined = set[str]()  # fingerprints
        self._since = time.monotonic()  # when there was a machine, or when they began to measure the reference
        self._looked = -math.inf
        self._has_begun = False  # a task
        self._ask: Callable[[RemoteHost], Runnable] = lambda host: Runnable(())
        self._measuring: _Measuring | None = None

    @contextmanager
    def connected(self) -> Iterator["EqualMachines"]:
        """Once a machine has answered. Raises InputError if none does."""
        with self._fleet.connect(lambda sentence: self._events.put(("", sentence))) as members:
            self._members: Members = members
            try:
                self._look()
                self._starting |= self._machines.keys()
                while not (hosts := [each.host for each in self._machines.values() if each.host]):
                    self.event()
                self._first = hosts[0]
                self.identity = Identity(machine=self._fleet.name, versions=self._first.identity.versions)
                yield self
            finally:
                members.release()
                self._end()

    def runnable(self, configs: Sequence[CandidateConfig], jobs: Sequence[Job], **values: Any) -> Runnable:
        """What the first machine can run. Raises InputError as it does."""
        self._ask = lambda host: host.runnable(configs, jobs, **values)
        self._found = self._ask(self._first)
        return self._found

    def bench(
        self, jobs: Sequence[Job], *, plan: Plan, run: str, store: Store, on_progress: Callable[[Progress], None]
    ) -> "EqualMachines":
        """Lets every machine measure the reference candidate."""
        self._measuring = _Measuring(jobs, plan, run, store, on_progress)
        rows = store.rows(run=run)
        used = {row.machine for row in rows if row.name != CALIBRATION}
        if earlier := [row for row in rows if row.name == CALIBRATION and row.machine in used]:
            self._reference = "the first machine of this search", earlier[0]
            self._joined |= {row.machine for row in earlier if not _unequal(earlier[0], row)}
        self._since = time.monotonic()
        for machine in self._machines.values():
            if machine.host:
                machine.work.put(partial(self._prepare, self._measuring))
        return self

    def is_free(self) -> bool:
        is_waiting = self._starting and time.monotonic() - self._since < self._wait
        return not is_waiting and self._free is not None

    @property
    def _free(self) -> "_Member | None":
        return next((each for each in self._machines.values() if each.bench and not each.task), None)

    def begin(self, task: Task) -> None:
        machine = self._free
        assert machine and machine.bench
        machine.task, self._has_begun = task, True
        machine.work.put(partial(_answer, machine.bench, task))

    def event(self) -> Answer | Joined | None:
        """What the machines did. Raises InputError if those of the start are not equal, and if none is left."""
        self._look()
        with suppress(Empty):
            name, event = self._events.get(timeout=self._poll)
            if isinstance(event, str):
                self._notify(event)
            elif isinstance(event, Progress) and self._measuring:
                self._measuring.on_progress(replace(event, name=f"{event.name} on {name}"))
            elif isinstance(event, RemoteHost):
                self._machines[name].host = event
                if self._measuring:
                    self._machines[name].work.put(partial(self._prepare, self._measuring))
            elif isinstance(event, _Ready):
                return self._ready(name, event)
            elif isinstance(event, Answer):
                self._machines[name].task = None
                self._roster.measured(name)
                return event
            elif isinstance(event, _Left):
                return self._ended(name, event.error)
        return None

    def _look(self) -> None:
        """Starts a thread for every machine that is there. Raises InputError if there has been none for some time."""
        if time.monotonic() - self._looked < self._poll:
            return
        self._looked = time.monotonic()
        for name, place in self._members.places().items():
            if name not in self._machines and self._roster.allows(name):
                machine = self._machines[name] = _Member()
                machine.thread = Thread(target=self._serve, args=(name, place, machine), daemon=True)
                machine.thread.start()
        hopeless = bool(self._reasons) and self._reasons.keys() <= self._roster.given_up
        if not self._machines and (hopeless or time.monotonic() - self._since > self._wait):
            reasons = "; ".join(f"{name} ({reason})" for name, reason in self._reasons.items()) or "none is there"
            raise InputError(f"{self._fleet.name}: no machine measures: {reasons}; {GOES_ON}", LOST)

    def _serve(self, name: str, place: RemotePlace, machine: "_Member") -> None:
        """In a thread: everything that happens becomes an event."""
        end = _Left(None)
        try:
            with place.connect(self._request) as session:
                host = RemoteHost(name, session, self._request, ())
                self._events.put((name, host))
                while (work := machine.work.get()) is not None:
                    self._events.put((name, work(host)))
        except BaseException as error:  # is raised where the events are read
            end = _Left(error)
        self._events.put((name, end))

    def _prepare(self, about: "_Measuring", host: RemoteHost) -> "_Ready":
        """In the thread of a machine: measures the reference. Raises InputError if it cannot run what the first can."""
        if host is not self._first:
            _check_versions(host, self._first)
            if _keys(self._ask(host)) != _keys(self._found):
                message = f"{host.name}: it cannot run the same as {self._first.name}; install the same libraries there"
                raise InputError(f"{message}, or {_alone(host.name)}", "place-unfit")

        def on_progress(progress: Progress) -> None:
            self._events.put((host.name, progress))

        bench = host.bench(about.jobs, plan=about.plan, run=about.run, store=about.store, on_progress=on_progress)
        bench.start()
        return _Ready(bench, bench(calibration(), patience=about.plan.patience, processes=CALIBRATED_OVER))

    def _ready(self, name: str, ready: "_Ready") -> Joined | None:
        """Stores the row of the reference candidate, and lets the machine measure if it is equal to the others."""
        assert self._measuring
        self._measuring.store.append(ready.row)
        where, reference = self._reference or (name, ready.row)
        if why := _unequal(reference, ready.row):
            self._refuse(name, f"it is not equal to {where}: {why}")
            return None
        self._starting.discard(name)
        self._reference = where, reference
        self._machines[name].bench = ready.bench
        self._joined.add(ready.row.machine)
        return Joined(frozenset(self._joined))

    def _refuse(self, name: str, unequal: str) -> None:
        """A machine that is not equal ends a search that has not begun, and is left out of one that has."""
        if not self._has_begun:
            raise InputError(f"{name}: {unequal}; name equal ones with --on, or {_alone(name)}", "place-unfit")
        self._notify(f"{name}: {unequal}. It measures nothing in this search; {_alone(name)}.")
        self._reasons[name] = unequal
        self._roster.given_up.add(name)
        self._machines[name].work.put(None)

    def _ended(self, name: str, error: BaseException | None) -> Answer | None:
        """A machine has ended: what it measured is to be measured by another one."""
        machine = self._machines.pop(name)
        self._starting.discard(name)
        self._since = time.monotonic() if self._has_begun else self._since
        if error is not None:
            reason = self._roster.failed(name, error).removesuffix(f"; {GOES_ON}")
            if self._reasons.get(name) != reason:
                self._notify(f"{name}: {reason}.")
            self._reasons[name] = reason
        return Answer(machine.task, None) if machine.task else None

    def _end(self) -> None:
        """Ends the threads; one that still measures ends with its connection."""
        for machine in self._machines.values():
            machine.work.put(None)
        for machine in self._machines.values():
            if machine.thread and not machine.task:
                machine.thread.join(JOIN_S)


def _answer(bench: Bench, task: Task, host: RemoteHost) -> Answer:
    return answer_of(bench, task)


def _keys(found: Runnable) -> set[str]:
    return {job_key(job.name, job.recipe) for job in found.jobs}


def _alone(name: str) -> str:
    return f"search on it alone, --on {name}"


def _check_versions(host: RemoteHost, first: RemoteHost) -> None:
    """Raises InputError if the libraries of two machines differ."""
    here, there = first.identity.versions, host.identity.versions
    for library in sorted(here.keys() | there.keys()):
        if here.get(library) != there.get(library):
            message = f"{host.name}: its {library} is {there.get(library)}, that of {first.name} {here.get(library)}"
            raise InputError(f"{message}; install the same versions, or {_alone(host.name)}", "place-unfit")


def _unequal(reference: Measurement, row: Measurement) -> str:
    """Why two rows of the reference candidate are not of equal machines; empty if they may be."""
    for fact in KIND:
        known, other = (each.machine_facts.get(fact) for each in (reference, row))
        if known != other:
            return f"{fact} is {other} there, not {known}"
    try:
        found = reproduced(reference, row)
    except InputError as error:
        return words(error)
    if found.inside:
        return ""
    return f"the reference candidate takes {found.ratio:.2f} times as long ({found.low:.2f} to {found.high:.2f})"
