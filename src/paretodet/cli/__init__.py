"""The command line: reads arguments, calls public functions and prints. It makes no decisions."""

import sys

from typer import Typer

from paretodet.cli import (
    bugreport,
    compare,
    detect,
    doctor,
    evaluate,
    export,
    frontier,
    imports,
    listing,
    measure,
    options,
    report,
    rows,
    train,
)
from paretodet.cli.output import printable

app = Typer(
    name="paretodet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(listing.list_)
app.command("measure")(measure.measure)
app.command("frontier")(frontier.frontier)
app.command("recommend")(frontier.recommend)
app.command("report")(report.report)
app.command("detect")(detect.detect)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("import")(imports.import_)
app.command("doctor")(doctor.doctor)
app.command("reproduce")(compare.reproduce)
app.command("diff")(compare.diff)
app.command("export-rows")(rows.export_rows)
app.command("import-rows")(rows.import_rows)
app.command("bugreport")(bugreport.bugreport)


@app.callback()
def _paretodet(version: options.Version = False) -> None:
    """Measure object detectors on your hardware, and choose one within your budget."""


def main() -> None:
    """Runs a command. Bad input gives one message on standard error, `paretodet: message [id]`, and exit status 2."""
    try:
        app()
    except Exception as error:
        if not _is_input_error(error):
            raise
        print(f"paretodet: {printable(_message(error))}", file=sys.stderr)
        sys.exit(2)


def _is_input_error(error: Exception) -> bool:
    """Whether the error is one that paretodet raises for bad input: its own classes and the built-in ones for it."""
    built_in = isinstance(error, ValueError | LookupError | OSError | ImportError)
    return built_in or type(error).__module__.startswith("paretodet.")


def _message(error: Exception) -> str:
    """The message, without the quotes that Python adds to that of a KeyError."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
