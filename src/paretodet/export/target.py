"""What every form of an artifact has: how a detector is written in it, and which runtime executes it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np

from paretodet.config import CALIBRATED, CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.layers import Layer, Shown
from paretodet.export.open_size import SizeRange
from paretodet.export.quantizer import Quantizer
from paretodet.extras import require
from paretodet.media.calibration import CalibrationImages, calibration_images

Suppression = Literal["in", "out"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files of an artifact, by their names in its folder."""

    artifact: str  # the file that a runtime opens
    others: tuple[str, ...] = ()  # those that it finds by their names


class Target(ABC):
    """One form of an artifact."""

    name: ClassVar[str]  # the value of --to
    runtime: ClassVar[str]  # the runtime that executes it, where the user names none
    precisions: ClassVar[tuple[str, ...]]
    libraries: ClassVar[tuple[str, ...]]  # import names of what writes and runs it
    extras: ClassVar[str]  # of this package, that install them
    suppression: ClassVar[Suppression] = "in"  # whether boxes that overlap are suppressed in the artifact or out of it
    quantizer: ClassVar[Quantizer | None] = None  # of targets that have int8
    is_native: ClassVar[bool] = False  # whether loading it runs code of its author
    shows_layers: ClassVar[bool] = False  # whether it has `layers`
    takes_any_number: ClassVar[bool] = False  # of images
    takes_any_size: ClassVar[bool] = False  # of canvas, where the detector has one stage; see `write_any_size`
    meanings: ClassVar[Mapping[str, str]] = {}  # of its tensors, by name, where they are not those of a whole detector

    @property
    def form(self) -> str:
        """What runtimes call the network of such a bundle."""
        return f"{self.name}-bundle"

    def check(self, config: CandidateConfig) -> None:
        """Raises InputError for a precision that it does not have, or int8 without images to calibrate it on;
        MissingExtra for a library that is missing.
        """
        if (precision := config.precision or "fp32") not in self.precisions:
            allowed = ", ".join(self.precisions)
            raise InputError(f"precision: got {precision!r}, --to {self.name} writes {allowed}", "option-value")
        require(f"export --to {self.name}", dict.fromkeys(self.libraries, self.extras))
        if self.calibration(config) and self.quantizer:
            extras = ",".join((self.extras, *self.quantizer.extras))
            require(f"export --to {self.name} --precision int8", dict.fromkeys(self.quantizer.libraries, extras))

    def calibration(self, config: CandidateConfig) -> CalibrationImages | None:
        """The images that int8 is calibrated on; None of other precisions. Raises InputError if there are none."""
        return calibration_images(config.calibration) if config.precision == CALIBRATED else None

    def written_by(self, config: CandidateConfig) -> tuple[str, ...]:
        """The libraries that write such an artifact."""
        quantizer = self.quantizer.libraries if self.quantizer and config.precision == CALIBRATED else ()
        return tuple(dict.fromkeys((*self.libraries, *quantizer)))

    def check_any_number(self) -> None:
        """Raises InputError if its artifacts take a fixed number of images."""
        if not self.takes_any_number:
            message = f"batch: --to {self.name} writes artifacts for a fixed number of images a call; give --batch N"
            raise InputError(message, "option-value")

    @abstractmethod
    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        """Writes the artifact of a detector, for `batch` images of its canvas (None: any number) and
        `config.precision`.

        Inputs are `pixels` and `sizes`, outputs `boxes`, `scores`, `labels` and, if it predicts any, `masks`, unless
        the form states others. Raises ValueError if the detector cannot be written in this form.
        """

    def write_any_size(
        self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None, sizes: SizeRange
    ) -> Written:
        """As `write`, for any canvas of `sizes`. Raises InputError if this form takes one size."""
        raise InputError(f"size: --to {self.name} writes artifacts of one size; give --size HxW", "option-value")

    @abstractmethod
    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """Raises InputError if the artifact refers to a file that is none of `files`, or needs code of others.

        It is read without the runtime. Raises OSError if that fails.
        """

    def layers(
        self,
        path: Path,
        layers: Sequence[Layer],
        *,
        calls: Sequence[Layer],
        open_program: Callable[[Path], Any],
        feed: dict[str, np.ndarray],
    ) -> Iterator[Shown]:
        """The outputs of those of `layers` that an artifact still has.

        `calls` are all layers of the detector in the order in which it calls them. `open_program` opens a file under
        the runtime of the artifact, as a function of a feed.
        """
        return iter(())


def check_references(
    folder: Path,
    artifact: str,
    *,
    files: Sequence[str],
    references: Callable[[Path], tuple[frozenset[str], frozenset[str]]],
) -> None:
    """Raises InputError if an artifact refers to a file that is none of `files`, or needs operators of others.

    A runtime looks for them from the folder that holds the artifact. `references` takes its path and returns the
    files that it reads, and whose operators it needs beside those of its runtime; it raises InputError if the bytes
    are not of its form.
    """
    path, beside = folder / artifact, PurePosixPath(artifact).parent
    try:
        found, foreign = references(path)
    except InputError as error:
        raise InputError(f"{path}: {error.message}; export the bundle again", error.id) from None
    if outside := sorted(name for name in found if (beside / name).as_posix() not in files):
        raise InputError(f"{path}: it reads {outside[0]!r}, which is not a file of the bundle", "bundle-unsafe")
    if foreign:
        message = f"{path}: it needs operators of {min(foreign)!r}, and libraries of operators are not loaded"
        raise InputError(message, "bundle-unsafe")
