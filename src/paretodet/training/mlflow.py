"""MLflow as a tracker; needs the extra `mlflow`, which only this file imports. MLFLOW_TRACKING_URI sets its server."""

import hashlib
import os
import re
from pathlib import Path

import mlflow
import numpy as np

from paretodet.training.log import EarlyEnd, Scalars, run_key

MAX_KEY = 150  # characters of an image's key: MLflow uses it in a file name that has about 90 more
STATUS: dict[EarlyEnd, str] = {"failed": "FAILED", "interrupted": "KILLED"}


class MLflow:
    """A tracker with one run, named as the folder and found by its tag on a resume.

    MLflow cannot delete metrics: those of updates after the checkpoint are recorded again, with the same values.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._is_active = False  # another run may be, which is none of ours
        self._status = "FINISHED"

    def begin(self, step: int) -> None:
        key = run_key(self._folder)
        runs = mlflow.search_runs(filter_string=f"tags.key = '{key}'", output_format="list") if step else []
        mlflow.start_run(run_id=runs[0].info.run_id if runs else None, run_name=self._folder.resolve().name)
        self._is_active = True
        mlflow.set_tag("key", key)

    def scalars(self, step: int, values: Scalars) -> None:
        mlflow.log_metrics(dict(values), step=step)

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        mlflow.log_image(pixels, key=_key(name), step=step)

    def stop(self, how: EarlyEnd) -> None:
        self._status = STATUS[how]

    def close(self) -> None:
        if self._is_active:
            mlflow.end_run(self._status)


def _key(name: str) -> str:
    """The name in the characters that MLflow allows; if it was changed or cut, a hash keeps it unique."""
    flat = name.replace("/", "-")
    key = re.sub(r"[^a-zA-Z0-9_\-. ]", "-", flat)
    if key == flat and len(key) <= MAX_KEY:
        return key
    suffix = "-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return key[: MAX_KEY - len(suffix)] + suffix
