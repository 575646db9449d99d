"""The page's table of all rows: the text of every cell, and the value that it is sorted by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from paretodet.frontier.values import value
from paretodet.records.measurement import Measurement
from paretodet.report.formats import QUANTITIES, accuracy, canvas, details, finite, latency, probability, short_reason
from paretodet.report.wording import row_reasons, unwatched, validity

_MEASURED = ("latency_ms_p95", "total_ms", "floor_pct", "memory_infer_mib", "parameters", "flops")
_SETTINGS = ("device", "runtime", "precision", "batch", "threads", "load", "weights")


@dataclass(frozen=True, kw_only=True)
class Column:
    """`text` is shown; rows are sorted by `value`, or by the text if there is none."""

    title: str
    text: Callable[[Measurement], str]
    value: Callable[[Measurement], float | None] | None = None

    @property
    def numeric(self) -> bool:
        return self.value is not None

    def cell(self, row: Measurement) -> dict[str, object]:
        """The cell as the template reads it; the value of an unknown number is the empty string."""
        if self.value is None:
            return {"label": self.title, "text": self.text(row), "value": self.text(row), "numeric": False}
        value = self.value(row)
        key = "" if value is None else repr(value)
        return {"label": self.title, "text": self.text(row), "value": key, "numeric": True}


def row_table(
    rows: Sequence[Measurement], labels: Mapping[str, str], standing: Mapping[str, float], *, entered: Collection[str]
) -> dict[str, object]:
    """Columns and rows; `standing` is the probability of every frontier member by row id, `entered` the ids of the rows
    that the answer uses.
    """
    shared = unwatched(rows)
    columns = _columns(rows, labels, standing, shared)
    return {
        "columns": [{"title": column.title, "numeric": column.numeric} for column in columns],
        "rows": [
            {
                "key": row.id,
                "entered": row.id in entered,
                "short": short_reason(row, validity(row, shared)) if (full := row_reasons(row, shared)) else "",
                "full": "; ".join(full),
                "details": "; ".join(f"{title.lower()}: {text}" for title, text in details(row).items()),
                "cells": [column.cell(row) for column in columns],
            }
            for row in rows
        ],
    }


def _columns(
    rows: Sequence[Measurement], labels: Mapping[str, str], standing: Mapping[str, float], shared: Sequence[str]
) -> list[Column]:
    return [
        Column(title="Detector", text=lambda row: labels[row.id]),
        Column(title="AP", text=accuracy, value=_ap),
        Column(title="AP50", text=lambda row: accuracy(row, "ap50"), value=QUANTITIES["ap50"].of),
        Column(
            title="Latency (ms,\u00a095\u00a0%)",
            text=lambda row: latency(row, unit=False),
            value=QUANTITIES["latency_ms_p50"].of,
        ),
        *(_measured(field) for field in _MEASURED if any(QUANTITIES[field].of(row) is not None for row in rows)),
        Column(title="Input", text=canvas, value=_pixels),
        Column(
            title="On frontier",
            text=lambda row: probability(standing[row.id]) if row.id in standing else "",
            value=lambda row: standing.get(row.id),
        ),
        *(_setting(field) for field in _SETTINGS if len({getattr(row, field) for row in rows}) > 1),
        Column(title="Validity", text=lambda row: validity(row, shared).replace("_", " ")),
    ]


def _measured(field: str) -> Column:
    quantity = QUANTITIES[field]
    return Column(title=quantity.axis, text=lambda row: quantity.number(quantity.of(row)), value=quantity.of)


def _setting(field: str) -> Column:
    return Column(title=field.title(), text=lambda row: _short(getattr(row, field)))


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"


def _ap(row: Measurement) -> float | None:
    """The AP to sort by, be it estimated."""
    return known.point if (known := value(row, "ap")) else None


def _pixels(row: Measurement) -> float | None:
    height, width = finite(row.height), finite(row.width)
    return None if height is None or width is None else height * width
