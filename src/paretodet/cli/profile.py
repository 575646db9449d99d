"""`paretodet profile`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from paretodet.cli import candidate_options, options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.output import note, note_next, print_json, show
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.records.profile import Profile


@with_candidate_options()
def profile(
    name: options.Name,
    given: Given,
    batch: candidate_options.Batch = 1,
    threads: candidate_options.Threads = None,
    images: options.Images = None,
    top: options.Top = 15,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Time the layers of a detector, each beside the least time that this machine allows, and say what to try next."""
    from paretodet import profiling
    from paretodet.report.evaluated import check_plot
    from paretodet.report.profiled import advice, plot_profile, profile_table, summary

    if plot:
        check_plot(plot)
    chosen = replace(config(name, given), batch=batch, threads=threads)
    with ProgressBar() as bar:
        found = profiling.profile(chosen, images=images, notify=lambda phase: bar.draw(f"{phase:9} {name}", 0, 0, ""))
    if plot:
        plot_profile(found, plot, top=top)
        note(f"The plot is {plot}.")
    if not json:
        show(profile_table(found, top=top))
        for sentence in summary(found):
            show(sentence)
    others = profiling.alternatives(chosen, found)  # takes a while
    if json:
        print_json(found.to_json() | {"alternatives": [list(other) for other in others]})
    else:
        show(advice(found, others))
    _next(name, given | {"batch": None if batch == 1 else batch, "threads": threads, "images": images}, found, others)


def _next(name: str, given: Given, found: "Profile", others: Sequence[tuple[str, str]]) -> None:
    """Prints the command that measures `others`."""
    from paretodet.config import CALIBRATED

    if others:
        runtimes, precisions = (tuple(dict.fromkeys(names)) for names in zip(*others, strict=True))
        changed: Given = {"runtime": ",".join(runtimes)}
        changed |= {"precision": ",".join(precisions)} if precisions != (found.precision,) else {}
        changed |= {} if CALIBRATED in precisions else {"calibration": None}
        note_next("measure", name, **given | changed)
