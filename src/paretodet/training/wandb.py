"""Weights & Biases, through the extra `wandb`; WANDB_MODE=offline keeps all here. The only place that knows it."""

from pathlib import Path
from typing import Any

import numpy as np
import wandb

from paretodet.training.log import Numbers, run_key


class WandB:
    """A tracker: one run, called as the folder is, and the same one when a training goes on; one that begins anew in
    the folder takes its place.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._run: Any = None

    def begin(self, step: int) -> None:
        folder, resume = self._folder.resolve(), "allow" if step else None
        self._run = wandb.init(dir=str(folder), name=folder.name, id=run_key(folder), resume=resume)

    def numbers(self, step: int, values: Numbers) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._run.log({name: wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        if self._run:
            self._run.finish()
