"""MLflow, through the extra of that name; where to, its own MLFLOW_TRACKING_URI says. The only place that knows it."""

import hashlib
import os
import re
from pathlib import Path

import mlflow
import numpy as np

from paretodet.training.log import Numbers, run_key

LONGEST = 150  # characters of a picture's key: MLflow makes it a file's name with about 90 more


class MLflow:
    """A tracker: one run, called as the folder is and found again by its tag when a training goes on. MLflow takes
    nothing back: what was told of updates after the checkpoint stays and is told again, the same.
    """

    def __init__(self, folder: Path):
        self._name, self._key = folder.resolve().name, run_key(folder)

    def begin(self, step: int) -> None:
        known = mlflow.search_runs(filter_string=f"tags.key = '{self._key}'", output_format="list") if step else []
        mlflow.start_run(run_id=known[0].info.run_id if known else None, run_name=self._name)
        mlflow.set_tag("key", self._key)

    def numbers(self, step: int, values: Numbers) -> None:
        mlflow.log_metrics(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        mlflow.log_image(pixels, key=_key(name), step=step)

    def close(self) -> None:
        mlflow.end_run()


def _key(name: str) -> str:
    """Of the characters that MLflow allows; where others or too many were there, a hash keeps it a key of its own."""
    joined = name.replace("/", "-")
    key = re.sub(r"[^a-zA-Z0-9_\-. ]", "-", joined)
    if key == joined and len(key) <= LONGEST:
        return key
    ending = "-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return key[: LONGEST - len(ending)] + ending
