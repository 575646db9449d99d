"""Any network of the timm library as a backbone. Needs the extra `timm`; nothing is downloaded."""

import difflib
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.extras import MissingExtra
from paretodet.types import FeatureInfo

try:
    import timm
except ImportError as error:
    raise MissingExtra("backbones of timm need timm; run pip install 'paretodet[timm]'") from error

Option = bool | int | float | str | None
RESERVED = {"pretrained", "pretrained_cfg", "checkpoint_path", "features_only", "out_indices", "output_stride"}


@dataclass(frozen=True, kw_only=True)
class Timm:
    """`model` is an architecture of `timm.list_models()`; its weights are random, as those of all backbones here.

    `taps` are timm's `out_indices`: positions in its list of maps, from the front or, if negative, from the
    end. `output_stride` below 32 needs a network that supports dilation. `options` are more arguments of the model, as
    pairs such as ("img_size", 320) for a network with a fixed canvas. There is no tail and no width.

    Raises ValueError for a model that timm does not have, and in `build` for arguments that the model does not support.
    """

    model: str
    taps: tuple[int, ...] = (-3, -2, -1)
    output_stride: int = 32
    options: tuple[tuple[str, Option | tuple[Option, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not timm.is_model(self.model):
            similar = difflib.get_close_matches(self.model, timm.list_models(), n=3, cutoff=0.3)
            raise ValueError(f"model: got {self.model!r}, allowed timm's architectures, such as {', '.join(similar)}")
        one_sided = self.taps and (self.taps[0] >= 0 or self.taps[-1] < 0)
        if not one_sided or list(self.taps) != sorted(set(self.taps)):
            raise ValueError(f"taps: got {self.taps}, allowed increasing numbers, all negative or none")
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride: got {self.output_stride}, allowed 8, 16, 32")
        for name, _ in self.options:
            if name in RESERVED:
                raise ValueError(
                    f"options: got {name!r}, allowed other arguments than those that model, taps and output_stride set"
                )

    def build(self) -> "TimmNet":
        return TimmNet(self)


class TimmNet(NoTail, nn.Module):
    def __init__(self, spec: Timm):
        super().__init__()
        self.net = _create(spec)
        features = self.net.feature_info
        self.info = FeatureInfo(tuple(features.channels()), tuple(features.reduction()))
        # Networks without this attribute return [B, C, H, W].
        self.channels_last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped maps [B, C, H', W']."""
        maps = self.net(pixels)
        return tuple(x.permute(0, 3, 1, 2) if self.channels_last else x for x in maps)


def _create(spec: Timm) -> Any:
    dilated = {} if spec.output_stride == 32 else {"output_stride": spec.output_stride}
    options = dilated | dict(spec.options)
    try:
        return timm.create_model(spec.model, pretrained=False, features_only=True, out_indices=spec.taps, **options)
    except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError, IndexError) as error:
        arguments = f"model {spec.model!r} with taps {spec.taps} and {options or 'no options'}"
        raise ValueError(f"backbone: got {arguments}, which timm cannot build: {error}") from error
