"""The text forms of quantities and rows, shared by the page, the charts and the terminal."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paretodet.frontier.values import amount, noun, outward, value
from paretodet.records.disturbance import cause
from paretodet.records.estimate import ApEstimate, estimate_of
from paretodet.records.measurement import GAINS, USABLE, Measurement

UNKNOWN = "–"
NAMED = 6  # names that a sentence lists
JOINERS = "\u200c\u200d"


def finite(value: object) -> float | None:
    """The number as a float; None for None, text, bool, NaN and infinity."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None  # type: ignore[arg-type]


def significant(value: float | None, digits: int = 3) -> str:
    """`digits` significant figures without an exponent, with commas between thousands."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def round_up(value: float, digits: int = 3) -> float:
    """`value` rounded up to `digits` significant figures."""
    return outward(value, digits, upwards=True)


def round_down(value: float, digits: int = 3) -> float:
    """`value` rounded down to `digits` significant figures."""
    return outward(value, digits, upwards=False)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How a field of a row is shown: its value divided by `scale`, in `unit`."""

    field: str
    title: str
    unit: str
    scale: float = 1.0
    decimals: int | None = None  # None: three significant figures

    def of(self, row: Measurement) -> float | None:
        """The row's value in this quantity's unit."""
        value = finite(getattr(row, self.field))
        return None if value is None else value / self.scale

    def number(self, shown: float | None) -> str:
        """The text of a number that is already in this quantity's unit."""
        if shown is None or self.decimals is None:
            return significant(shown)
        return f"{shown:,.{self.decimals}f}"

    def text(self, row: Measurement) -> str:
        """Number and unit; a dash if the row does not have it."""
        return self.with_unit(self.of(row))

    def with_unit(self, shown: float | None) -> str:
        return UNKNOWN if shown is None else f"{self.number(shown)} {self.unit}".rstrip()

    def bound(self, shown: float, *, upwards: bool) -> float:
        """A number in this quantity's unit, rounded to the figures of its text in one direction only."""
        whole = 0 if self.decimals is None or not shown else math.floor(math.log10(abs(shown))) + 1
        return outward(shown, 3 if self.decimals is None else whole + self.decimals, upwards=upwards)

    @property
    def axis(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


QUANTITIES: Mapping[str, Quantity] = {
    quantity.field: quantity
    for quantity in (
        Quantity(field="ap", title="AP", unit="", decimals=1),
        Quantity(field="ap50", title="AP50", unit="", decimals=1),
        Quantity(field="latency_ms_p50", title="Latency", unit="ms"),
        Quantity(field="latency_ms_p95", title="p95", unit="ms"),
        Quantity(field="latency_ms_p99", title="p99", unit="ms"),
        Quantity(field="prepare_ms", title="Prepare", unit="ms"),
        Quantity(field="total_ms", title="Total", unit="ms"),
        Quantity(field="load_ms", title="Load", unit="ms"),
        Quantity(field="first_ms", title="First call", unit="ms"),
        Quantity(field="export_ms", title="Export", unit="ms"),
        Quantity(field="compile_ms", title="Compile", unit="ms"),
        Quantity(field="floor_ms", title="Floor", unit="ms"),
        Quantity(field="floor_pct", title="Floor / latency", unit="%", decimals=0),
        Quantity(field="energy_j", title="Energy", unit="J"),
        Quantity(field="memory_infer_mib", title="Memory", unit="MiB"),
        Quantity(field="memory_load_mib", title="Load memory", unit="MiB"),
        Quantity(field="memory_device_mib", title="Device memory", unit="MiB"),
        Quantity(field="parameters", title="Parameters", unit="M", scale=1e6),
        Quantity(field="flops", title="Work", unit="GFLOPs", scale=1e9),
    )
}


def field_title(field: str) -> str:
    """What a cost or a gain is called, as the title of a column: "Latency", "Mask AP"."""
    name = noun(field)
    return QUANTITIES[field].title if field in QUANTITIES else name[0].upper() + name[1:]


def field_text(row: Measurement, field: str) -> str:
    """A cost with its unit, or a gain; a dash if the row does not have it."""
    if field in GAINS:
        return accuracy(row, field)
    if field in QUANTITIES:
        return QUANTITIES[field].text(row)
    number = value(row, field)
    return UNKNOWN if number is None else amount(field, number.point)


def executed(row: Measurement) -> str:
    """The layers by the precision they execute in, most first: `58 int8, 4 fp32`."""
    layers = sorted((row.precision_layers or {}).items(), key=lambda entry: -entry[1])
    return ", ".join(f"{count} {precision}" for precision, count in layers) or UNKNOWN


def floor(row: Measurement) -> str:
    """`12.3 ms, 45 % of the latency`."""
    share = QUANTITIES["floor_pct"].text(row)
    return UNKNOWN if share == UNKNOWN else f"{QUANTITIES['floor_ms'].text(row)}, {share} of the latency"


def details(row: Measurement) -> dict[str, str]:
    """What is known of the row's floor, of how it was built and of what it executes, by title."""
    texts = {"Floor": floor(row), "Layers": executed(row)}
    texts |= {QUANTITIES[field].title: QUANTITIES[field].text(row) for field in ("export_ms", "compile_ms")}
    return {title: text for title, text in texts.items() if text != UNKNOWN}


def latency(row: Measurement, *, unit: bool = True) -> str:
    """Median with its 95 % interval: `31.4 ms (30.9–32.0)`."""
    quantity = QUANTITIES["latency_ms_p50"]
    median = quantity.text(row) if unit else quantity.number(quantity.of(row))
    low, high = finite(row.latency_ms_p50_low), finite(row.latency_ms_p50_high)
    return median if low is None or high is None else f"{median} ({significant(low)}–{significant(high)})"


def accuracy(row: Measurement, field: str = "ap") -> str:
    """With as many decimals as the source gives: `21` if it rounds to whole points, else `21.4`.

    An estimated AP says so and has its interval: `26.3 (21.8–31.9) estimated`.
    """
    if field == "ap" and (estimate := estimate_of(row)):
        return f"{estimated(estimate)} estimated"
    value, rounding = finite(getattr(row, field)), finite(row.ap_rounding)
    if value is None:
        return UNKNOWN
    return f"{value:.0f}" if rounding is not None and rounding >= 0.5 and value == round(value) else f"{value:.1f}"


def estimated(estimate: ApEstimate) -> str:
    """The number and its interval: `26.3 (21.8–31.9)`."""
    return f"{estimate.ap:.1f} ({estimate.low:.1f}–{estimate.high:.1f})"


def probability(share: float) -> str:
    """Two decimals; `< 0.01` instead of 0.00, because a bootstrap cannot show that something is impossible."""
    return f"{share:.2f}" if share >= 0.005 else "< 0.01"


def reasons(row: Measurement) -> tuple[str, ...]:
    """Why a row is not valid, and what could not be watched."""
    return all_reasons(row.reasons, row.error)


def all_reasons(reasons: Iterable[str], error: str | None) -> tuple[str, ...]:
    """The reasons and the error, each once."""
    return tuple(dict.fromkeys((*reasons, *((error,) if error else ()))))


def short_reason(row: Measurement, validity: str | None = None) -> str:
    """`contended: others 39 % of a core`: the validity and, for a row that is not usable, its cause.

    `validity` is the word to show in place of the row's.
    """
    shown, why = validity or row.validity, "" if row.validity in USABLE else cause(row)
    return f"{shown}: {why}" if why else shown


def plain(text: str) -> str:
    """The text with control characters replaced; joiners of letters and all kinds of spaces stay."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or _is_plain(letter) else "\ufffd" for letter in text)


def _is_plain(letter: str) -> bool:
    return letter in JOINERS or unicodedata.category(letter) == "Zs"


def canvas(row: Measurement) -> str:
    """Height x width in pixels."""
    return UNKNOWN if row.height is None or row.width is None else f"{row.height} × {row.width}"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 row`, `3 rows`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def few(names: Sequence[str]) -> str:
    """`listed` for the first six names, and the number of the others."""
    more = len(names) - NAMED
    return listed([*names[:NAMED], f"{more:,} more"] if more > 0 else names)


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
