"""Batch normalization with fixed statistics."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenNorm2d(nn.Module):
    """Batch norm that is not trained: affine parameters without gradient, statistics as buffers.

    Huang et al. 3.6.1 and Detectron freeze the norms of the classifier this way. The names are those of
    `nn.BatchNorm2d`, so that weights load into either; gamma and beta are Parameters, so that they are counted.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{len(self.bias)}, eps={self.eps}"
