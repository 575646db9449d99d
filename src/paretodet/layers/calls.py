"""Watches which modules of a network are being called."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn


@contextmanager
def watched_calls(module: nn.Module, enter: Callable[[str], Any], leave: Callable[[], Any]) -> Iterator[None]:
    """Calls `enter` with the name of every module before its forward, and `leave` after it; both are nested."""
    with ExitStack() as stack:
        for name, part in module.named_modules():
            before = part.register_forward_pre_hook(lambda *_, name=name: _nothing(enter(name)))
            after = part.register_forward_hook(lambda *_: _nothing(leave()))
            stack.callback(before.remove)
            stack.callback(after.remove)
        yield


def _nothing(result: Any) -> None:
    """What a hook returns that replaces neither inputs nor outputs."""
