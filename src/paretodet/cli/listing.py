"""`paretodet list`."""

from collections.abc import Callable, Sequence
from typing import Any

from paretodet.cli import options
from paretodet.cli.output import print_json, show

Listed = tuple[Sequence[Any], Callable[[Any], Any]]  # entries, and the function that makes a table of them


def list_(backbones: options.Backbones = False, json: options.Json = False) -> None:
    """List the detectors that can be measured by name, or the backbones: sizes, counts, published accuracy."""
    entries, table = _backbones() if backbones else _detectors()
    if json:
        print_json([entry.to_json() for entry in entries])
    else:
        show(table(entries))


def _backbones() -> Listed:
    from paretodet.backbones.catalogue import entries
    from paretodet.report.console import backbones_table

    return entries(), backbones_table


def _detectors() -> Listed:
    from paretodet.detectors.catalogue import entries
    from paretodet.report.console import catalogue_table
    from paretodet.sources.published import entries as hub_entries

    return [*entries(), *hub_entries()], catalogue_table
