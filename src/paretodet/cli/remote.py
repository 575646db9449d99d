"""`paretodet remote`."""

import typer

from paretodet.cli import options
from paretodet.cli.output import note, note_all, note_next, print_json, show


def remote(
    host: options.Host,
    command: options.RemoteCommand,
    program: options.Program = "paretodet",
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Run `measure` or `search` on another machine by ssh, and bring its rows here.

    Files that the command names are copied there. After an interruption, run the same command to continue. Exit status:
    that of the command; 2 also if the machine cannot be reached or used.
    """
    from paretodet.cli.measure import check_outputs
    from paretodet.records.location import without_password
    from paretodet.records.store import Store
    from paretodet.report.formats import plural
    from paretodet.sweep.remote import Remote, run_there

    check_outputs(store, None)
    there, lines = Remote(host=host, program=program), note if json else show
    try:
        status, brought = run_there(there, command, Store(store, notify=note), show=lines)
    except KeyboardInterrupt:
        note(f"Interrupted. Rows that ended on {host} come with the next call.")
        raise typer.Exit(130) from None
    note_all(f"{reason}." for reason in brought.refused)
    if json:
        print_json({"host": host, "status": status, **brought.counts._asdict(), "refused": list(brought.refused)})
    known = f"; {brought.counts.duplicates} were here" if brought.counts.duplicates else ""
    note(f"{plural(brought.counts.added, 'new row')} of {host} in {without_password(store)}{known}.")
    if not status:
        note_next("frontier", store=None if store == options.DEFAULT_STORE else store)
    raise typer.Exit(status)
