"""3x3 convolutions by Winograd's algorithm F(4x4, 3x3): Lavin and Gray 2016, "Fast algorithms for convolutional neural
networks".

Outputs are computed in tiles of 4x4 from 6x6 inputs, with 36 products of a channel where the definition has 144. The
transforms are matrix products, by Kronecker products of the one-dimensional ones.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from paretodet.layers.padding import SameConv2d

TILE, WINDOW = 4, 6  # sides of a tile of outputs and of the inputs that it reads, px
CHUNK = 128  # tiles at once: what they take stays in the cache
GAIN = 3.0  # times fewer multiplications than by definition; with less, time is not saved (benchmarks/winograd.py)
INPUT = (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
)  # fmt: skip
KERNEL = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))  # over 24
OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def with_winograd(module: nn.Module) -> nn.Module:
    """A copy whose convolutions of 3x3 at stride 1 run by Winograd's algorithm where that saves time.

    They share memory, so that one thread at a time can call it.
    """
    copied, memory = copy.deepcopy(module), Memory()
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and _fits(child):
                setattr(parent, name, WinogradConv2d(child, memory))
    return copied


class Memory:
    """Numbers that are kept between calls, because new memory takes time: its pages have to be mapped."""

    def __init__(self) -> None:
        self.numbers = torch.empty(0)

    def parts(self, *counts: int) -> list[Tensor]:
        """Parts with so many numbers, of any values."""
        if sum(counts) > len(self.numbers):
            self.numbers = torch.empty(sum(counts))
        return list(torch.split(self.numbers[: sum(counts)], list(counts)))


class WinogradConv2d(nn.Module):
    """A convolution of 3x3 at stride 1 without groups and dilation, from float32 to float32.

    Differs from the definition by rounding, about 1e-5 of the largest output. Small maps are convolved by definition.
    """

    kernels: Tensor
    input: Tensor
    output: Tensor

    def __init__(self, conv: nn.Conv2d, memory: Memory | None = None) -> None:
        super().__init__()
        self.conv, self.memory = conv, memory or Memory()
        self.pad = (1, 1) if isinstance(conv, SameConv2d) else cast(tuple[int, int], conv.padding)
        self.register_buffer("kernels", _kernels(conv.weight.detach()), persistent=False)
        for name, transform in (("input", INPUT), ("output", OUTPUT)):
            self.register_buffer(name, _squared(transform).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, K, H', W'], channels-last"""
        height, width = (side + 2 * pad - 2 for side, pad in zip(x.shape[2:], self.pad, strict=True))
        if _gain(self.conv, height, width) < GAIN:
            return cast(Tensor, self.conv(x))
        rows, columns = -(-height // TILE), -(-width // TILE)
        out = x.new_empty(len(x), rows, TILE, columns, TILE, self.conv.out_channels)
        for image, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
            self._image(image, result)
        return out.view(len(x), rows * TILE, columns * TILE, -1)[:, :height, :width].permute(0, 3, 1, 2)

    def _image(self, image: Tensor, out: Tensor) -> None:
        """image [H, W, C] -> out [R, 4, T, 4, K], some rows of tiles at once."""
        (rows, _, columns), (channels, depth) = out.shape[:3], self.kernels.shape[1:]
        step = min(max(CHUNK // columns, 1), rows)
        shape = TILE * step + 2, TILE * columns + 2, channels
        most = WINDOW**2 * step * columns * max(channels, depth)
        read, first, second = self.memory.parts(torch.Size(shape).numel(), most, most)
        strip = read.view(shape).zero_()
        for start in range(0, rows, step):
            count = min(step, rows - start)
            tiles = count * columns
            self._read(image, TILE * start - self.pad[0], strip)
            windows = _part(first, WINDOW, WINDOW, count, columns, channels).copy_(_windows(strip, count, columns))
            moved = torch.mm(self.input, windows.view(WINDOW**2, -1), out=_part(second, WINDOW**2, tiles * channels))
            products = torch.bmm(
                moved.view(WINDOW**2, tiles, channels), self.kernels, out=_part(first, WINDOW**2, tiles, depth)
            )
            back = torch.mm(self.output, products.view(WINDOW**2, -1), out=_part(second, TILE**2, tiles * depth))
            self._write(back.view(TILE, TILE, count, columns, depth), out[start : start + count])

    def _read(self, image: Tensor, above: int, strip: Tensor) -> None:
        """Rows of the image from `above` on, zeros outside of it; the strip's margins at the left and right are 0."""
        rows = image[max(above, 0) : above + len(strip)]
        skipped, left = max(-above, 0), self.pad[1]
        strip[skipped : skipped + len(rows), left : left + image.shape[1]] = rows
        strip[skipped + len(rows) :].zero_()

    def _write(self, tiles: Tensor, out: Tensor) -> None:
        """[4, 4, R, T, K] -> [R, 4, T, 4, K]"""
        placed = tiles.permute(2, 0, 3, 1, 4)
        out.copy_(placed) if self.conv.bias is None else torch.add(placed, self.conv.bias, out=out)


def _part(memory: Tensor, *shape: int) -> Tensor:
    """The first numbers of a memory in this shape."""
    return memory[: torch.Size(shape).numel()].view(shape)


def _windows(strip: Tensor, count: int, columns: int) -> Tensor:
    """The inputs of all tiles, without a copy: [6, 6, count, columns, C]; they overlap by two pixels."""
    down, right, _ = strip.stride()
    strides = (down, right, TILE * down, TILE * right, 1)
    return strip.as_strided((WINDOW, WINDOW, count, columns, strip.shape[2]), strides, strip.storage_offset())


def _kernels(weight: Tensor) -> Tensor:
    """[K, C, 3, 3] -> [36, C, K], computed in float64."""
    depth, channels = weight.shape[:2]
    flat = weight.double().permute(2, 3, 1, 0).reshape(9, channels * depth)
    return (_squared(KERNEL) / 24**2 @ flat).view(WINDOW**2, channels, depth).float()


def _squared(transform: tuple[tuple[int, ...], ...]) -> Tensor:
    """The transform of a square, from that of a line."""
    line = torch.tensor(transform, dtype=torch.float64)
    return torch.kron(line, line)


def _fits(conv: nn.Conv2d) -> bool:
    """Whether it can gain on a large map."""
    shape = (conv.kernel_size, conv.stride, conv.dilation, conv.groups)
    plain = not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
    return plain and shape == ((3, 3), (1, 1), (1, 1), 1) and _gain(conv, TILE, TILE) >= GAIN


def _gain(conv: nn.Conv2d, height: int, width: int) -> float:
    """How many times fewer multiplications than by definition, for outputs of this size."""
    channels, depth = conv.in_channels, conv.out_channels
    tiles = -(-height // TILE) * -(-width // TILE)
    products = channels * depth + WINDOW**2 * channels + TILE**2 * depth
    return 9 * channels * depth * height * width / (WINDOW**2 * tiles * products)
