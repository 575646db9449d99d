"""Learning rate schedules: a factor as a pure function of the number of updates already made (0 at the first)."""

import math
from bisect import bisect_right
from dataclasses import dataclass


def _positive(field: str, value: float) -> None:
    if value <= 0:
        raise ValueError(f"{field}: got {value}, allowed more than 0")


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A factor of 1 throughout."""

    def __call__(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Multiplied by `factors[i]` from step `at[i]` on."""

    at: tuple[int, ...]
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        if list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at: got {self.at}, allowed increasing numbers")
        if len(self.at) != len(self.factors):
            raise ValueError(f"factors: got {len(self.factors)}, allowed one for each of {len(self.at)} steps")

    def __call__(self, step: int) -> float:
        return math.prod(self.factors[: bisect_right(self.at, step)])


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """Multiplied by `factor` after every `every` steps (Huang et al. section 3.6: 0.95 every 800,000)."""

    every: int
    factor: float

    def __post_init__(self) -> None:
        _positive("every", self.every)
        _positive("factor", self.factor)

    def __call__(self, step: int) -> float:
        return float(self.factor ** (step // self.every))


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine from 1 down to `floor` at `steps` and beyond (Loshchilov and Hutter 2017, equation 5)."""

    steps: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        _positive("steps", self.steps)

    def __call__(self, step: int) -> float:
        turn = math.cos(math.pi * min(step / self.steps, 1.0))
        return self.floor + (1 - self.floor) * (1 + turn) / 2


@dataclass(frozen=True, kw_only=True)
class LinearRamp:
    """Linear from `start` at step 0 to 1 at `steps` (Detectron: 500 steps from a third)."""

    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        _positive("steps", self.steps)

    def __call__(self, step: int) -> float:
        done = min(step / self.steps, 1.0)
        return self.start * (1 - done) + done


@dataclass(frozen=True, kw_only=True)
class Power:
    """((step + 1) / steps) ^ power: darknet's burn-in, which counts updates from 1."""

    steps: int
    power: float = 4.0

    def __post_init__(self) -> None:
        _positive("steps", self.steps)

    def __call__(self, step: int) -> float:
        return float(min((step + 1) / self.steps, 1.0) ** self.power)


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """The product of `first` and `then`; both count from step 0."""

    first: LinearRamp | Power
    then: Constant | Steps | Staircase | Cosine

    def __call__(self, step: int) -> float:
        return self.first(step) * self.then(step)


Schedule = Constant | Steps | Staircase | Cosine | WarmUp
