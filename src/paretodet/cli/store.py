"""`paretodet store`."""

from paretodet.cli import options
from paretodet.cli.commands import App
from paretodet.cli.output import note_next, print_json, show

app = App(no_args_is_help=True)


@app.callback()
def store() -> None:
    """Work with stores of rows."""


@app.command()
def copy(source: options.CopiedStore, target: options.StoreCopy, json: options.Json = False) -> None:
    """Copy all rows, with their samples, to another store or to a new file of JSON lines.

    A store is created if needed; rows that it already has are skipped, so the same command continues a copy that was
    interrupted. Other commands can write to the store meanwhile. Both stay as they are if a row cannot be read.
    """
    from paretodet.records.location import without_password
    from paretodet.report.formats import plural
    from paretodet.sweep.transfer import copy_rows

    counts = copy_rows(source, target)
    first, second = map(without_password, (source, target))
    if json:
        print_json({"from": first, "to": second, **counts._asdict()})
        return
    skipped = f"; {counts.duplicates} skipped because it has them" if counts.duplicates else ""
    show(f"{plural(counts.added, 'row')} copied to {second}{skipped}.")
    note_next("frontier", store=None if target == options.DEFAULT_STORE else second)
