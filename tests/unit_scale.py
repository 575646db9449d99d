"""Random weights that keep every map at unit scale."""

import torch
from torch import nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@torch.no_grad()
def with_unit_scale(detector, images):
    """Scale the weights, in the order of use, so that the output of every layer, without bias, has standard deviation
    1.
    """
    handles = [m.register_forward_hook(scale_once()) for m in detector.modules() if isinstance(m, LAYERS)]
    detector(images)
    for handle in handles:
        handle.remove()


def scale_once():
    done = []

    def hook(layer, inputs, output):
        bias = 0 if layer.bias is None else layer.bias.view(-1, *[1] * (output.dim() - 2))
        if isinstance(layer, nn.Linear):
            bias = 0 if layer.bias is None else layer.bias
        if not done:
            done.append((output - bias).std().clamp(min=1e-6).item())
            layer.weight /= done[0]
            return (output - bias) / done[0] + bias
        return output

    return hook
