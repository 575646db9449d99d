"""A progress bar on standard error. It is drawn between bursts only, so that it does not disturb a measurement."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Rich

from paretodet.cli.output import NOTES, note, printable

if TYPE_CHECKING:
    from paretodet.bench.job import Progress
    from paretodet.records.measurement import Measurement

STEPS = 500  # maximum number of updates of a counting bar


class ProgressBar:
    """A context that shows the `Progress` it is called with."""

    def __init__(self, *, shown: bool = True) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._rich = Rich(
            *columns, console=NOTES, auto_refresh=False, transient=True, disable=not (shown and NOTES.is_terminal)
        )
        self._task = self._rich.add_task("starting", total=None, left="")

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def __call__(self, progress: "Progress") -> None:
        left = "" if progress.left is None else f"about {spoken(progress.left)} left"
        self.draw(f"{progress.phase:9} {progress.name}", progress.done, progress.total, left)

    def draw(self, description: str, done: int, total: int, left: str) -> None:
        text = printable(description)
        self._rich.update(self._task, description=text, completed=done, total=total or None, left=left)
        self._rich.refresh()

    def counting(self, phase: str, name: str) -> Callable[[int, int], None]:
        """A callback (done, total) that shows the time left, estimated from the time so far."""
        from paretodet.bench.job import Progress

        began = time.monotonic()

        def update(done: int, total: int) -> None:
            if done % max(1, total // STEPS) and done < total:
                return
            left = (time.monotonic() - began) * (total - done) / done if done else None
            self(Progress(name=name, phase=phase, done=done, total=total, left=left))

        return update

    def finished(self, row: "Measurement", *, with_runtime: bool = False) -> None:
        """Prints a finished row above the bar, also in which runtime and precision it ran, and the machine's label."""
        latency = f"{row.latency_ms_p50:.1f} ms" if row.latency_ms_p50 is not None else row.error or ""
        name = f"{row.name} · {row.runtime} {row.precision}" if with_runtime else row.name
        name += f" · {row.machine_facts['label']}" if row.machine_facts.get("label") else ""
        note(f"{row.id[:8]}  {name}  {latency}  {row.validity}")


def spoken(seconds: float) -> str:
    """ "12 min" """
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
