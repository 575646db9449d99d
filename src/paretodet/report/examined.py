"""The findings of `paretodet doctor DATA` for the terminal."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from paretodet.report.boxes import box_sizes, sentence
from paretodet.report.formats import listed, plain, plural

if TYPE_CHECKING:  # reading needs no torch
    from paretodet.labels.lint.clean import Cleaned
    from paretodet.labels.lint.examine import Examination
    from paretodet.labels.lint.finding import Finding, Place

SHOWN = 3  # places of a finding
FIRST = "ssd-mobilenet_v1-300"  # the suggested first detector: a small one
CANVASES = (320, 640)  # px
STYLES = {"error": "bold red", "fault": "bold red", "warning": "yellow", "note": "dim"}


def headline(examination: "Examination") -> str:
    """Path, format, and the numbers of images, boxes and classes."""
    parts = examination.subject.parts
    counts = (
        plural(sum(len(part.data) for part in parts), "image"),
        plural(sum(len(part.data.boxes) for part in parts), "box", "boxes"),
        plural(len(parts[0].data.labels), "class", "classes"),
    )
    splits = ", ".join(f"{plain(part.split)} {len(part.data):,}" for part in parts) if len(parts) > 1 else ""
    path, form = plain(str(examination.subject.path)), examination.form.title
    return f"{path}: {form}, {', '.join(counts)}{splits and f' ({splits})'}"


def findings_table(examination: "Examination") -> Table:
    """The findings, the most severe first: how often, the first places, and what to do."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("Finding", no_wrap=True)
    table.add_column("Count", justify="right", no_wrap=True)
    table.add_column("Where, and what to do", overflow="fold")
    for finding in examination.findings:
        name = Text(f"{finding.level}\n", style=STYLES[finding.level]).append(finding.check, style="default not bold")
        table.add_row(name, f"{finding.count:,}", Text("\n".join(_lines(finding, examination.subject.path))))
    return table


def summary(examination: "Examination") -> str:
    """How many checks ran, how many findings of every level there are, and what was not checked."""
    counts = {level: sum(finding.level == level for finding in examination.findings) for level in STYLES}
    findings = listed([plural(count, level) for level, count in counts.items() if count]) or "nothing"
    skipped = (
        " Images were not decoded, so truncated files and duplicates were not checked." if examination.left_out else ""
    )
    return f"{plural(len(examination.ran), 'check')} found {findings}.{skipped}"


def small_boxes(examination: "Examination") -> list[str]:
    """The shares of small boxes on a small and on a large canvas."""
    sizes = box_sizes({"data": str(examination.subject.path), "box_sizes": examination.box_sizes})
    return [sentence(sizes, side) for side in CANVASES] if sizes.boxes else []


def cleaned_lines(done: "Cleaned") -> Iterator[str]:
    """What was written to the cleaned copy and what was left out."""
    yield f"{plain(str(done.folder))}: {plural(done.images, 'image')}, {plural(done.boxes, 'box', 'boxes')}"
    if done.cut:
        yield f"Clipped to the image: {plural(done.cut, 'box', 'boxes')}"
    if done.not_carried:
        yield f"Not copied: {done.not_carried}."
    for label in done.left_out[:SHOWN]:
        yield f"Left out: {plain(str(label))}"
    if more := done.left_out[SHOWN:]:
        yield f"Left out: {len(more):,} more, listed by --json"


def next_steps(examination: "Examination", done: "Cleaned | None", images: Path | None = None) -> list[tuple[str, ...]]:
    """The commands to run next, as lists of words; the training's detector may be any name of `paretodet list`.

    `images` is the folder given with `--image-root`. None if labels cannot be read, or if all boxes have one mistake.
    """
    path = examination.subject.path if done is None else done.folder
    if examination.status == 2 or _is_misread(examination):
        return []
    beside = ("--image-root", str(images)) if images and done is None else ()
    train = ("train", FIRST, "--data", str(path), *_split(examination, done), *beside)
    fix = ("doctor", str(path), *beside, "--fix", str(_copy_of(path)))
    return [train] if done or examination.status == 0 else [fix, train]


def _split(examination: "Examination", done: "Cleaned | None") -> tuple[str, ...]:
    """`--data-split SPLIT` if there are several splits and training cannot decide which one to train on."""
    from paretodet.labels.splits import HELD_OUT, PARTS, REST, learned, usual

    splits = [part.split for part in examination.subject.parts]
    if done:
        splits = [file.stem.removeprefix("instances_") for file in done.files]
    if len(splits) < 2 or learned(splits):
        return ()
    others = [name for name in splits if usual(name) not in (*PARTS, REST)]
    if done or examination.form.single_files:
        others = others or splits[:1]
    elif not any(usual(name) in HELD_OUT for name in splits):
        return ()
    return ("--data-split", others[0]) if others else ()


def caution(examination: "Examination", done: "Cleaned | None") -> str:
    """A warning about training on labels with faults; empty if there are none."""
    if _is_misread(examination):
        return "Write all boxes as the format does first: no copy is made, and a training would learn from wrong boxes."
    return (
        ""
        if done or examination.status != 1
        else "Training on these labels skips the faulty ones or learns from errors."
    )


def _is_misread(examination: "Examination") -> bool:
    return any(part.data.misreading for part in examination.subject.parts)


def _copy_of(path: Path) -> Path:
    """A new folder for the cleaned copy: in the working folder, or beside the data set if that contains it."""
    whole = path.resolve()
    name = f"{whole.name if path.is_dir() else whole.stem}-clean"
    parent = whole.parent if Path.cwd().resolve().is_relative_to(whole) else Path()
    folders = (parent / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in folders if not folder.exists())


def _lines(finding: "Finding", root: Path) -> Iterator[str]:
    for place in finding.places[:SHOWN]:
        yield plain(str(_relative(place, root)))
    if finding.count > SHOWN:
        yield f"and {finding.count - SHOWN:,} more, listed by --json"
    yield f"→ {finding.fix}"


def _relative(place: "Place", root: Path) -> "Place":
    """The place with its file relative to the data set's folder."""
    folder = root if root.is_dir() else root.parent
    inside = place.file != folder and place.file.is_relative_to(folder)
    return place._replace(file=place.file.relative_to(folder)) if inside else place
