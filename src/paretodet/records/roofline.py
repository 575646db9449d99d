"""The roofline of a network: the least time that its layers need at the measured rates of a machine. Torch-free.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model", 2009.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}  # of one value
COPY, RATE = "copy_gb_s", "_gflops"  # a key of Ceilings, and the ending of the others
Ceilings = Mapping[str, float | None]  # `rate_key` -> GFLOP/s, COPY -> GB/s read and written; None if unknown


class LayerWork(NamedTuple):
    """One call of a layer that multiplies and adds, for one image. Weights, inputs and outputs are counts of values."""

    name: str  # path of the module
    operator: str
    macs: int
    weights: int
    inputs: int
    outputs: int

    def bytes(self, precision: str, *, batch: int = 1) -> int:
        """Bytes that one call reads and writes if every value is moved once. `precision` is a key of BYTES."""
        return BYTES[precision] * (self.weights + batch * (self.inputs + self.outputs))


def rate_key(precision: str) -> str:
    """The key of a precision's matrix rate in Ceilings."""
    return f"{precision}{RATE}"


def floor_ms(layers: Iterable[LayerWork], ceilings: Ceilings, precision: str, *, batch: int = 1) -> float | None:
    """The sum over layers of the longer of two times, ms: 2 x macs at the matrix rate, the bytes at the bandwidth.

    None without layers, or if the machine's rate in this precision is unknown.
    """
    rate, bandwidth = ceilings.get(rate_key(precision)), ceilings.get(COPY)
    if not rate or not bandwidth:
        return None
    times = [
        max(2 * batch * layer.macs / rate, layer.bytes(precision, batch=batch) / bandwidth) / 1e6 for layer in layers
    ]
    return sum(times) if times else None
