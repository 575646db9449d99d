"""TensorBoard's event files, which `tensorboard --logdir FOLDER` shows. The only place that knows tensorboardX."""

from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

from paretodet.training.log import Numbers


class TensorBoard:
    """A tracker that writes into `folder`; what was told of later updates is purged when a training goes on."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def numbers(self, step: int, values: Numbers) -> None:
        assert self._writer, "begin comes first"
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        assert self._writer, "begin comes first"
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        if self._writer:
            self._writer.close()
