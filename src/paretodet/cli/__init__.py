"""The command line: reads arguments, calls public functions and prints. It makes no decisions."""

import sys
from typing import Annotated

from typer import Exit, Option

from paretodet.cli import (
    bugreport,
    compare,
    detect,
    doctor,
    evaluate,
    export,
    frontier,
    imports,
    inspect,
    labels,
    listing,
    measure,
    profile,
    report,
    search,
    store,
    train,
    weights,
)
from paretodet.cli.commands import App
from paretodet.cli.output import printable
from paretodet.errors import WithId, with_id
from paretodet.version import __version__

app = App(
    name="paretodet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(listing.list_)
app.command("measure")(measure.measure)
app.command("search")(search.search)
app.command("profile")(profile.profile)
app.command("frontier")(frontier.frontier)
app.command("recommend")(frontier.recommend)
app.command("report")(report.report)
app.command("detect")(detect.detect)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("import")(imports.import_)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)
app.command("inspect")(inspect.inspect)
app.command("convert")(labels.convert)
app.command("split")(labels.split)
app.command("reproduce")(compare.reproduce)
app.command("diff")(compare.diff)
app.add_typer(store.app, name="store")
app.command("bugreport")(bugreport.bugreport)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"paretodet {__version__}")
        raise Exit


_Version = Annotated[
    bool, Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
]


@app.callback()
def _paretodet(version: _Version = False) -> None:
    """Measure object detectors on your hardware, and choose one within your budget."""


def main() -> None:
    """Runs a command. Bad input gives one message on standard error, `paretodet: message [id]`, and exit status 2."""
    try:
        app()
    except Exception as error:
        if not _is_input_error(error):
            raise
        print(f"paretodet: {printable(with_id(error))}", file=sys.stderr)
        sys.exit(2)


def _is_input_error(error: Exception) -> bool:
    """Whether the error is one that paretodet raises for bad input, or a built-in one for it.

    A KeyError or IndexError is a mistake in the code; a plain LookupError is Python's, of an unknown encoding.
    """
    return isinstance(error, WithId | ValueError | OSError | ImportError) or type(error) is LookupError
