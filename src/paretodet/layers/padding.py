"""TensorFlow's SAME padding: ceil(size / stride) outputs, an odd pixel of padding at the bottom or right.

The padding depends on the size of the input, which is read from the tensor's shape. Slim's other rule, "fixed"
padding (ResNet's strided convolutions), does not depend on the size and is symmetric for odd kernels: a plain
`nn.Conv2d` with `fixed_padding`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, int]


def pair(value: int | tuple[int, ...]) -> Pair:
    """3 -> (3, 3)"""
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def fixed_padding(kernel: int | Pair, dilation: int = 1) -> Pair:
    """Rows and columns on each side that keep the size at stride 1. Raises ValueError for an even kernel."""
    for side in pair(kernel):
        if side % 2 == 0:
            raise ValueError(f"kernel: got {side}, allowed odd numbers, for symmetric padding")
    height, width = pair(kernel)
    return dilation * (height // 2), dilation * (width // 2)


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Pixels before and after one axis of `size` pixels."""
    reach = (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1
    total = max(reach - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME. Takes `nn.Conv2d`'s arguments except `padding`."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', ceil(H / stride), ceil(W / stride)]"""
        (top, bottom), (left, right) = _sides(x, pair(self.kernel_size), pair(self.stride), pair(self.dilation))
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)


class SameMaxPool2d(nn.Module):
    """Max-pooling padded as TensorFlow's SAME. At stride 1 it is also darknet's: an even kernel pads bottom and
    right.
    """

    def __init__(self, kernel: int, stride: int):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]"""
        (top, bottom), (left, right) = _sides(x, pair(self.kernel), pair(self.stride))
        if self.stride == 1 and self.kernel % 2 == 0:
            x, top, left = F.pad(x, (left, right, top, bottom), value=-float("inf")), 0, 0
        return F.max_pool2d(x, self.kernel, self.stride, (top, left), ceil_mode=self.stride > 1)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}"


class SameAvgPool2d(nn.Module):
    """Average-pooling padded as TensorFlow's SAME: padding is not counted in the average.

    Raises ValueError for an even kernel at stride 1.
    """

    def __init__(self, kernel: int, stride: int):
        super().__init__()
        if stride == 1:
            fixed_padding(kernel)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]"""
        (top, _), (left, _) = _sides(x, pair(self.kernel), pair(self.stride))
        ceil = self.stride > 1
        return F.avg_pool2d(x, self.kernel, self.stride, (top, left), ceil_mode=ceil, count_include_pad=False)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}"


def _sides(x: Tensor, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> tuple[Pair, Pair]:
    rows = same_padding(x.shape[2], kernel[0], stride[0], dilation[0])
    return rows, same_padding(x.shape[3], kernel[1], stride[1], dilation[1])
