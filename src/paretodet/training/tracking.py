"""Trackers by name; each needs an extra."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from paretodet.errors import InputError, first_line
from paretodet.extras import MissingExtra
from paretodet.training.log import EarlyEnd, Scalars, Tracker

INTERRUPTIONS = (KeyboardInterrupt, SystemExit)


class MissingTracker(MissingExtra):
    """The library of a tracker is not installed; the message has the command that installs it."""


class GuardedTracker:
    """A tracker whose errors do not end a training: it is refused if it cannot start, and left out, with one sentence
    to `notify`, if it fails later.
    """

    def __init__(self, name: str, tracker: Tracker, notify: Callable[[str], None]):
        self._name, self._tracker, self._notify = name, tracker, notify
        self._has_failed = False

    def begin(self, step: int) -> None:
        """Raises InputError."""
        try:
            self._tracker.begin(step)
        except Exception as error:  # whatever the library raises for its server, a missing account or a full disk
            self._has_failed = True
            way = f"start its server, log in to it, or leave out --track {self._name}"
            raise InputError(
                f"track: {self._name} cannot start ({first_line(error)}): {way}", "tracker-failed"
            ) from error

    def scalars(self, step: int, values: Scalars) -> None:
        self._try(lambda: self._tracker.scalars(step, values))

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._try(lambda: self._tracker.image(step, name, pixels))

    def stop(self, how: EarlyEnd) -> None:
        self._try(lambda: self._tracker.stop(how))

    def close(self) -> None:
        self._try(self._tracker.close)

    def _try(self, record: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            record()
        except Exception as error:
            self._has_failed = True
            self._notify(f"Tracker {self._name} failed and is left out from now on: {first_line(error)}.")


@contextmanager
def closing(trackers: Sequence[Tracker], notify: Callable[[str], None]) -> Iterator[None]:
    """A context at whose end the trackers are closed, and told before if it raised.

    An error of theirs is reported and not raised: it must not hide the one that ended the training.
    """
    try:
        yield
    except BaseException as error:
        for tracker in trackers:
            tracker.stop("interrupted" if isinstance(error, INTERRUPTIONS) else "failed")
        raise
    finally:
        for tracker in trackers:
            _close(tracker, notify)


def _close(tracker: Tracker, notify: Callable[[str], None]) -> None:
    try:
        tracker.close()
    except Exception as error:
        notify(f"{type(tracker).__name__} was not closed, its last metrics may be missing: {error}.")


def open_tracker(name: str, folder: Path) -> Tracker:
    """Create one of TRACKERS. Raises ValueError for another name, MissingTracker if its library is not installed."""
    if name not in TRACKERS:
        raise InputError(f"track: got {name!r:.40}, allowed {', '.join(TRACKERS)}", "option-value")
    try:
        return TRACKERS[name](folder)
    except ModuleNotFoundError as error:
        raise MissingTracker(
            f"track: {name} needs the library {error.name}; run pip install 'paretodet[{name}]'"
        ) from error


def _mlflow(folder: Path) -> Tracker:
    from paretodet.training.mlflow import MLflow

    return MLflow(folder)


def _wandb(folder: Path) -> Tracker:
    from paretodet.training.wandb import WandB

    return WandB(folder)


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"mlflow": _mlflow, "wandb": _wandb}
