"""`paretodet list`."""

from typing import Any

from rich.table import Table

from paretodet.cli import options
from paretodet.cli.output import print_json, show

Listed = tuple[list[dict[str, Any]], Table]


def list_(backbones: options.Backbones = False, json: options.Json = False) -> None:
    """List the detectors that can be measured by name, or the backbones: sizes, counts, published accuracy.

    An AP that is marked "estimated" was not published: it has a 90 % interval.
    """
    entries, table = _backbones() if backbones else _detectors()
    if json:
        print_json(entries)
    else:
        show(table)


def _backbones() -> Listed:
    from paretodet.backbones.catalogue import entries
    from paretodet.report.console import backbones_table

    return [entry.to_json() for entry in entries()], backbones_table(entries())


def _detectors() -> Listed:
    from paretodet.detectors.catalogue import entries
    from paretodet.detectors.estimates import estimates
    from paretodet.report.console import catalogue_table
    from paretodet.sources.published import entries as entries_of_others

    listed = [*entries(), *entries_of_others()]
    known = estimates(entry.name for entry in listed if entry.ap is None)
    values = {name: estimate.to_json() for name, estimate in known.items()}
    rows = [entry.to_json() | {"ap_estimate": values.get(entry.name)} for entry in listed]
    return rows, catalogue_table(listed, known)
