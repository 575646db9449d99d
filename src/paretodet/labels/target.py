"""Where labels are converted to: a new folder, what puts images there, and a count of what its format cannot hold."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path, PurePosixPath

from paretodet import writing
from paretodet.errors import InputError
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.reading import is_file


class ConversionTarget:
    """`folder` is being written. Images are symbolic links to their files, or copies if `copy`."""

    def __init__(self, folder: Path, *, copy: bool = False) -> None:
        self.folder, self._lost, self._notes = folder, Counter[str](), dict[str, None]()
        self._copy = copy

    def lose(self, what: str, count: int = 1) -> None:
        """Counts what the format cannot hold; `what` is a sentence after its number."""
        if count:
            self._lost[what] += count

    def note(self, sentence: str) -> None:
        """Says what the format cannot hold, where there is nothing to count."""
        self._notes[sentence] = None

    def note_federated(self, parts: Sequence[LabeledSplit]) -> None:
        """Of formats that cannot say which classes were looked for in an image."""
        if any(part.data.federated is not None for part in parts):
            self.note("which classes were looked for in which images is not kept: all count as looked for")

    def place(self, file: Path, name: str) -> None:
        """Puts an image at `name` of the folder. Raises InputError if the system makes no links."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_file(file):
            return self.lose("images have no file, so none is there for them")
        try:
            if self._copy:
                shutil.copyfile(file, target)
            else:
                target.symlink_to(os.path.realpath(file))
        except OSError as error:
            if self._copy:
                raise
            raise InputError(
                f"out: images cannot be linked there ({error.strerror or error}): give --copy-images",
                "output-unwritable",
            ) from None

    @property
    def losses(self) -> tuple[str, ...]:
        return (*(f"{count} {what}" for what, count in self._lost.items()), *self._notes)


class ImageNames:
    """Names of images that differ by more than their suffix and their case, and lie in one folder if `flat`."""

    def __init__(self, target: ConversionTarget, *, flat: bool) -> None:
        self._target, self._flat, self._taken = target, flat, set[str]()

    def of(self, part: LabeledSplit) -> list[str]:
        """Of all images of a split, without the folders that they have in common."""
        names = [_inside(name) for name in part.names]
        common = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
        return [self._new(os.path.relpath(name, common) if common else name, part.split) for name in names]

    def _new(self, name: str, split: str) -> str:
        stem, suffix = os.path.splitext(name.replace("/", "_") if self._flat else name)
        tries = chain((stem, f"{split}_{stem}" if self._flat else stem), (f"{stem}_{number}" for number in count(2)))
        wanted = next(each for each in tries if each.casefold() not in self._taken)
        self._taken.add(wanted.casefold())
        if wanted != stem:
            self._target.lose("images have another name, since two would have the same")
        return f"{wanted}{suffix}"


def _inside(name: str) -> str:
    """The name of a file outside of the set; else its path."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.name if path.is_absolute() or ".." in path.parts else str(path)


def check_new_folder(folder: Path, option: str, *, outside: Path) -> None:
    """Checks that `folder` is new or empty, can be written, and does not lie in the folder `outside`. Raises InputError
    naming the option.
    """
    writing.sweep(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{option}: {folder} holds something already, name a new folder", "output-exists")
    target = folder.resolve()
    if outside.is_dir() and target.is_relative_to(outside.resolve()):
        raise InputError(f"{option}: {folder} lies inside of {outside}, name a folder beside it", "output-is-input")
    writing.check_folder(next(each for each in (target, *target.parents) if each.exists()), option)
