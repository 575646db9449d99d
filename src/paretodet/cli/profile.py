"""`paretodet profile`."""

from dataclasses import replace

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.output import note, note_next, print_json, show
from paretodet.cli.progress import ProgressBar


@with_candidate_options()
def profile(
    name: options.Name,
    given: Given,
    batch: options.Batch = 1,
    threads: options.Threads = None,
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
    others = profiling.alternatives(chosen, found)
    if json:
        print_json(found.to_json() | {"alternatives": [list(other) for other in others]})
    else:
        show(profile_table(found, top=top))
        for sentence in (*summary(found), advice(found, others)):
            show(sentence)
    if plot:
        plot_profile(found, plot, top=top)
        note(f"The plot is {plot}.")
    if others:
        runtimes, precisions = (",".join(dict.fromkeys(names)) for names in zip(*others, strict=True))
        note_next("measure", name, **given | {"runtime": runtimes, "precision": precisions})
