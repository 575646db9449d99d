"""How a detector is trained, as data."""

from dataclasses import dataclass
from typing import get_args

from paretodet.errors import InputError
from paretodet.training.clipping import Clip, NoClip
from paretodet.training.ema import Ema
from paretodet.training.optimizers import OptimizerSpec
from paretodet.training.precision import Precision
from paretodet.training.schedules import Constant, Schedule
from paretodet.transforms.augment import Augmentation, Chain
from paretodet.transforms.resize_policy import ResizePolicy


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a training, except the detector and the data.

    An update uses `batch` images, those of all processes together, in `accumulate` parts of equal size whose losses are
    averaged. The mean over the parts equals the loss of the whole batch if norms are frozen and normalizers are means
    over images (Huang et al.'s two-stage detectors, Ren et al., darknet, torchvision's RetinaNet). A normalizer that
    counts over the batch (both SSDs, Detectron's) counts over each part, as with Caffe's `iter_size`, and so do the
    statistics of trainable norms.

    "fp16" and "bf16" are meant for accelerators: on a CPU the first is slow, and in torch's bfloat16 the weight
    gradients of maps of one cell are sometimes not finite.
    """

    optimizer: OptimizerSpec
    schedule: Schedule = Constant()
    steps: int  # updates
    batch: int  # images in an update
    accumulate: int = 1
    clip: Clip = NoClip()
    precision: Precision = "fp32"  # of the networks; boxes, targets and losses stay in float32
    ema: Ema | None = None
    augmentation: Augmentation = Chain()
    canvases: tuple[ResizePolicy, ...] = ()  # one is drawn for ten batches, sampled as the detector's; empty: its own
    early: int = 0  # number of first images for which losses use their `early()` form, if they have one
    norm_momentum: float | None = None  # of batch norm's running statistics, torch's; None: the detector's own
    frozen: tuple[str, ...] = ()  # prefixes of the names of parameters that are not trained
    seed: int = 0  # of all random samples in the losses
    assumption: str | None = None  # what is assumed because the source does not say it

    def __post_init__(self) -> None:
        for field in ("steps", "batch", "accumulate"):
            if getattr(self, field) < 1:
                raise InputError(f"{field}: got {getattr(self, field)}, allowed 1 or more", "option-range")
        if self.norm_momentum is not None and not 0 < self.norm_momentum <= 1:
            raise InputError(f"norm_momentum: got {self.norm_momentum}, allowed above 0 to 1", "option-range")
        if self.early < 0:
            raise InputError(f"early: got {self.early}, allowed 0 or more", "option-range")
        if self.batch % self.accumulate:
            raise InputError(
                f"accumulate: got {self.accumulate}, allowed a divisor of the batch of {self.batch}", "batch-unfit"
            )
        if self.precision not in get_args(Precision):
            raise InputError(
                f"precision: got {self.precision!r}, allowed {', '.join(get_args(Precision))}", "option-value"
            )

    @property
    def part(self) -> int:
        """Images in a forward pass, those of all processes together."""
        return self.batch // self.accumulate
