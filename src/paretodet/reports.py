"""What long work reports while it runs, before the first result: one line at a time, to whoever listens."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

Item = TypeVar("Item")
Listener = Callable[[str], None]
INTERVAL = 1.0  # s between two reports of a count, at least


def _nobody(line: str) -> None:
    return None


_listener: Listener = _nobody


def report(line: str) -> None:
    """Hands a line to the listener of this process."""
    _listener(line)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """`listener` gets what is reported inside."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def counted(what: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """The items; reports which one it is, and about how long the rest takes."""
    start, last = monotonic(), 0.0
    for done, item in enumerate(items):
        now = monotonic()
        if not done or now - last >= INTERVAL:
            left = f", about {(now - start) * (total - done) / done:.0f} s left" if done else ""
            report(f"{what}, {done + 1} of {total}{left}")
            last = now
        yield item
