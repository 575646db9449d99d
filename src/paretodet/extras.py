"""Optional libraries, and the sentence that says how to install one."""

from collections.abc import Mapping
from importlib.util import find_spec

from paretodet.errors import ErrorId, WithId


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
