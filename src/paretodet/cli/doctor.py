"""`paretodet doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.output import note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.data.doctor.examine import Examination


@with_candidate_options
def doctor(
    name: options.Patient,
    given: Given,
    images: options.Images = None,
    quick: options.Quick = False,
    fix: options.Fix = None,
    json: options.Json = False,
) -> None:
    """Which law of measuring a guest breaks, or what is wrong with labeled images: where, and what to do.

    Exit status 0: nothing is at fault. 1: something is. 2: something could not be examined.
    """
    from paretodet.doctor import means_data

    of_data = {"quick": quick, "fix": fix}
    if means_data(name):
        _refuse(given, f"is of a detector, and {name} is labeled images")
        _data(Path(name), images, quick, fix, json)
    else:
        _refuse(of_data, f"is of labeled images, and {name} is a detector")
        _guest(name, given, images, json)


def _refuse(others: dict[str, Any], why: str) -> None:
    for option in (name for name, value in others.items() if value not in (None, False)):
        raise ValueError(f"{option}: {why}; leave it out")


def _guest(name: str, given: Given, images: Path | None, json: bool) -> None:
    from paretodet.bench.synthetic_images import draw
    from paretodet.data.images import photographs
    from paretodet.doctor import examine, told
    from paretodet.open import open_config

    candidate = open_config(config(name, given))
    findings = []
    for finding in examine(candidate, photographs(images, limit=2).images or draw(seed=0, count=2)):
        findings.append(finding)
        if not json:
            show(told(finding))
    if json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.broken for finding in findings):
        raise typer.Exit(1)


def _data(path: Path, images: Path | None, quick: bool, fix: Path | None, json: bool) -> None:
    from paretodet.data.doctor.clean import check_copy
    from paretodet.data.doctor.examine import examine

    if fix:
        check_copy(path, fix, decoded=not quick)
    with ProgressBar() as bar:
        found = examine(path, images=images, decode=not quick, on_picture=bar.counting("pictures", path.name))
    if json:
        _print(found, fix)
    else:
        _show(found, fix, images)
    raise typer.Exit(found.status)


def _print(found: "Examination", fix: Path | None) -> None:
    """Whatever becomes of the copy."""
    from paretodet.data.doctor.clean import write_clean

    told = found.to_json()
    try:
        told |= {"cleaned": write_clean(found, fix).to_json()} if fix else {}
    finally:
        print_json(told)


def _show(found: "Examination", fix: Path | None, images: Path | None) -> None:
    """What was found stands there before the copy is begun."""
    from paretodet.data.doctor.clean import write_clean
    from paretodet.report import examined

    show(examined.headline(found))
    if found.findings:
        show(examined.findings_table(found))
    for line in (examined.summary(found), *examined.small_boxes(found)):
        show(line)
    done = write_clean(found, fix) if fix else None
    for line in examined.cleaned_lines(done) if done else ():
        show(line)
    for words in examined.next_steps(found, done, images):
        note_next(*words)
    note_all(filter(None, [examined.caution(found, done)]))
