"""Any network of the timm library as a backbone. Needs the extra `timm`; nothing is ever fetched."""

import difflib
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.types import FeatureInfo

try:
    import timm
except ImportError as error:
    raise ImportError("backbones of timm need timm: pip install 'paretodet[timm]'") from error

Option = bool | int | float | str | None
OURS = {"pretrained", "pretrained_cfg", "checkpoint_path", "features_only", "out_indices", "output_stride"}


@dataclass(frozen=True, kw_only=True)
class Timm:
    """`model` is an architecture of `timm.list_models()`; its weights start untrained, as every backbone's here.

    `taps` are timm's `out_indices`: positions in its list of maps, from the front or, below 0, from the end.
    `output_stride` under 32 asks the network to dilate, which not every one can. `options` are further arguments of
    the model as pairs, such as ("img_size", 320) for a network of fixed canvas. There is no tail and no width.

    Raises ValueError at once for a model timm does not have, when building for what that model cannot take.
    """

    model: str
    taps: tuple[int, ...] = (-3, -2, -1)
    output_stride: int = 32
    options: tuple[tuple[str, Option | tuple[Option, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not timm.is_model(self.model):
            near = difflib.get_close_matches(self.model, timm.list_models(), n=3, cutoff=0.3)
            raise ValueError(f"model: got {self.model!r}, allowed timm's architectures, such as {', '.join(near)}")
        one_sided = self.taps and (self.taps[0] >= 0 or self.taps[-1] < 0)
        if not one_sided or list(self.taps) != sorted(set(self.taps)):
            raise ValueError(f"taps: got {self.taps}, allowed rising numbers, all from 0 on or all below 0")
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride: got {self.output_stride}, allowed 8, 16, 32")
        for name, _ in self.options:
            if name in OURS:
                raise ValueError(f"options: got {name!r}, allowed what model, taps and output_stride do not say")

    def build(self) -> "TimmNet":
        return TimmNet(self)


class TimmNet(NoTail, nn.Module):
    def __init__(self, spec: Timm):
        super().__init__()
        self.net = _create(spec)
        found = self.net.feature_info
        self.info = FeatureInfo(tuple(found.channels()), tuple(found.reduction()))
        # Networks that tell no layout give [B, C, H, W].
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
        asked = f"model {spec.model!r} with taps {spec.taps} and {options or 'no options'}"
        raise ValueError(f"backbone: got {asked}, which timm cannot build: {error}") from error
