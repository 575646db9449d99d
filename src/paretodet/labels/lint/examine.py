"""Every check on a labeled data set: what is wrong with it, where, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretodet.labels.lint import boxes, classes, coco_fields, image_files, label_files, reader_errors
from paretodet.labels.lint.finding import LEVELS, Check, Finding, broken, run, writable
from paretodet.labels.lint.pictures import examine_pictures
from paretodet.labels.lint.sizes import sizes
from paretodet.labels.lint.subject import Subject, format_of, open_parts

CHECKS: tuple[Check, ...] = (
    *reader_errors.CHECKS,
    *image_files.CHECKS,
    *boxes.CHECKS,
    *classes.CHECKS,
    *coco_fields.CHECKS,
    *label_files.CHECKS,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """What all checks found, the gravest first."""

    subject: Subject
    findings: tuple[Finding, ...]
    decoded: bool  # whether every picture was decoded whole

    @property
    def status(self) -> int:
        """2 where something could not be examined, else 1 where there is a fault, else 0."""
        levels = {finding.level for finding in self.findings}
        return 2 if "error" in levels else int("fault" in levels)

    @cached_property
    def box_sizes(self) -> dict[str, Any]:
        """As `sizes` tells them."""
        return sizes(self.subject.parts)

    @property
    def ran(self) -> tuple[str, ...]:
        """The checks that took part."""
        return tuple(check.name for check in CHECKS if self.decoded or not check.decoded)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The checks that did not."""
        return tuple(check.name for check in CHECKS if check.name not in self.ran)

    def to_json(self) -> dict[str, Any]:
        """The whole, JSON-ready; `box_sizes` is what `report` reads."""
        subject = self.subject
        return {
            "data": writable(str(subject.path)),
            "format": subject.format,
            "status": self.status,
            "splits": [_counts(part.split, len(part.data), len(part.data.boxes)) for part in subject.parts],
            "classes": list(map(writable, subject.parts[0].data.labels)),
            "decoded": self.decoded,
            "checks": list(self.ran),
            "left_out": list(self.left_out),
            "findings": [finding.to_json() for finding in self.findings],
            "box_sizes": self.box_sizes,
        }


def examine(
    path: Path | str,
    *,
    images: Path | None = None,
    decode: bool = True,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> Examination:
    """Examine the data set at `path`, of any format that `open_dataset` knows, and every picture it names. `images` is
    the folder of COCO's pictures where it is not found.

    With `decode` off only the heads of pictures are read: no truncated file is found, and no copy of another.
    `on_picture(done, total)` is called for every picture. Raises ValueError, as `open_dataset` does, where no part can
    be read.
    """
    path = Path(path)
    parts, unread = open_parts(path, images)
    files = (file for part in parts for file in part.files)
    pictures = examine_pictures(files, decode=decode, on_picture=on_picture)
    subject = Subject(path=path, format=format_of(path), parts=tuple(parts), pictures=pictures)
    wanted = (check for check in CHECKS if decode or not check.decoded)
    found = [finding for check in wanted if (finding := run(check, subject))]
    if unread:
        found.append(broken("labels-unreadable", *unread, fix="Correct the file as the sentence says."))
    found.sort(key=lambda finding: LEVELS.index(finding.level))
    return Examination(subject=subject, findings=tuple(found), decoded=decode)


def _counts(split: str, images: int, boxes: int) -> dict[str, Any]:
    return {"split": writable(split), "images": images, "boxes": boxes}
