"""All kinds of places, by the beginning of what `--on` names."""

from paretodet.errors import InputError
from paretodet.places import ssh
from paretodet.places.place import RemotePlace


def place_of(text: str, *, python: str | None = None) -> RemotePlace:
    """The place that `--on` names. Raises InputError with the forms that there are for any other text."""
    if text.startswith(ssh.PREFIX):
        return ssh.SshPlace(text.removeprefix(ssh.PREFIX), **({} if python is None else {"python": python}))
    raise InputError(f"--on: {text!r} names no place; write ssh:HOST or ssh:USER@HOST", "option-value")
