"""`paretodet weights`."""

from collections.abc import Callable

from typer import Context

from paretodet.cli import options, weights_options
from paretodet.cli.commands import App
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar

app = App()


@app.callback(invoke_without_command=True)
def weights(context: Context, json: options.Json = False) -> None:
    """List the published weights that are known: origin, size, hash, license, accuracy; `weights get` gets a file."""
    if context.invoked_subcommand:
        return
    from paretodet.report.console import weights_notes, weights_table
    from paretodet.weights.published import entries

    if json:
        print_json([entry.to_json() for entry in entries()])
        return
    show(weights_table(entries()))
    note_all(weights_notes(entries()))
    note_next("weights", "get", "NAME")


@app.command()
def get(
    name: weights_options.WeightsName,
    out: weights_options.WeightsOut = None,
    offline: weights_options.Offline = False,
    json: options.Json = False,
) -> None:
    """Download published weights, check them, and show the command that imports them."""
    from paretodet.downloading import get_weights

    with ProgressBar(shown=not json) as bar:
        got = get_weights(name, out, offline=offline, progress=_mib(bar, name))
    if json:
        print_json(got._asdict())
        return
    begin = "Downloaded" if got.is_new else "Already there:"
    show(f"{begin} {got.file} (SHA-256 {got.sha256}, {_CHECKED[got.checked]}).")
    if got.path != got.file:
        show(f"Read {got.path} out of it.")
    if got.options:
        note_next("import", got.path, **got.options)
    else:
        note(f"No detector of the catalogue takes the weights {got.name}.")


_CHECKED = {
    "listed": "as listed",
    "recorded": "as when it was downloaded",
    "none": "now recorded: no hash of this file is published",
}


def _mib(bar: ProgressBar, name: str) -> Callable[[int, int | None], None]:
    """A callback (bytes, of all) that shows every full MiB, and the time left if the size is known."""
    counting, shown = bar.counting("MiB of", name), -1

    def update(done: int, total: int | None) -> None:
        nonlocal shown
        if (mib := done >> 20) == shown:
            return
        shown = mib
        if total:
            counting(mib, total >> 20)
        else:
            bar.draw(f"MiB of    {name}", mib, 0, "")

    return update
