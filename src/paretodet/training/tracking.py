"""Further trackers by name, each behind an extra."""

from collections.abc import Callable
from pathlib import Path

from paretodet.training.log import Tracker


class MissingTracker(ImportError):
    """A tracker whose library is not installed; the message says how to install it."""


def open_tracker(name: str, folder: Path) -> Tracker:
    """One of TRACKERS. Raises ValueError for another name, MissingTracker where its library is not installed."""
    if name not in TRACKERS:
        raise ValueError(f"track: got {name!r:.40}, allowed {', '.join(TRACKERS)}")
    try:
        return TRACKERS[name](folder)
    except ModuleNotFoundError as error:
        raise MissingTracker(f"track: {name} needs {error.name}: pip install 'paretodet[{name}]'") from error


def _mlflow(folder: Path) -> Tracker:
    from paretodet.training.mlflow import MLflow

    return MLflow(folder)


def _wandb(folder: Path) -> Tracker:
    from paretodet.training.wandb import WandB

    return WandB(folder)


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"mlflow": _mlflow, "wandb": _wandb}
