"""Weights & Biases as a tracker; needs the extra `wandb`, which only this file imports. WANDB_MODE=offline keeps the
data on this machine.
"""

from pathlib import Path
from typing import Any

import numpy as np
import wandb

from paretodet.training.log import EarlyEnd, Scalars, run_key

AXIS = "update"  # wandb's own steps only increase, so it would drop what is recorded again after a resume
EXIT_CODES: dict[EarlyEnd, int] = {"failed": 1, "interrupted": 255}  # as of a script that wandb sees end


class WandB:
    """A tracker with one run, named as the folder; a resumed training continues it, and a new training in the same
    folder replaces it. Metrics of updates after the checkpoint are recorded again, with the same values.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._run: Any = None
        self._exit_code = 0

    def begin(self, step: int) -> None:
        folder, resume = self._folder.resolve(), "allow" if step else None
        self._run = wandb.init(dir=str(folder), name=folder.name, id=run_key(folder), resume=resume)
        self._run.define_metric(AXIS)
        self._run.define_metric("*", step_metric=AXIS)

    def scalars(self, step: int, values: Scalars) -> None:
        self._run.log({AXIS: step, **values})

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._run.log({AXIS: step, name: wandb.Image(pixels)})

    def stop(self, how: EarlyEnd) -> None:
        self._exit_code = EXIT_CODES[how]

    def close(self) -> None:
        if self._run:
            self._run.finish(exit_code=self._exit_code)
