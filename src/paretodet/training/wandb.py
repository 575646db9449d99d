"""Weights & Biases, through the extra `wandb`; WANDB_MODE=offline keeps all here. The only place that knows it."""

from pathlib import Path
from typing import Any

import numpy as np
import wandb

from paretodet.training.log import Numbers, run_key

AXIS = "update"  # wandb's own steps only rise: what came after the checkpoint would be dropped when told again


class WandB:
    """A tracker: one run, called as the folder is, and the same one when a training goes on; one that begins anew in
    the folder takes its place. What was told of updates after the checkpoint stays and is told again, the same.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._run: Any = None

    def begin(self, step: int) -> None:
        folder, resume = self._folder.resolve(), "allow" if step else None
        self._run = wandb.init(dir=str(folder), name=folder.name, id=run_key(folder), resume=resume)
        self._run.define_metric(AXIS)
        self._run.define_metric("*", step_metric=AXIS)

    def numbers(self, step: int, values: Numbers) -> None:
        self._run.log({AXIS: step, **values})

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._run.log({AXIS: step, name: wandb.Image(pixels)})

    def close(self) -> None:
        if self._run:
            self._run.finish()
