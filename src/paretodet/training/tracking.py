"""Trackers by name; each needs an extra."""

from collections.abc import Callable
from pathlib import Path

from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.training.log import Tracker


class MissingTracker(MissingExtra):
    """The library of a tracker is not installed; the message has the command that installs it."""


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
