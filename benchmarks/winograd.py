"""Times 3x3 convolutions by Winograd's algorithm against torch's own, in turns: `python benchmarks/winograd.py`.

The shapes are those of VGG-16, ResNet, FPN, heads and Darknet. Where `layers.winograd` has the fewer multiplications
that it asks for (`gain`), its time must be lower; the largest error is of the largest output.
"""

import argparse
import os
from statistics import median, quantiles
from time import perf_counter

import torch
from rows import add_out, append
from torch import nn

from paretodet.layers import winograd

SHAPES = (  # channels, outputs, height, width
    (64, 64, 300, 300), (64, 128, 150, 150), (128, 128, 150, 150), (256, 256, 75, 75), (512, 512, 38, 38),
    (512, 512, 19, 19), (512, 324, 38, 38), (64, 64, 200, 336), (128, 128, 100, 168), (256, 256, 50, 84),
    (512, 512, 25, 42), (256, 256, 200, 336), (256, 720, 100, 100), (256, 36, 100, 100), (256, 256, 14, 14),
    (32, 64, 208, 208), (128, 256, 52, 52), (256, 512, 26, 26), (512, 1024, 13, 13),
)  # fmt: skip
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    out = parser.parse_args().out
    threads = min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    least, winograd.GAIN = winograd.GAIN, 0  # all of them by the algorithm
    for channels, depth, height, width in SHAPES:
        conv = nn.Conv2d(channels, depth, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fast = winograd.WinogradConv2d(conv)
        x = torch.randn(1, channels, height, width).to(memory_format=torch.channels_last)
        wanted = conv(x)
        error = ((fast(x) - wanted).abs().max() / wanted.abs().max()).item()
        turns = [(timed(fast, x), timed(conv, x)) for _ in range(ROUNDS)]
        low, *_, high = quantiles([one / other for one, other in turns], n=20, method="inclusive")
        row = {
            "name": f"{channels}-{depth} on {height}x{width}",
            "gain": round(winograd._gain(conv, height, width), 3),
            "used": winograd._gain(conv, height, width) >= least,
            "torch_ms_p50": 1e3 * median(other for _, other in turns),
            "ratio_p50": median(one / other for one, other in turns),
            "ratio_p5": low,
            "ratio_p95": high,
            "error": error,
            "threads": threads,
        }
        print(*(f"{key} {value:.3g}" if isinstance(value, float) else f"{value}" for key, value in row.items()))
        append(row, out)


def timed(layer: nn.Module, x: torch.Tensor) -> float:
    start = perf_counter()
    layer(x)
    return perf_counter() - start


if __name__ == "__main__":
    with torch.inference_mode():
        main()
