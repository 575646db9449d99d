"""Optional libraries, and the sentence that says how to install one."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from importlib.util import find_spec

from paretodet.errors import ErrorId, WithId

OURS = "paretodet"
NAME, EXTRA = re.compile(r"[A-Za-z0-9._-]+"), re.compile(r"""extra == ['"]([^'"]+)['"]""")  # of a line of metadata
UNKNOWN = "unknown"  # the version of a library that states none


class MissingExtra(WithId, ImportError):
    """A library that is not installed; the message holds the install command."""

    def __init__(self, message: str, id: ErrorId = "extra-missing") -> None:
        super().__init__(message, id)


def require(user: str, libraries: Mapping[str, str]) -> None:
    """Raises MissingExtra for the first of `libraries` (import name -> extra of this package) that is not installed.

    `user` is what needs it, as the sentence names it.
    """
    for library, extra in libraries.items():
        if find_spec(library) is None:
            raise MissingExtra(f"{user} needs {library}: pip install 'paretodet[{extra}]'")


def requirements() -> Iterator[tuple[str, str]]:
    """(name, extra) of the distributions that this package requires; the extra is "" for those that every install has.

    None where this package runs without being installed.
    """
    with suppress(PackageNotFoundError):
        for line in requires(OURS) or ():
            name, extra = NAME.match(line), EXTRA.search(line)
            if name and name[0] != OURS:
                yield name[0], extra[1] if extra else ""


def version_of(library: str) -> str:
    """The version of a library by its import name, UNKNOWN if nothing states one. It raises nothing.

    Several distributions may provide one library: onnxruntime-gpu is onnxruntime too.
    """
    return next((str(found) for found in _versions(library) if found), UNKNOWN)


def _versions(library: str) -> Iterator[str | None]:
    """What its own distribution states, what others do that provide it, and what the library states itself."""
    with suppress(Exception):  # metadata that is missing or damaged raises errors of many kinds
        yield version(library)
    with suppress(Exception):
        for distribution in _providers().get(library, ()):
            yield version(distribution)
    yield getattr(sys.modules.get(library), "__version__", None)


@cache
def _providers() -> Mapping[str, list[str]]:
    """The distributions that provide each import name."""
    return packages_distributions()
