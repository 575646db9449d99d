"""An examined data set for the terminal."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from paretodet.report.boxes import box_sizes, sentence
from paretodet.report.formats import listed, plain, plural

if TYPE_CHECKING:  # what only reads needs no torch
    from paretodet.labels.lint.clean import Cleaned
    from paretodet.labels.lint.examine import Examination
    from paretodet.labels.lint.finding import Finding, Place

SHOWN = 3  # places of a finding
FIRST = "ssd-mobilenet_v1-300"  # to begin with: no other of the catalogue computes less
CANVASES = (320, 640)  # px
STYLES = {"error": "bold red", "fault": "bold red", "warning": "yellow", "note": "dim"}


def headline(found: "Examination") -> str:
    """What was examined."""
    parts = found.subject.parts
    counts = (
        plural(sum(len(part.data) for part in parts), "image"),
        plural(sum(len(part.data.boxes) for part in parts), "box", "boxes"),
        plural(len(parts[0].data.labels), "class", "classes"),
    )
    splits = ", ".join(f"{plain(part.split)} {len(part.data):,}" for part in parts) if len(parts) > 1 else ""
    path, form = plain(str(found.subject.path)), found.form.title
    return f"{path}: {form}, {', '.join(counts)}{splits and f' ({splits})'}"


def findings_table(found: "Examination") -> Table:
    """The gravest first: how often, the first places, and what to do."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("Finding", no_wrap=True)
    table.add_column("Count", justify="right", no_wrap=True)
    table.add_column("Where, and what to do", overflow="fold")
    for finding in found.findings:
        name = Text(f"{finding.level}\n", style=STYLES[finding.level]).append(finding.check, style="default not bold")
        table.add_row(name, f"{finding.count:,}", Text("\n".join(_lines(finding, found.subject.path))))
    return table


def summary(found: "Examination") -> str:
    """How many checks ran and what they found."""
    counts = {level: sum(each.level == level for each in found.findings) for level in STYLES}
    told = listed([plural(count, level) for level, count in counts.items() if count]) or "nothing"
    blind = " Pictures were not decoded: truncated ones and copies stay unseen." if found.left_out else ""
    return f"{plural(len(found.ran), 'check')} found {told}.{blind}"


def small_boxes(found: "Examination") -> list[str]:
    """How small the boxes become on a small and a large canvas."""
    sizes = box_sizes({"data": str(found.subject.path), "box_sizes": found.box_sizes})
    return [sentence(sizes, side) for side in CANVASES] if sizes.boxes else []


def cleaned_lines(done: "Cleaned") -> Iterator[str]:
    """What was written and what was not."""
    yield f"{plain(str(done.folder))}: {plural(done.images, 'image')}, {plural(done.boxes, 'box', 'boxes')}"
    if done.cut:
        yield f"Cut at their image's border: {plural(done.cut, 'box', 'boxes')}"
    if done.not_carried:
        yield f"Not carried: {done.not_carried}."
    for each in done.left_out[:SHOWN]:
        yield f"Left out: {plain(str(each))}"
    if more := done.left_out[SHOWN:]:
        yield f"Left out: {len(more):,} more, told by --json"


def next_steps(found: "Examination", done: "Cleaned | None", images: Path | None = None) -> list[tuple[str, ...]]:
    """The commands to type now, in words; of the training any name of `paretodet list` will do. `images` is the folder
    that was given beside the labels.
    """
    path = found.subject.path if done is None else done.folder
    if found.status == 2:
        return []
    beside = ("--images", str(images)) if images and done is None else ()
    train = ("train", FIRST, "--data", str(path), *_split(found, done), *beside)
    mend = ("doctor", str(path), *beside, "--fix", str(_copy_of(path)))
    return [train] if done or found.status == 0 else [mend, train]


def _split(found: "Examination", done: "Cleaned | None") -> tuple[str, ...]:
    """Of COCO's several files the one to learn from, where training would not know which."""
    from paretodet.labels.splits import PARTS, learned, usual

    splits = [part.split for part in found.subject.parts]
    if done:
        splits = [file.stem.removeprefix("instances_") for file in done.files]
    if len(splits) < 2 or learned(splits) or not (done or found.form.single_files):
        return ()
    return "--data-split", next((name for name in splits if usual(name) not in PARTS), splits[0])


def caution(found: "Examination", done: "Cleaned | None") -> str:
    """Of a training on labels as they are; empty where nothing is to be said."""
    return "" if done or found.status != 1 else "Learned from as it is, what is at fault is left out, or misleads."


def _copy_of(path: Path) -> Path:
    """A folder for the cleaned copy: in the working folder, or beside the set where that is inside of it."""
    whole = path.resolve()
    name = f"{whole.name if path.is_dir() else whole.stem}-clean"
    near = whole.parent if Path.cwd().resolve().is_relative_to(whole) else Path()
    return next(
        each for number in count(1) if not (each := near / (name if number == 1 else f"{name}-{number}")).exists()
    )


def _lines(finding: "Finding", root: Path) -> Iterator[str]:
    for each in finding.places[:SHOWN]:
        yield plain(str(_near(each, root)))
    if finding.count > SHOWN:
        yield f"and {finding.count - SHOWN:,} more, told by --json"
    yield f"→ {finding.fix}"


def _near(place: "Place", root: Path) -> "Place":
    """Its file from the data set's folder."""
    folder = root if root.is_dir() else root.parent
    inside = place.file != folder and place.file.is_relative_to(folder)
    return place._replace(file=place.file.relative_to(folder)) if inside else place
