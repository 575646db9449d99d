"""`paretodet export`."""

from dataclasses import asdict
from typing import Any

import typer

from paretodet.cli import candidate_options, options, parsing
from paretodet.cli.candidate import Given, config_fields, with_candidate_options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar


@with_candidate_options(runtime=None, device=None, allow_fallback=None, layout=None, trust=None)
def export(
    name: options.Name,
    out: options.Out,
    given: Given,
    to: options.To = "onnx",
    suppression: options.Suppression = None,
    size: candidate_options.Sizes = None,
    batch: options.ExportBatch = "1",
    images: options.Images = None,
    data: options.ExportData = None,
    data_split: options.DataSplit = None,
    image_root: options.ImageRoot = None,
    json: options.Json = False,
) -> None:
    """Write a detector as an artifact that runs without paretodet, and prove that it detects the same.

    Nothing is written if the proof fails. Exit status: 0 with a bundle, whose proof passed or is undecided; 1 if the
    proof fails; 2 for bad input.
    """
    from paretodet.export.proof import ParityError
    from paretodet.export.table import target_of
    from paretodet.exporting import write_bundle
    from paretodet.report.exported import bundle_lines, proof_lines

    height, width = parsing.size(size) or (None, None)
    wanted = config_fields(given) | {"height": height, "width": width, "batch": parsing.batch(batch)}
    artifact: dict[str, Any] = {"to": to, "suppression": suppression}
    artifact |= {"size": "dynamic" if size == parsing.DYNAMIC else "fixed"}
    labeled: dict[str, Any] = {"images": images, "data": data, "split": data_split, "image_root": image_root}
    try:
        with ProgressBar() as bar:
            bundle = write_bundle(name, out=out, **artifact, **labeled, on_progress=bar, notify=note, **wanted)
    except ParityError as error:
        if json:
            print_json({"out": None, "proof": asdict(error.proof)})
        note_all((*proof_lines(error.proof), f"{error.message} Nothing was written."))
        raise typer.Exit(1) from None
    if json:
        print_json({"out": str(out), **asdict(bundle.manifest)})
    else:
        for line in (*bundle_lines(bundle), *proof_lines(bundle.proof)):
            show(line)
    note_next("measure", out, trust=target_of(to).is_native)
