"""Every check on a labeled data set: what is wrong with it, where, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretodet.labels.format import Format
from paretodet.labels.formats import FORMATS
from paretodet.labels.lint import boxes, classes, image_files, label_files, reader_errors
from paretodet.labels.lint.check import Check, run
from paretodet.labels.lint.finding import LEVELS, Finding, broken, writable
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.lint.scan import scan_images
from paretodet.labels.lint.sizes import sizes
from paretodet.labels.lint.subject import Subject
from paretodet.labels.read import format_of

GENERAL: tuple[Check, ...] = (
    *reader_errors.CHECKS,
    *image_files.CHECKS,
    *boxes.CHECKS,
    *classes.CHECKS,
    *label_files.CHECKS,
)
CHECKS = (*GENERAL, *dict.fromkeys(check for form in FORMATS for check in form.checks))


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """What the checks report, the most severe first."""

    subject: Subject
    form: Format
    findings: tuple[Finding, ...]
    decoded: bool  # whether the pixels of every image were decoded

    @property
    def status(self) -> int:
        """2 if something could not be examined, else 1 if there is a fault, else 0."""
        levels = {finding.level for finding in self.findings}
        return 2 if "error" in levels else int("fault" in levels)

    @cached_property
    def box_sizes(self) -> dict[str, Any]:
        """As `sizes` gives them."""
        return sizes(self.subject.parts)

    @property
    def ran(self) -> tuple[str, ...]:
        """The checks that were run."""
        return tuple(check.name for check in _checks(self.form) if self.decoded or not check.decoded)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The checks that were not, as they need every image's pixels."""
        return tuple(check.name for check in _checks(self.form) if check.name not in self.ran)

    def to_json(self) -> dict[str, Any]:
        """The whole, JSON-ready; `box_sizes` is what `report` reads."""
        subject = self.subject
        return {
            "data": writable(str(subject.path)),
            "format": self.form.name,
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
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Examination:
    """Examine the data set at `path`, in any format that `read_labels` supports, and every image it names. `images` is
    the images' folder, if it is not near the labels.

    With `decode` off only the headers of images are read: truncated files and copies are not noticed.
    `on_image(done, total)` is called for every image. Raises ValueError, as `read_labels` does, if no split can be
    read.
    """
    path = Path(path)
    form = format_of(path)
    form.check_images(path, images)
    parts, unread = open_parts(path, form, images)
    files = (file for part in parts for file in part.files)
    scanned = scan_images(files, decode=decode, on_image=on_image)
    subject = Subject(
        path=path,
        parts=tuple(parts),
        images=scanned,
        label_file=lambda image: form.label_file(path, image),
        texts=form.texts,
        unread=frozenset(place.place for place in unread),
    )
    wanted = (check for check in _checks(form) if decode or not check.decoded)
    found = {check: finding for check in wanted if (finding := run(check, subject))}
    hidden = {name for check in found for name in check.hides}
    findings = [finding for check, finding in found.items() if check.name not in hidden]
    if unread:
        findings.append(broken("labels-unreadable", *unread, fix="Correct the file as the message states."))
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Examination(subject=subject, form=form, findings=tuple(findings), decoded=decode)


def _checks(form: Format) -> tuple[Check, ...]:
    return (*GENERAL, *form.checks)


def _counts(split: str, images: int, boxes: int) -> dict[str, Any]:
    return {"split": writable(split), "images": images, "boxes": boxes}
