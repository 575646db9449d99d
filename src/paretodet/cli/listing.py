"""`paretodet list`."""

from paretodet.cli import options
from paretodet.cli.output import print_json, show


def list_(json: options.Json = False) -> None:
    """The catalogue and the known guests: sizes, counts, published accuracy and its source."""
    from paretodet.detectors.catalogue import entries
    from paretodet.guests.published import entries as guests

    found = [*entries(), *guests()]
    if json:
        print_json([entry.to_json() for entry in found])
    else:
        from paretodet.report.console import catalogue_table

        show(catalogue_table(found))
