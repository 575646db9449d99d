"""What a label format is: one file in `formats/` that makes one `Format`, and one line in `formats/__init__.py`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from paretodet.errors import InputError
from paretodet.labels.lint.check import Check
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.model import Labels, Purpose
from paretodet.labels.splits import chosen_file
from paretodet.labels.target import ConversionTarget


class Read(Protocol):
    """The reader of a format: one split, or all there are; `images` is the folder that images' names start from."""

    def __call__(
        self, path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
    ) -> Labels:
        """Raises ValueError naming the file and what it lacks."""


Where = Callable[[str | None, int], tuple[Path, str]]  # image's name, box's number -> the box's file and place there


@dataclass(frozen=True, kw_only=True)
class Format:
    """A label format as functions of the path that a user names."""

    name: str  # in JSON
    title: str
    layout: str  # which files are needed
    suffixes: tuple[str, ...] = ()  # in lower case, of a file that a user may name
    matches: Callable[[Path], bool]  # whether labels of this format lie there
    resembles: Callable[[Path], bool] = lambda path: False  # asked where no format matches: by content, may be slow
    may_be: Callable[[Path], bool] = lambda path: False  # asked if nothing is known: a damaged file
    splits: Callable[[Path], tuple[str, ...]]
    read: Read
    file: Callable[[Path, str | None], Path]  # that a split's labels start from: one file, or the folder
    where: Callable[[Path], Where]  # of the boxes of labels that start from this file or folder
    single_files: bool = False  # a split is one file, so that of several one must be named
    takes_images: bool = False  # the images' folder can be given beside the labels
    checks: tuple[Check, ...] = ()  # of what this format alone states
    parts: Callable[[Path], tuple[str, ...]] | None = None  # splits that share no image; None: all splits
    rest: Callable[[Path, Sequence[str]], Labels | None] = lambda path, parts: None  # the images of no such split
    loose: bool = False  # an image may be in no split: those that are, are a part
    label_file: Callable[[Path, Path], Path | None] = lambda path, image: None  # the label file of one image
    texts: Callable[[LabeledSplit], Iterable[Path]] = lambda part: ()  # label files of a split besides `file`
    not_carried: Callable[[Path], str] = lambda path: ""  # what a cleaned or converted copy leaves out, in words
    caution: Callable[[Path], str] = lambda file: ""  # why COCO's definition counts wrongly on a file, in words
    write: Callable[[Sequence[LabeledSplit], ConversionTarget], None] | None = None  # None: it is only read

    def is_file_of(self, path: Path, split: str | None) -> bool:
        """Whether the labels of a split, or all if none is named, are one file, of which no other split has a part."""
        return self.single_files and (split is None or len(self.splits(self.file(path, split))) < 2)

    def check_images(self, path: Path, images: Path | None) -> None:
        """Raises ValueError if a folder of images is given and the labels state where theirs are."""
        if images and not self.takes_images:
            raise InputError(
                f"image-root: {path} states where its images are; leave --image-root out", "option-conflict"
            )


def one_file_a_split(files: Callable[[Path], dict[str, Path]], read: Callable[..., Labels]) -> dict[str, Any]:
    """The fields of a `Format` whose splits are one file each; `files` gives those of a path by their split.

    `read` takes such a file and `images`, the folder that has the images.
    """

    def file(path: Path, split: str | None) -> Path:
        return chosen_file(files(path), split, path)

    def read_split(
        path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
    ) -> Labels:
        return read(file(path, split), images=images)

    return {
        "matches": lambda path: bool(files(path)),
        "splits": lambda path: tuple(files(path)) if path.is_dir() else (),
        "read": read_split,
        "file": file,
        "single_files": True,
        "takes_images": True,
    }
