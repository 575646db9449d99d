"""`paretodet doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, opened, with_candidate_options
from paretodet.cli.output import note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.labels.lint.examine import Examination


@with_candidate_options()
def doctor(
    name: options.NameOrData,
    given: Given,
    images: options.Images = None,
    image_root: options.ImageRoot = None,
    quick: options.Quick = False,
    fix: options.Fix = None,
    json: options.Json = False,
) -> None:
    """Check that a detector keeps the rules of measuring, or find what is wrong with labeled images.

    Each finding says where it is and what to do. Exit status: 0 without faults; 1 with faults; 2 if something could
    not be checked, or for bad input.
    """
    from paretodet.diagnosis import means_data

    of_data = {"image-root": image_root, "quick": quick, "fix": fix}
    if means_data(name):
        _refuse(given | {"images": images}, f"is an option for a detector, and {name} is labeled images")
        _data(Path(name), image_root, quick, fix, json)
    else:
        _refuse(of_data, f"is an option for labeled images, and {name} is a detector")
        _candidate(name, given, images, json)


def _refuse(others: dict[str, Any], why: str) -> None:
    for option in (name for name, value in others.items() if value not in (None, False)):
        raise InputError(f"{option}: {why}; leave it out", "option-conflict")


def _candidate(name: str, given: Given, images: Path | None, json: bool) -> None:
    from paretodet.bench.synthetic_images import draw_images
    from paretodet.diagnosis import check_contract, check_line
    from paretodet.media.photographs import photographs

    candidate = opened(config(name, given))
    checks = []
    for check in check_contract(candidate, photographs(images, limit=2).images or draw_images(seed=0, count=2)):
        checks.append(check)
        if not json:
            show(check_line(check))
    if json:
        print_json([asdict(check) for check in checks])
    if any(check.broken for check in checks):
        raise typer.Exit(1)


def _data(path: Path, image_root: Path | None, quick: bool, fix: Path | None, json: bool) -> None:
    from paretodet.labels.lint.clean import check_copy
    from paretodet.labels.lint.examine import examine

    if fix:
        check_copy(path, fix, decoded=not quick)
    with ProgressBar() as bar:
        examination = examine(path, images=image_root, decode=not quick, on_image=bar.counting("images", path.name))
    if json:
        _print(examination, fix)
    else:
        _show(examination, fix, image_root)
    raise typer.Exit(examination.status)


def _print(examination: "Examination", fix: Path | None) -> None:
    """Prints the findings even if the copy cannot be written."""
    from paretodet.labels.lint.clean import write_clean

    document = examination.to_json()
    try:
        document |= {"cleaned": write_clean(examination, fix).to_json()} if fix else {}
    finally:
        print_json(document)


def _show(examination: "Examination", fix: Path | None, image_root: Path | None) -> None:
    """Shows the findings before the copy is written."""
    from paretodet.labels.lint.clean import write_clean
    from paretodet.report import examined

    show(examined.headline(examination))
    if examination.findings:
        show(examined.findings_table(examination))
    for line in (examined.summary(examination), *examined.small_boxes(examination)):
        show(line)
    done = write_clean(examination, fix) if fix else None
    for line in examined.cleaned_lines(done) if done else ():
        show(line)
    for words in examined.next_steps(examination, done, image_root):
        note_next(*words)
    note_all(filter(None, [examined.caution(examination, done)]))
