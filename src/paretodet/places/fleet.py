"""Measures one request at every machine of a cluster: late ones when they join, lost ones when they return."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

from paretodet.bench.job import Progress
from paretodet.errors import ErrorId, InputError, WithId, words
from paretodet.places.collect import Together, asked_jobs, measure_at, measure_there, unfinished_places
from paretodet.places.place import Fleet, Members, RemotePlace, Request
from paretodet.records.measurement import Measurement
from paretodet.records.sql_rows import StoreError
from paretodet.records.store import Store

POLL_S = 2.0  # between two looks at who is there
RETRY_S = 15.0  # until a machine is tried again that is there and did not measure
WAIT_S = 120.0  # for lost machines, when nothing else is measured
JOIN_S = 10.0  # for a thread, after its machine was released
TRIES = 3  # of a machine, without a row between them
BUSY: ErrorId = "run-busy"
LOST: ErrorId = "place-unreachable"


def measure_elsewhere(
    place: RemotePlace | Fleet,
    request: Request,
    *,
    store: Store,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Measurement]:
    """The rows of a request at a place (`collect.measure_at`), or at all machines of a fleet."""
    measure = measure_on_all if isinstance(place, Fleet) else measure_at
    return measure(place, request, store=store, on_progress=on_progress, notify=notify)  # type: ignore[arg-type]


def measure_on_all(
    fleet: Fleet,
    request: Request,
    *,
    store: Store,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
    wait: float = WAIT_S,
    poll: float = POLL_S,
) -> Iterator[Measurement]:
    """The rows of a request from every machine of `fleet`, as they arrive: those of an interrupted run first.

    Every machine also measures the reference candidate, and one job has one artifact on all of them. A machine that is
    lost goes on when it is there again; after `wait` seconds in which nothing else was measured, InputError names what
    is missing, and the same request continues there. Rows are committed and checked as by `measure_at`.
    """
    request = replace(request, calibrate=True)
    asked_jobs(request)  # refuses names before the cluster is asked
    crew = Crew(request=request, store=store, wait=wait, poll=poll, roster=Roster(retry=min(RETRY_S, wait / 4)))
    begun = {name for name in unfinished_places(store, request) if fleet.owns(name)}
    with fleet.connect(crew.tell) as members:
        yield from crew.rows(members, begun, on_progress, notify)
    if missing := crew.missing:
        sentence = "; ".join(f"{name} ({reason})" for name, reason in missing.items())
        raise InputError(
            f"{fleet.name}: rows are missing of {sentence}; those that arrived are stored, and the same command "
            "measures the others",
            LOST,
        )
    crew.together.close(store)


@dataclass(kw_only=True)
class Roster:
    """Which machines may be started: none that is given up, and none that failed less than `retry` seconds ago."""

    retry: float
    given_up: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def allows(self, name: str) -> bool:
        return name not in self.given_up and time.monotonic() >= self._not_before.get(name, 0.0)

    def measured(self, name: str) -> None:
        """A row has arrived, so that all tries are left."""
        self._tries[name] = 0

    def failed(self, name: str, error: BaseException) -> str:
        """Why a machine measures no more. Raises an error that is not only that machine's."""
        if not isinstance(error, WithId) or isinstance(error, StoreError):
            raise error
        self._tries[name] = self._tries.get(name, 0) + (error.id != BUSY)
        self._not_before[name] = time.monotonic() + self.retry
        if error.id not in (BUSY, LOST) or self._tries[name] >= TRIES:
            self.given_up.add(name)
        return words(error).removeprefix(f"{name}: ")


class _End(NamedTuple):
    """A machine measures no more."""

    error: BaseException | None


Event = Measurement | Progress | str | _End  # a string is a sentence for the user


@dataclass(kw_only=True)
class Crew:
    """A thread for every machine that measures, and what came of the others. `missing`: name -> why it has no row."""

    request: Request
    store: Store
    wait: float
    poll: float
    roster: Roster
    together: Together = field(default_factory=Together)
    missing: dict[str, str] = field(default_factory=dict)
    _threads: dict[str, Thread] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)  # ids of rows
    _events: "Queue[tuple[str, Event]]" = field(default_factory=Queue)
    _active: float = field(default_factory=time.monotonic)  # when something was measured
    _told: bool = False  # that the run waits

    def rows(
        self,
        members: Members,
        begun: set[str],
        on_progress: Callable[[Progress], None],
        notify: Callable[[str], None],
    ) -> Iterator[Measurement]:
        """The rows of all machines, each once. `begun` are machines that are missing until they have measured."""
        self.missing |= dict.fromkeys(sorted(begun), "not there")
        try:
            while self._goes_on(members.places()):
                for name, event in self._arrived():
                    if isinstance(event, Measurement):
                        if event.id not in self._seen:
                            self._seen.add(event.id)
                            self.roster.measured(name)
                            yield event
                    elif isinstance(event, Progress):
                        on_progress(replace(event, name=f"{event.name} on {name}"))
                    elif isinstance(event, str):
                        notify(event)
                    else:
                        self._ended(name, event.error)
        finally:
            members.release()
            for thread in self._threads.values():
                thread.join(JOIN_S)

    def tell(self, sentence: str) -> None:
        """Passes a sentence on, from any thread."""
        self._events.put(("", sentence))

    def _goes_on(self, places: Mapping[str, RemotePlace]) -> bool:
        """Starts the machines that are there. False if all have measured, or those that have not do not come."""
        self._start(places)
        if self._threads:
            self._active, self._told = time.monotonic(), False
            return True
        expected = [name for name in self.missing if name not in self.roster.given_up]
        if expected and not self._told:
            self._told = True
            self.tell(f"Waiting up to {self.wait:.0f} s for {', '.join(expected)}.")
        return not self._events.empty() or (bool(expected) and time.monotonic() - self._active < self.wait)

    def _start(self, places: Mapping[str, RemotePlace]) -> None:
        """Starts a thread for every machine that is there and has not measured."""
        for name, place in places.items():
            over = name in self.together.complete or name in self._threads
            if not over and self.roster.allows(name):
                self.missing.setdefault(name, "it is being measured")
                self._threads[name] = Thread(target=self._measure, args=(name, place), daemon=True)
                self._threads[name].start()

    def _measure(self, name: str, place: RemotePlace) -> None:
        """In a thread: everything that happens becomes an event."""
        end = _End(None)
        try:
            rows = measure_there(
                place,
                self.request,
                self.together,
                store=self.store,
                on_progress=lambda progress: self._events.put((name, progress)),
                notify=self.tell,
            )
            for row in rows:
                self._events.put((name, row))
        except BaseException as error:  # is raised where the rows are read
            end = _End(error)
        self._events.put((name, end))

    def _arrived(self) -> Iterator[tuple[str, "Event"]]:
        """What has arrived; waits for the first event, but not longer than until the next look at the cluster."""
        with suppress(Empty):
            yield self._events.get(timeout=self.poll)
            while True:
                yield self._events.get_nowait()

    def _ended(self, name: str, error: BaseException | None) -> None:
        """A thread has ended. What only this machine cannot do leaves the others measuring; another error is raised."""
        del self._threads[name]
        if name in self.together.complete:
            del self.missing[name]
            return
        if error is None:
            error = InputError("answers of it are refused", "place-answer")
        reason = self.roster.failed(name, error)
        if self.missing.get(name) != reason:
            self.tell(f"{name}: {reason}.")
        self.missing[name] = reason
