"""The catalogue for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from paretodet.detectors.catalogue import Entry


def catalogue_table(entries: Sequence[Entry]) -> Table:
    """One line a detector; multiply-adds and parameters in units of 1e9 and 1e6."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Detector", no_wrap=True)
    for title in ("Input", "Parameters (M)", "MACs (G)", "AP", "AP50"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Split", no_wrap=True)
    for entry in entries:
        table.add_row(
            entry.name,
            f"{entry.height}x{entry.width}",
            f"{entry.parameters / 1e6:.1f}",
            f"{entry.macs / 1e9:.1f}",
            _percent(entry.ap),
            _percent(entry.ap50),
            entry.ap_split or "",
        )
    return table


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
