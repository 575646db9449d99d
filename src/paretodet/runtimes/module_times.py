"""Times of the modules of a network in torch: what passes inside each, without the modules that it calls."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter_ns
from typing import Any, Protocol

from torch import nn

from paretodet.layers.calls import watched_calls
from paretodet.records.profile import LayerTime

BETWEEN = "between layers"  # the operator of what a stage does outside of all modules
Stage = tuple[str, Callable[[Any], Any]]


class TimedProgram(Protocol):
    """A program that times its layers."""

    def __call__(self, values: Any) -> Any: ...

    def layer_times(self) -> Sequence[LayerTime]:
        """Of the last call, by the names in its file."""
        ...


def module_times(
    module: nn.Module,
    stages: Sequence[Stage],
    batch: Any,
    calls: int,
    *,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], int] = perf_counter_ns,
) -> tuple[LayerTime, ...]:
    """The median over `calls` runs of the stages, after one that does not count; all calls of a module are summed.

    A stage has an entry of its own, "(name)", for what it does outside of modules. `wait` waits for the device, and
    `clock` gives ns.
    """
    operators = {name: type(part).__name__ for name, part in module.named_modules()}
    records = []
    for _ in range(calls + 1):
        frames = _Frames(wait, clock)
        with watched_calls(module, frames.enter, frames.leave):
            _run(stages, batch, frames)
        records.append(frames.spent)
    return tuple(
        LayerTime(name, operators.get(name, BETWEEN), median(record[name] for record in records[1:]) / 1e6)
        for name in records[0]
    )


def _run(stages: Sequence[Stage], batch: Any, frames: "_Frames") -> None:
    for name, stage in stages:
        frames.enter(f"({name})")
        batch = stage(batch)
        frames.leave()


class _Frames:
    """Nested spans of time; `spent` is the time inside those of one name but outside the ones nested in them, ns."""

    def __init__(self, wait: Callable[[], None], clock: Callable[[], int]) -> None:
        self.wait, self.clock = wait, clock
        self.spent: Counter[str] = Counter()
        self.names: list[str] = []
        self.since = 0

    def enter(self, name: str) -> None:
        self._pass()
        self.names.append(name)

    def leave(self) -> None:
        self._pass()
        self.names.pop()

    def _pass(self) -> None:
        """Gives the time since the last change to the innermost span."""
        self.wait()
        now = self.clock()
        if self.names:
            self.spent[self.names[-1]] += now - self.since
        self.since = self.clock()


class PartTimes:
    """The times of calls of a detector whose layers run in programs."""

    def __init__(self) -> None:
        self.spent: defaultdict[tuple[str, str], float] = defaultdict(float)  # in this call, by name and operator, ms
        self.inside = 0  # programs, in all calls, ns

    def recorded(self, program: TimedProgram) -> Callable[[Any], Any]:
        """The program; when it is called, the times of its layers are added."""

        def run(values: Any) -> Any:
            start = perf_counter_ns()
            outputs = program(values)
            for layer in program.layer_times():
                self.spent[layer.name, layer.operator] += layer.ms
            self.inside += perf_counter_ns() - start
            return outputs

        return run

    def run(self, stages: Sequence[Stage], batch: Any) -> Mapping[tuple[str, str], float]:
        """Runs the stages of one call. A stage has an entry, "(name)", for what it does outside of programs."""
        self.spent = defaultdict(float)
        for name, stage in stages:
            start, before = perf_counter_ns(), self.inside
            batch = stage(batch)
            outside = perf_counter_ns() - start - (self.inside - before)
            self.spent[f"({name})", BETWEEN] += outside / 1e6
        return self.spent


def median_times(records: Sequence[Mapping[tuple[str, str], float]]) -> tuple[LayerTime, ...]:
    """The median over calls of every entry, which all have."""
    return tuple(LayerTime(*key, median(record[key] for record in records)) for key in records[0])
