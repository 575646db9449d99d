"""How a detector is trained, whole, as data."""

from dataclasses import dataclass
from typing import get_args

from paretodet.training.clipping import Clip, NoClip
from paretodet.training.ema import Average
from paretodet.training.optimizers import OptimizerSpec
from paretodet.training.precision import Precision
from paretodet.training.schedules import Constant, Schedule
from paretodet.transforms.augment import Augmentation, Chain
from paretodet.transforms.resize_policy import ResizePolicy


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a training does, but for the detector and the data.

    An update sees `batch` images, all processes' together, taken in `accumulate` parts of equal size whose losses are
    averaged. The parts' mean is the batch's loss where norms are frozen and normalizers are means over images (Huang et
    al.'s two-stage detectors, Ren et al., darknet, torchvision's RetinaNet); a count over the batch (both SSDs,
    Detectron's) is each part's own, as Caffe's `iter_size` has it, and so are the statistics of norms that learn.

    "fp16" and "bf16" are for accelerators: on a CPU the first is slow, and torch's bfloat16 weight gradients of maps of
    one cell are now and then not finite.
    """

    optimizer: OptimizerSpec
    schedule: Schedule = Constant()
    steps: int  # updates
    batch: int  # images an update
    accumulate: int = 1
    clip: Clip = NoClip()
    precision: Precision = "fp32"  # of the networks; boxes, targets and losses stay in float32
    average: Average | None = None
    augmentation: Augmentation = Chain()
    canvases: tuple[ResizePolicy, ...] = ()  # one drawn for every ten batches; none: the detector's own
    early: int = 0  # images, the first ones, that losses with an `early()` learn from by that
    frozen: tuple[str, ...] = ()  # beginnings of names of parameters that stay as they begin
    seed: int = 0  # of every random sample of the losses
    assumption: str | None = None  # where the source is silent, what was assumed

    def __post_init__(self) -> None:
        for field in ("steps", "batch", "accumulate"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: got {getattr(self, field)}, allowed 1 or more")
        if self.early < 0:
            raise ValueError(f"early: got {self.early}, allowed 0 or more")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate: got {self.accumulate}, allowed a divisor of the batch of {self.batch}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision: got {self.precision!r}, allowed {', '.join(get_args(Precision))}")

    @property
    def part(self) -> int:
        """Images a forward pass, all processes' together."""
        return self.batch // self.accumulate
