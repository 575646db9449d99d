"""The machine's ceilings: the highest measured rate of matrix products in each precision, and of copying memory."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.bench.clock import Clock
from paretodet.bench.memory import free_mib
from paretodet.records.roofline import COPY, rate_key

Work = Callable[[], Any]
Timer = Callable[[Work], float]  # -> seconds
Product = Callable[[str, int, str], Work]  # precision, size of the matrices, device
SIZES = {"cpu": (256, 512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192)}  # of square matrices; the smallest first
REPEATS = 8  # of a product of one size, at most
MATRIX_S, COPY_S = 0.35, 0.25  # time for one precision, and for the copy
COPIED = 128 * 2**20  # bytes; two such arrays exceed most caches ...
MEMORY_SHARE = 0.1  # ... but no more than this share of the free memory each
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = {"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp32", "bf16", "fp16", "int8")}
UNSUPPORTED = (RuntimeError, NotImplementedError, AttributeError, TypeError)  # what torch raises for a missing product


@torch.inference_mode()
def measure_ceilings(device: str, timer: Timer | None = None) -> dict[str, float | None]:
    """GFLOP/s of the best matrix product in each precision and GB/s of the best copy, with the threads of this process.

    None for a precision in which torch has no matrix product on this device; empty for a device other than "cpu" and
    "cuda:N". On a GPU, fp32 may use the same reduced precision as torch's convolutions do. On a CPU, the library of
    torch's matrix products is another one than that of its convolutions, and may be half as fast (MKL beside oneDNN on
    an AMD EPYC with AVX-512): a product counts in the faster one. Takes about 2 s.
    """
    kind = device.partition(":")[0]
    if kind not in SIZES:
        return {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    seconds = timer or _seconds(Clock(device))
    rates = {rate_key(name): _matrix_gflops(name, device, seconds) for name in PRECISIONS[kind]}
    return {**rates, COPY: _copy_gb_s(device, seconds)}


def best_rate(works: Iterator[tuple[float, Work]], timer: Timer, *, budget: float) -> float:
    """The highest amount per second of (amount, work) that run one after another until `budget` seconds are spent."""
    best = spent = 0.0
    for amount, work in works:
        took = timer(work)
        best, spent = max(best, amount / took), spent + took
        if spent >= budget:
            break
    return best


def _seconds(clock: Clock) -> Timer:
    return lambda work: clock.time(work)[0] / 1000


def _matrix_gflops(precision: str, device: str, timer: Timer) -> float | None:
    kind = device.partition(":")[0]
    products = [_product, _convolution] if kind == "cpu" and precision in DTYPES else [_product]
    try:
        return _rounded(max(_best(product, precision, device, timer, SIZES[kind]) for product in products))
    except UNSUPPORTED:
        return None


def _best(product: Product, precision: str, device: str, timer: Timer, sizes: tuple[int, ...]) -> float:
    works = ((2e-9 * size**3, work) for size in sizes for work in REPEATS * [product(precision, size, device)])
    return best_rate(works, timer, budget=MATRIX_S)


def _product(precision: str, size: int, device: str) -> Work:
    if precision == "int8":
        one, other = (torch.randint(-128, 128, (size, size), dtype=torch.int8, device=device) for _ in range(2))
        return lambda: torch._int_mm(one, other)
    first, second, out = (torch.rand(size, size, device=device).to(DTYPES[precision]) for _ in range(3))
    return lambda: torch.mm(first, second, out=out)


def _convolution(precision: str, size: int, device: str) -> Work:
    """The product as a convolution of 1 x 1: `size` channels of `size` pixels become as many."""
    pixels, weight = (torch.rand(shape, device=device).to(DTYPES[precision]) for shape in _shapes(size))
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(pixels, weight)


def _shapes(size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows = next(rows for rows in range(math.isqrt(size), 0, -1) if size % rows == 0)
    return (1, size, rows, size // rows), (size, size, 1, 1)


def _copy_gb_s(device: str, timer: Timer) -> float:
    count = min(COPIED, int(MEMORY_SHARE * 2**20 * free_mib())) // 4
    source, target = (torch.zeros(count, device=device) for _ in range(2))
    copies: Iterator[tuple[float, Callable[[], Tensor]]] = (
        (8e-9 * count, lambda: target.copy_(source)) for _ in range(REPEATS)
    )
    return _rounded(best_rate(copies, timer, budget=COPY_S))


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")
