"""Times VGG-16, ResNet-101 and Darknet-53 at 600x600 against the machine's matrix rate: `python benchmarks/trunks.py`.

Batch 1, without heads, up to the last map. A share is the work by definition over the time, in percent of the rate
that `bench.ceilings` measures in that precision before and after; Winograd's algorithm does less work and may exceed
100.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rows import add_out, append
from torch import Tensor, nn

from paretodet.backbones.named import NETWORKS
from paretodet.bench.ceilings import measure_ceilings
from paretodet.bench.flops import count
from paretodet.layers.winograd import with_winograd
from paretodet.records.roofline import rate_key
from paretodet.runtimes.eager import fast

TRUNKS = ("vgg16", "resnet101", "darknet53")
SIDE = 600
ROUNDS = 15
Run = Callable[[], Any]


class Trunk(nn.Module):
    """A backbone as a function of normalized pixels."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Any:
        return self.backbone.trunk(x)


def runs(trunk: nn.Module, x: Tensor) -> Iterator[tuple[str, str, Run]]:
    """Runtime, precision and a call of the trunk."""
    for precision, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        eager, pixels = fast(trunk, precision=precision), x.to(kind).to(memory_format=torch.channels_last)
        yield "eager", precision, partial(eager, pixels)
        if precision == "fp32":
            winograd = with_winograd(eager)
            yield "winograd", precision, partial(winograd, pixels)
    yield from compiled(fast(trunk), x)


def compiled(trunk: nn.Module, x: Tensor) -> Iterator[tuple[str, str, Run]]:
    """Under OpenVINO, where it is installed."""
    try:
        import openvino
    except ImportError:
        return
    model = openvino.convert_model(torch.export.export(trunk, (x,), strict=True))
    for precision, hint in (("fp32", "f32"), ("bf16", "bf16")):
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        request = openvino.compile_model(
            model, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"}
        ).create_infer_request()
        pixels = np.ascontiguousarray(x.numpy())
        yield "openvino", precision, partial(request.infer, [pixels], share_inputs=True)


def timed(run: Run) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    out = parser.parse_args().out
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    for name in TRUNKS:
        torch.manual_seed(0)
        choice: Any = NETWORKS[name]
        trunk = Trunk(choice.build()).eval()
        x = torch.randn(1, 3, SIDE, SIDE)
        macs = count(trunk, x).macs or 0
        every = list(runs(trunk, x))
        rates, turns = [measure_ceilings("cpu")], []
        for _ in range(ROUNDS):
            turns.append([timed(run) for _, _, run in every])
        rates.append(measure_ceilings("cpu"))
        for index, (runtime, precision, _) in enumerate(every):
            rate = max(each[rate_key(precision)] or 0 for each in rates)
            shares = [100 * 2e-9 * macs / turn[index] / rate for turn in turns[1:]]
            low, *_, high = quantiles(shares, n=20, method="inclusive")
            row = {
                "name": name,
                "runtime": runtime,
                "precision": precision,
                "side": SIDE,
                "gmacs": round(1e-9 * macs, 3),
                "ms_p50": 1e3 * median(turn[index] for turn in turns[1:]),
                "gflops_ceiling": rate,
                "share_pct_p50": median(shares),
                "share_pct_p5": low,
                "share_pct_p95": high,
                "threads": torch.get_num_threads(),
            }
            print(
                f"{name:12}{runtime:10}{precision}  {row['ms_p50']:6.0f} ms  {row['share_pct_p50']:5.0f} %", flush=True
            )
            append(row, out)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
