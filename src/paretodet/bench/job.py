"""What to measure (`Job`), how (`Plan`), and how far it is (`Progress`)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from paretodet.bench.candidate import Candidate
from paretodet.records.measurement import Measurement

ROW_FIELDS = frozenset(f.name for f in fields(Measurement))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One candidate to measure under one setting.

    `make` runs in fresh processes, so it must be picklable: a function of an importable module, or a
    `functools.partial` of one. `torch.get_num_threads()` is already set when it is called; every runtime that has
    threads of its own should use that many and let none of them spin while waiting.
    """

    name: str
    make: Callable[[], Candidate]
    images: tuple[Path, ...] = ()  # empty: photographs are drawn from the plan's seed
    batch: int = 1
    threads: int | None = None  # None: every core this process may use, within its CPU quota
    imports: tuple[str, ...] = ()  # modules of the runtime, imported before the memory baseline is taken
    about: dict[str, Any] = field(default_factory=dict)  # fields of the row the candidate cannot know, such as `ap`
    recipe: dict[str, Any] = field(default_factory=dict)  # the row's `job`: what `reproduce` needs to open it again

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch of {self.name} is {self.batch}; it must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads of {self.name} is {self.threads}; it must be at least 1")
        if unknown := sorted(set(self.about) - ROW_FIELDS):
            raise ValueError(f"about of {self.name} has {unknown[0]!r}, which is no field of a measurement")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How every job of a run is measured. Seconds unless the name says otherwise."""

    processes: int = 3  # fresh processes a candidate
    slow_processes: int = 2  # when one call takes longer than `slow_call`
    slow_call: float = 0.6
    until_pct: float = 5.0  # more rounds where the interval matters and half of it is wider than this ...
    max_processes: int = 8  # ... up to so many processes
    budget: float | None = None  # no further round is begun for an interval after so long
    patience: float = 60.0  # what other work may cost the run in all: disturbed bursts, waiting for quiet
    sampled: float = 1.2  # sampled time a process, in bursts that nothing disturbed
    burst_calls: int = 5
    burst: float = 0.3
    long_burst: float = 1.0  # a burst of slow calls may end here with three
    warm_calls: int = 20  # warm-up: at least so many calls or so many seconds ...
    warm: float = 0.5
    warm_limit: float = 1.2  # ... and at most this
    timeout: float = 300.0  # for any one answer of a worker
    block: int = 6  # candidates alive at the same time
    group: int = 12  # candidates whose rounds are interleaved: a long run hands rows over group by group
    seed: int = 0

    def __post_init__(self) -> None:
        if self.processes < 2 or self.slow_processes < 2:
            raise ValueError("an interval needs at least 2 processes a candidate")
        if self.until_pct <= 0:
            raise ValueError(f"until_pct is {self.until_pct}; it must be above 0")
        if self.patience < 0:
            raise ValueError(f"patience is {self.patience} s; it must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is at hand; of a measurement it is sent between bursts, never during one."""

    name: str  # the job at hand
    phase: (
        str  # "self-test", "start", "load", "burst", "waiting: ...", "done", "error"; "accuracy", "detect", "pictures"
    )
    done: int  # processes finished
    total: int  # processes planned
    left: float | None  # seconds, estimated; None while nothing is known


class ProgressReporter:
    """Call it with how many of `total` images are done (0: nobody knows how many): it tells the `Progress`."""

    def __init__(self, name: str, phase: str, total: int, tell: Callable[[Progress], None]) -> None:
        self.name, self.phase, self.total, self.tell, self.began = name, phase, total, tell, time.monotonic()

    def __call__(self, done: int) -> None:
        known = done and self.total >= done
        left = (time.monotonic() - self.began) * (self.total - done) / done if known else None
        self.tell(Progress(name=self.name, phase=self.phase, done=done, total=self.total, left=left))
