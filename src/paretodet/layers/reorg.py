"""Darknet's passthrough: a quarter of the positions, four times the channels, in darknet's own order."""

from torch import Tensor, nn


class Reorg(nn.Module):
    """Darknet's reorg layer, which is not a space-to-depth.

    It reads the map's memory as if it had C / stride² channels of a larger map and gathers from that. Published
    YOLO v2 weights were trained with this mixing, so a "correct" space-to-depth breaks them.
    """

    def __init__(self, stride: int = 2):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C * stride², H / stride, W / stride]; C, H and W must be multiples (C of stride²)."""
        batch, channels, height, width = x.shape
        s = self.stride
        read = x.reshape(batch, channels // s**2, height, s, width, s)
        return read.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * s**2, height // s, width // s)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"
