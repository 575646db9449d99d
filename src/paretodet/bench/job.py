"""What to measure (`Job`), how to measure (`Plan`), and the state of a run (`Progress`)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from paretodet.bench.candidate import Candidate
from paretodet.errors import InputError
from paretodet.records.measurement import Measurement

ROW_FIELDS = frozenset(f.name for f in fields(Measurement))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One candidate to measure under one setting.

    `make` is called in fresh processes, so it must be picklable: a function of an importable module, or a
    `functools.partial` of one. `torch.get_num_threads()` is set before the call; a runtime with its own threads should
    use that many, and they should not spin while they wait.
    """

    name: str
    make: Callable[[], Candidate]
    images: tuple[Path, ...] = ()  # empty: synthetic images from the plan's seed
    batch: int = 1
    threads: int | None = None  # None: one per core that this process may use, within its CPU quota
    imports: tuple[str, ...] = ()  # modules of the runtime, imported before the memory baseline is taken
    about: dict[str, Any] = field(
        default_factory=dict
    )  # fields of the row that the candidate does not know, such as `ap`
    recipe: dict[str, Any] = field(
        default_factory=dict
    )  # the row's `job`: what `reproduce` needs to open the candidate again
    asked: dict[str, Any] = field(default_factory=dict)  # fields of the row until the candidate states them: `runtime`
    refused: str | None = None  # why it cannot run here: its row is this error, and no process is started

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"batch of {self.name} is {self.batch}; it must be at least 1", "option-range")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads of {self.name} is {self.threads}; it must be at least 1", "option-range")
        if unknown := sorted(set(self.about) - ROW_FIELDS):
            raise InputError(
                f"about of {self.name} has {unknown[0]!r}, which is not a field of a measurement", "field-unknown"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How every job of a run is measured. Times are in seconds."""

    processes: int = 3  # fresh processes per candidate
    slow_processes: int = 2  # if one call takes longer than `slow_call`
    slow_call: float = 0.6
    until_pct: float = 6.0  # more rounds while half of an interval that matters is wider (three that agree: 5.3) ...
    max_processes: int = 8  # ... up to this many processes
    budget: float | None = None  # after this time no further round starts to narrow an interval
    patience: float = 60.0  # total time the run may lose to other processes: disturbed bursts and waiting
    sampled: float = 1.2  # sampled time per process, in undisturbed bursts
    burst_calls: int = 5
    burst: float = 0.3
    long_burst: float = 1.0  # a burst of slow calls may end after this time with three calls
    warm_calls: int = 20  # warm-up: at least this many calls or this time ...
    warm: float = 0.5
    warm_limit: float = 1.2  # ... and at most this
    timeout: float = 300.0  # for one answer of a worker
    block: int = 6  # candidates that are loaded at the same time
    group: int = 12  # candidates whose rounds are interleaved; rows are finished group by group
    seed: int = 0

    def __post_init__(self) -> None:
        if self.processes < 2 or self.slow_processes < 2:
            raise InputError("processes: an interval needs at least 2 per candidate", "option-range")
        if not self.until_pct > 0:
            raise InputError(f"until: got {self.until_pct} %, it must be above 0", "option-range")
        if self.patience < 0:
            raise InputError(f"patience: got {self.patience} s, it must be at least 0", "option-range")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The state of a run. A measurement sends it between bursts, never during one."""

    name: str  # the current job
    phase: str  # "self-test", "start", "load", "burst", "waiting: ...", "done", "error", "accuracy" or "detect"; or
    # a report (`reports`) of what is made while it loads
    done: int  # processes finished
    total: int  # processes planned
    left: float | None  # estimated seconds; None while unknown


class ProgressReporter:
    """Call it with the number of finished images; it sends a `Progress`. `total` is 0 if unknown."""

    def __init__(self, name: str, phase: str, total: int, send: Callable[[Progress], None]) -> None:
        self.name, self.phase, self.total, self.send, self.start = name, phase, total, send, time.monotonic()

    def __call__(self, done: int) -> None:
        is_known = done and self.total >= done
        left = (time.monotonic() - self.start) * (self.total - done) / done if is_known else None
        self.send(Progress(name=self.name, phase=self.phase, done=done, total=self.total, left=left))

    def report(self, line: str) -> None:
        """Sends what is being done before the first image."""
        self.send(Progress(name=self.name, phase=line, done=0, total=0, left=None))
