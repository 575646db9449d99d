"""`paretodet inspect`."""

from pathlib import Path

import typer

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.output import note, note_all, note_next, print_json, print_text


@with_candidate_options(only=("runtime", "device", "classes", "layout", "trust"))
def inspect(
    name: options.OnnxName,
    given: Given,
    image: options.InspectedImage = None,
    out: options.InspectOut = None,
    json: options.Json = False,
) -> None:
    """Show what the outputs of a detector file mean, why, and the layout file to edit.

    Standard output is a layout file for --layout; the reasons are its comments. Exit status: 0 if the file can be
    used; 1 if it needs a layout file; 2 for bad input.
    """
    from paretodet.inspecting import drawn, first_image, inspect
    from paretodet.media.fonts import explained
    from paretodet.writing import check_target, written

    if out:
        check_target(out, "out", read=[Path(name), image])
    chosen, picture = config(name, given), first_image(image)
    found = inspect(chosen, images=[picture] if image else ())
    if json:
        print_json(found.to_json())
    else:
        print_text(found.to_toml())
    if out and (boxes := drawn(chosen, found, picture)):
        with written(out) as temporary:
            boxes.image.save(temporary, format="PNG" if out.suffix.lower() == ".png" else "JPEG", quality=92)
        note(f"Boxes drawn to {out}.")
        note_all(explained(boxes.numbered))
    elif out:
        note(f"{out} is not written: the layout does not fit the outputs before it is corrected.")
    if found.refused and not chosen.layout:
        raise typer.Exit(1)
    note_next("doctor", name, **given)
