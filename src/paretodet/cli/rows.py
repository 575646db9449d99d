"""`paretodet export-rows` and `paretodet import-rows`."""

from paretodet.cli import options
from paretodet.cli.output import note_next, print_json, show


def export_rows(
    out: options.Out,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Write all rows of a store, with their samples, to a new file of JSON lines."""
    from paretodet.report.formats import plural
    from paretodet.sweep.transfer import export_rows as write

    count = write(store, out)
    if json:
        print_json({"store": store, "file": str(out), "rows": count})
        return
    show(f"{plural(count, 'row')} written to {out}.")
    note_next("frontier", store=out)


def import_rows(
    file: options.RowsFile,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Add the rows of a file of JSON lines to a store. Create it if needed, and skip rows that it already has."""
    from paretodet.report.formats import plural
    from paretodet.sweep.transfer import import_rows as read

    counts = read(file, store)
    if json:
        print_json({"store": store, "file": str(file), **counts._asdict()})
        return
    show(f"{plural(counts.added, 'row')} added to {store}; {counts.duplicates} skipped because the store has them.")
    note_next("frontier", store=None if store == options.DEFAULT_STORE else store)
