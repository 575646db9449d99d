"""Networks as programs of tensors, exported by `torch.export`."""

import torch
from torch import Tensor, nn

from paretodet.types import Images


class TensorModule(nn.Module):
    """A network `Images` -> `Detections` with tensors as inputs and outputs; without masks it has three outputs."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        return tuple(part for part in self.detector(Images(pixels, sizes)) if part is not None)


def blank(batch: int, canvas: tuple[int, int], device: torch.device | str = "cpu") -> Images:
    """A batch of black canvases (height, width), which their images fill."""
    pixels = torch.zeros(batch, 3, *canvas, dtype=torch.uint8, device=device)
    return Images(pixels, torch.tensor([canvas] * batch, dtype=torch.float32, device=device))


def noise(batch: int, canvas: tuple[int, int], seed: int = 0) -> Images:
    """As `blank`, with random pixels."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (batch, 3, *canvas), dtype=torch.uint8, generator=generator)
    return blank(batch, canvas)._replace(pixels=pixels)
