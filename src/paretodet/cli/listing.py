"""`paretodet list`."""

from collections.abc import Callable, Sequence
from typing import Any

from paretodet.cli import options
from paretodet.cli.output import print_json, show

Listed = tuple[Sequence[Any], Callable[[Any], Any]]  # entries, and what makes a table of them


def list_(backbones: options.Backbones = False, json: options.Json = False) -> None:
    """The catalogue and the known guests, or the backbones: sizes, counts, published accuracy and its source."""
    _show(*(_backbones() if backbones else _detectors()), json)


def _backbones() -> Listed:
    from paretodet.backbones.catalogue import entries
    from paretodet.report.console import backbones_table

    return entries(), backbones_table


def _detectors() -> Listed:
    from paretodet.detectors.catalogue import entries
    from paretodet.report.console import catalogue_table
    from paretodet.sources.published import entries as hub_entries

    return [*entries(), *hub_entries()], catalogue_table


def _show(found: Sequence[Any], table: Callable[[Any], Any], json: bool) -> None:
    if json:
        print_json([entry.to_json() for entry in found])
    else:
        show(table(found))
