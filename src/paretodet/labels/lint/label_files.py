"""Checks of what only Pascal VOC's and YOLO's folders say, and of how label files are encoded."""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from paretodet.labels.formats.voc import listed, parse
from paretodet.labels.formats.yolo import label_file
from paretodet.labels.lint.finding import Place, check
from paretodet.labels.lint.subject import REST, WHOLE, LabeledSplit, Subject, straight, xml_file
from paretodet.reading import is_file

BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@check("xml-names-another-file", "warning", "Write the picture's name into <filename>: other tools read it.")
def another_file(subject: Subject) -> Iterator[Place]:
    for part in subject.parts if subject.format == "voc" else ():
        for name in part.names:
            file = xml_file(subject.path, name)
            said = (parse(file).findtext("filename") or "").strip()
            if said and file.stem not in (said, PureWindowsPath(said).stem):
                yield Place(file, "<filename>", f"it says {said!r:.80}, the picture is {name!r}")


@check("set-line-repeated", "warning", "Remove the line.")
def line_repeated(subject: Subject) -> Iterator[Place]:
    for file in _lists(subject):
        firsts = dict[str, int]()
        for number, line in enumerate(_lines(file, subject.path), 1):
            if line and firsts.setdefault(line, number) != number:
                yield Place(file, f"line {number}", f"{line!r:.80} stands in line {firsts[line]} already")


@check("label-without-picture", "warning", "Copy the picture there, or remove the labels.")
def without_picture(subject: Subject) -> Iterator[Place]:
    for part in subject.parts[:1] if subject.format == "yolo" else ():
        known = {label_file(file) for each in subject.parts for file in each.files}
        known |= {
            label_file(straight(skip.file)) for each in subject.parts for skip in each.data.skipped if not skip.place
        }
        for folder in sorted({file.parent for file in known}):
            for file in sorted(folder.glob("*.txt")):
                if file not in known and _is_labels(file):
                    yield Place(file, "", f"no picture of {part.file.name} belongs to it")


@check("byte-order-mark", "warning", "Save the file as UTF-8 without a byte order mark: other tools stumble over it.")
def byte_order_mark(subject: Subject) -> Iterator[Place]:
    for file in dict.fromkeys(file for part in subject.parts for file in _label_files(subject, part)):
        if is_file(file) and _head(file).startswith(BOMS):
            yield Place(file, "", "it begins with a byte order mark")


def _lists(subject: Subject) -> list[Path]:
    """Pascal VOC's image sets."""
    parts = [part.split for part in subject.parts if part.split not in (WHOLE, REST)] if subject.format == "voc" else []
    return [subject.path / "ImageSets" / "Main" / f"{split}.txt" for split in parts]


def _lines(file: Path, folder: Path) -> list[str]:
    """The images' names."""
    return [listed(line, folder) for line in file.read_text("utf-8", "replace").splitlines()]


def _label_files(subject: Subject, part: LabeledSplit) -> Iterator[Path]:
    if part.file.is_file():
        yield part.file
    if subject.format == "yolo":
        yield from (label_file(file) for file in part.files)
    yield from _lists(subject)


def _is_labels(file: Path) -> bool:
    return _head(file, 64).lstrip()[:1].isdigit()


def _head(file: Path, length: int = 3) -> bytes:
    with file.open("rb") as opened:
        return opened.read(length)


CHECKS = (another_file, line_repeated, without_picture, byte_order_mark)
