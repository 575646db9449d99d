"""Fold batch norms into the convolutions before them, as a runtime may do before running a network."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from paretodet.layers.frozen import FrozenNorm2d

_NORMS = (nn.BatchNorm2d, FrozenNorm2d)


def fold_norms(module: nn.Module) -> nn.Module:
    """A copy whose norms that follow a convolution in an `nn.Sequential` are folded into it.

    Equal to the original in evaluation mode; other norms are kept. A folded network cannot be trained.
    """
    folded = copy.deepcopy(module).eval()
    for part in [m for m in folded.modules() if isinstance(m, nn.Sequential)]:
        names = list(part._modules)
        for before, after in zip(names, names[1:], strict=False):
            conv, norm = part._modules[before], part._modules[after]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, _NORMS):
                _fold(conv, norm)
                part._modules[after] = nn.Identity()
    return folded


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenNorm2d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
