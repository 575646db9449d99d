"""The published weights that are known, from `published_weights.toml` beside this file; without torch or a network."""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from paretodet import schema
from paretodet.detectors.names import parse
from paretodet.errors import InputError
from paretodet.schema import Closed, Count, Limits

MIB = 2**20
UNKNOWN_SIZE = 1024 * MIB  # what a file of unknown size may have at most

Https = Annotated[str, Limits(pattern=r"^https://[^\s]+$")]
FileName = Annotated[str, Limits(pattern=r"^[A-Za-z0-9][\w.-]*$")]
Digits = Annotated[str, Limits(pattern=r"^[0-9a-f]{8,64}$")]
Percent = Annotated[float, Limits(gt=0, lt=100)]


class Origin(Closed, kw_only=True, frozen=True):
    """Who published weights, and what holds for all of theirs."""

    title: str  # the authors' code base or site
    page: Https
    format: str  # of the files that are imported
    license: str | None = None  # of the weights, or of the code beside them, as `license_note` says
    license_note: str
    trained_on: str
    leak: str | None = None  # which images of an evaluation split the training has seen
    verified: str | None = None  # how an import was shown to be equal to the original


class WeightsAccuracy(Closed, kw_only=True, frozen=True):
    """The accuracy of these weights in one detector on one split of COCO, in percent, as printed in its source."""

    detector: str | None = None  # None: of the published program, which has no equal in the catalogue
    split: str
    ap: Percent | None = None
    ap50: Percent | None = None
    mask_ap: Percent | None = None
    rounding: Annotated[float, Limits(gt=0)] = 0.05  # half a unit of the last digit
    source: str

    def to_metadata(self) -> dict[str, Any]:
        """The accuracy of boxes in fields of WeightsMetadata."""
        return {
            "ap": self.ap, "ap50": self.ap50, "split": self.split, "source": self.source, "rounding": self.rounding,
        }  # fmt: skip


class PublishedWeights(Closed, kw_only=True, frozen=True):
    """One file of trained weights. None: not established."""

    name: str
    origin: Origin
    file: FileName  # its name in the cache folder and on a mirror
    url: Https | None = None  # None: no address serves it without a browser
    size: Count | None = None  # bytes
    size_mib: Annotated[float, Limits(gt=0)] | None = None  # rounded, where the exact size is not published
    sha256: Digits | None = None  # all 64 digits, or as many leading ones as are published
    sha256_note: str | None = None  # who states it
    member: str | None = None  # of an archive: the file to import
    detectors: tuple[str, ...] = ()  # of the catalogue that take the weights, the usual one first
    trained_on: str  # the origin's, unless stated
    accuracy: tuple[WeightsAccuracy, ...] = ()
    note: str | None = None

    @property
    def limit(self) -> int:
        """Bytes that a download may have at most."""
        if self.size is not None:
            return self.size
        return UNKNOWN_SIZE if self.size_mib is None else round(self.size_mib * MIB * 1.01)

    def accuracy_in(self, detector: str) -> WeightsAccuracy | None:
        """The first accuracy of boxes that is stated of these weights in this detector."""
        of_boxes = (each for each in self.accuracy if each.ap is not None or each.ap50 is not None)
        return next((each for each in of_boxes if each.detector == detector), None)

    def to_json(self) -> dict[str, Any]:
        """All fields, those of the origin among them."""
        own, origin = schema.plain(self), schema.plain(self.origin)
        own["origin"] = origin.pop("title")
        return own | {key: value for key, value in origin.items() if key != "trained_on"}


class _List(Closed, frozen=True):
    origins: dict[str, Origin]
    weights: list[dict[str, Any]]


@cache
def entries() -> tuple[PublishedWeights, ...]:
    """The whole list. Raises SchemaError if the file is not as `PublishedWeights` says."""
    what = "published_weights.toml"
    found = schema.convert(tomllib.loads(files(__package__).joinpath(what).read_text("utf-8")), _List, what=what)
    return tuple(_entry(fields, found.origins, f"{what}: {fields.get('name')}") for fields in found.weights)


def find(name: str) -> tuple[PublishedWeights, str | None]:
    """The weights of this name, or the only ones of a detector of this name; and the detector to import them as.

    Raises InputError with the names of all that are meant, or of all there are.
    """
    if named := next((each for each in entries() if each.name == name), None):
        return named, named.detectors[0] if named.detectors else None
    if len(fitting := of_detector(name)) == 1:
        return fitting[0], name
    if fitting:
        raise InputError(f"{name} has several: name one of {_names(fitting)}", "name-unknown")
    near = difflib.get_close_matches(name, [each.name for each in entries()], n=3, cutoff=0.3)
    known = f"the nearest are {', '.join(near)}; " if near else ""
    raise InputError(f"no published weights of {name!r} are known: {known}see `paretodet weights`", "name-unknown")


def listed(sha256: str) -> PublishedWeights | None:
    """The published file with this hash; None if none is known. Files inside of archives are not."""
    whole = (each for each in entries() if each.sha256 and not each.member)
    return next((each for each in whole if sha256.startswith(each.sha256 or "")), None)


def stated_of(sha256: str, detector: str) -> dict[str, Any]:
    """The fields of WeightsMetadata that are known of a published file with this hash in this detector."""
    if (found := listed(sha256)) is None:
        return {}
    known = found.accuracy_in(detector)
    return {"license": found.origin.license} | (known.to_metadata() if known else {})


def as_printed(numbers: Mapping[str, str | None]) -> dict[str, Any]:
    """Numbers of an accuracy by their option, and `rounding`: half a unit of the last digit that is printed of them.

    Raises InputError naming the option of a text that is no number.
    """
    read = {name: _decimal(name, text) for name, text in numbers.items() if text is not None}
    digits = max((int(number.as_tuple().exponent) for number in read.values()), default=None)
    rounding = {} if digits is None else {"rounding": 0.5 * 10.0**digits}
    return {name: float(number) for name, number in read.items()} | rounding


def _decimal(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not -9 <= int(number.as_tuple().exponent) <= 1:
        raise InputError(
            f"{name}: got {text!r}, it must be a percentage as it is printed, such as 37.0", "option-value"
        )
    return number


def of_detector(name: str) -> tuple[PublishedWeights, ...]:
    """Those that a detector of this name takes: listed for it, else for the same network on another canvas."""
    return _those_with(lambda listed: listed == name) or _those_with(lambda listed: _network(listed) == _network(name))


def _those_with(fits: Callable[[str], bool]) -> tuple[PublishedWeights, ...]:
    return tuple(each for each in entries() if any(map(fits, each.detectors)))


def _network(name: str) -> tuple[str, str | None] | str:
    try:
        part = parse(name)
    except ValueError:
        return name
    return part.architecture, part.backbone


def _names(weights: tuple[PublishedWeights, ...]) -> str:
    return ", ".join(each.name for each in weights)


def _entry(fields: dict[str, Any], origins: dict[str, Origin], what: str) -> PublishedWeights:
    if (origin := origins.get(fields.get("origin", ""))) is None:
        raise schema.SchemaError(f"{what}: its origin is not one of {', '.join(origins)}")
    complete = {"trained_on": origin.trained_on} | fields | {"origin": schema.plain(origin)}
    return schema.convert(complete, PublishedWeights, what=what)
