"""The command line: reads arguments, calls the public functions, prints. It decides nothing."""

import sys

from typer import Typer

from paretodet.cli import (
    bugreport,
    compare,
    detect,
    doctor,
    evaluate,
    frontier,
    imports,
    listing,
    measure,
    options,
    report,
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
app.command("import")(imports.import_)
app.command("doctor")(doctor.doctor)
app.command("reproduce")(compare.reproduce)
app.command("diff")(compare.diff)
app.command("bugreport")(bugreport.bugreport)


@app.callback()
def _paretodet(version: options.Version = False) -> None:
    """Which object detector is the best choice on your hardware: measured, with intervals."""


def main() -> None:
    """Runs a command. What it refuses is one sentence on standard error and exit status 2."""
    try:
        app()
    except Exception as error:
        if not _is_ours(error):
            raise
        print(f"paretodet: {printable(_sentence(error))}", file=sys.stderr)
        sys.exit(2)


def _is_ours(error: Exception) -> bool:
    """What the rooms below raise on purpose: their own kinds of error, and the built-in kinds of bad input."""
    built_in = isinstance(error, ValueError | LookupError | OSError | ImportError)
    return built_in or type(error).__module__.startswith("paretodet.")


def _sentence(error: Exception) -> str:
    """The message; that of a KeyError without the quotes Python puts around it."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
