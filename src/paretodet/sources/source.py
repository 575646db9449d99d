"""What every kind of name has: which names are its, which options it honors, and how it makes a network of one."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from paretodet.bench.candidate import Candidate
from paretodet.config import PERMISSIONS, CandidateConfig
from paretodet.detectors.catalogue import PublishedAP
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError
from paretodet.network import Network

TYPED = {"height": "size", "width": "size", "labels": "classes", "calibration": "calibrate"}  # options by their fields


class Source(ABC):
    """One kind of name."""

    options: ClassVar[frozenset[str]]  # fields of CandidateConfig, beside `batch` and `threads`
    form: ClassVar[str | None]  # of the networks it loads; None: it loads candidates that run themselves
    random: ClassVar[bool] = False  # whether its weights are random unless `weights` are given
    is_code: ClassVar[bool] = False  # whether its names are code that runs
    is_stored: ClassVar[bool] = False  # whether its networks have a precision of their own, unless one is asked for
    imports: ClassVar[tuple[str, ...]] = ()  # modules of its library, imported before memory is first measured

    @abstractmethod
    def owns(self, name: str) -> bool: ...

    def check(self, name: str) -> None:
        """Raises UnknownName with the nearest names, or ValueError, if no candidate can have this name."""
        return None

    def require(self) -> None:
        """Raises MissingExtra if a library that all of its names need is not installed."""
        return None

    def published(self, name: str) -> tuple[PublishedAP, ...]:
        """The published accuracy of this candidate."""
        return ()

    def resolve(self, config: CandidateConfig) -> CandidateConfig:
        """The same candidate by the name of its rows' `job`."""
        return config

    def is_random(self, name: str) -> bool:
        """Whether its weights are random unless `weights` are given."""
        return self.random

    def display_name(self, config: CandidateConfig) -> str:
        """The name of its rows."""
        return config.name

    def spec(self, config: CandidateConfig) -> DetectorSpec | None:
        """The spec of the detector of ours that it loads; None if it loads something else."""
        return None

    def check_options(self, config: CandidateConfig) -> None:
        """Raises ValueError for an option that is set and that it does not honor; permissions are for others too."""
        if unknown := sorted(config.options.keys() - self.options - PERMISSIONS):
            raise no_option(config.name, unknown[0])

    def form_of(self, config: CandidateConfig) -> str | None:
        """The form of the network that it loads of this config, as `form`."""
        return self.form

    def completed(self, config: CandidateConfig) -> CandidateConfig:
        """The config with the options of execution that its name sets, for the runtime."""
        return config

    def accuracy(self, name: str) -> dict[str, Any]:
        """The accuracy fields of a row: of what was published the first with an AP, else the first; empty without."""
        entries = self.published(name)
        if not entries:
            return {}
        shown = next((entry for entry in entries if entry.ap is not None), entries[0])
        numbers = {field: getattr(shown, field) for field in ("ap", "ap50", "mask_ap", "mask_ap50")}
        return {**numbers, "ap_split": shown.split, "ap_source": shown.source, "ap_rounding": shown.rounding}

    def accuracy_of(self, config: CandidateConfig) -> dict[str, Any]:
        """The accuracy fields of the row of a resolved config in float; empty if an option may change the accuracy."""
        return self.accuracy(config.name) if config.as_published else {}

    @abstractmethod
    def load(self, config: CandidateConfig) -> Network | Candidate:
        """Raises ValueError for an option out of range or a file that does not fit, MissingExtra for a library that is
        not installed.
        """


def no_option(name: str, field: str) -> InputError:
    """The error of an option, by its field, that the candidate of this name does not have."""
    option = TYPED.get(field, field.replace("_", "-"))
    return InputError(f"{field}: {name} has none to set; leave --{option} out", "option-unsupported")
