"""`paretodet report`."""

from pathlib import Path

from paretodet.cli import options
from paretodet.cli.output import note, print_json, show


def report(
    out: options.Out = Path("report.html"),
    split: options.Split = options.SPLIT,
    store: options.Store = options.DEFAULT_STORE,
    machine: options.Machine = None,
    run: options.Run = None,
    estimates: options.Estimates = False,
    data_doctor: options.DataDoctor = None,
    json: options.Json = False,
) -> None:
    """Write a self-contained HTML page: frontier, plots, a table of rows, and answers to any budget."""
    from paretodet.report.boxes import read_box_sizes
    from paretodet.report.page import COSTS, write_page
    from paretodet.report.selection import for_page
    from paretodet.sweep.machines import of_machine
    from paretodet.sweep.read import complete_rows, read_rows
    from paretodet.writing import check_target

    check_target(out, "out", read=[Path(store), data_doctor])
    rows = of_machine(store, read_rows(store, run=run, split=split, estimates=estimates, notify=note), machine)
    chosen = complete_rows(store, for_page(rows, COSTS, split=split))
    boxes = read_box_sizes(data_doctor) if data_doctor else None
    path = write_page(chosen, out, split=split, boxes=boxes, total=len(rows))
    note(f"{len(chosen)} rows on one page:" if len(chosen) == len(rows) else f"{len(chosen)} of {len(rows)} rows:")
    if json:
        print_json({"page": str(path), "rows": len(chosen), "of": len(rows)})
    else:
        show(str(path))
