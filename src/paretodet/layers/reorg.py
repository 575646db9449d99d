"""Darknet's reorg layer: a quarter of the positions, four times the channels, in darknet's order."""

from torch import Tensor, nn


class Reorg(nn.Module):
    """Darknet's reorg layer, which is not a space-to-depth.

    It interprets the memory of the map as a larger map with C / stride² channels and gathers from that. Published YOLO
    v2 weights were trained with this order, so a true space-to-depth does not work with them.
    """

    def __init__(self, stride: int = 2):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C * stride², H / stride, W / stride]; C, H and W must be multiples (C of stride²)."""
        batch, channels, height, width = x.shape
        s = self.stride  # shapes change in two steps, for an export whose sides are symbols
        larger = x.flatten(1).reshape(batch, channels // s**2, height, s, width, s)
        return larger.permute(0, 3, 5, 1, 2, 4).flatten(1).reshape(batch, channels * s**2, height // s, width // s)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"
