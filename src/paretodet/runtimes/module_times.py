"""Times of the modules of a network in eager PyTorch: what passes inside each, without the modules that it calls."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter_ns
from typing import Any

from torch import nn

from paretodet.layers.calls import watched_calls
from paretodet.records.profile import LayerTime

BETWEEN = "between layers"  # the operator of what a stage does outside of all modules
Stage = tuple[str, Callable[[Any], Any]]


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
