"""Other machines as the host of a search: the search decides here, what it chose is measured there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from paretodet.errors import InputError
from paretodet.places.android import PREFIX as ADB
from paretodet.places.collect import check_names
from paretodet.places.equals import EqualMachines
from paretodet.places.fleet import JOIN_S, LOST, POLL_S
from paretodet.places.place import Fleet, Members, RemotePlace, Request
from paretodet.places.remote_host import RemoteHost
from paretodet.places.several import together
from paretodet.places.ssh import PREFIX as SSH
from paretodet.places.table import place_of
from paretodet.sweep.searching import Host


def search_place(*texts: str, python: str | None = None) -> RemotePlace | Fleet:
    """The place, or the machines, that `search --on` names. Raises InputError for those that cannot be searched."""
    for text in texts:
        if text.startswith(ADB):
            message = "--on adb: a search measures by our protocol, which benchmark_model does not follow"
            more = f"`paretodet measure BUNDLE --on {text}` measures bundles"
            raise InputError(f"{message}; {more}", "option-unsupported")
    only_ssh = any(text.startswith(SSH) for text in texts)
    return together(
        [place_of(text, python=None if only_ssh and not text.startswith(SSH) else python) for text in texts]
    )


@contextmanager
def connected(
    place: RemotePlace | Fleet, names: Sequence[str] = (), *, notify: Callable[[str], None] = lambda sentence: None
) -> Iterator[Host]:
    """The machine of a place, or the equal ones of a fleet, while connected. Bundles among `names` are copied to them.

    Raises InputError for a name that --on does not send, and for a place that cannot be reached.
    """
    check_names(names)
    request = Request(names=tuple(names))
    if isinstance(place, Fleet) and place.many:
        with EqualMachines(place, request, notify).connected() as machines:
            yield machines
    elif isinstance(place, Fleet):
        with place.connect(notify) as members, _watched(members) as why:
            if (machine := next(iter(members.places().values()), None)) is None:
                raise InputError(f"{place.name}: the machine has left the cluster", LOST)
            with machine.connect(request) as session:
                yield RemoteHost(machine.name, session, request, why)
    else:
        with place.connect(request) as session:
            yield RemoteHost(place.name, session, request, [])


@contextmanager
def _watched(members: Members) -> Iterator[list[InputError]]:
    """Looks at a cluster again and again; one that is lost is released, and the list has the reason."""
    why, ended = list[InputError](), Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            try:
                members.places()
            except InputError as error:
                why.append(error)
                members.release()
                return

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield why
    finally:
        ended.set()
        members.release()
        thread.join(JOIN_S)
