"""The kind of app that all commands belong to."""

from collections.abc import Callable
from typing import Any

from typer import Typer
from typer.core import TyperCommand, TyperOption


class _Command(TyperCommand):
    """Refuses an option that is given more than once but takes one value: all values but the last would be lost."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in {id(one): one for one in given if isinstance(one, TyperOption)}.values():
            values = sum(one is option for one in given)
            if values > 1 and not (option.multiple or option.is_flag or option.count):
                ctx.fail(f"{option.opts[0]} is given {values} times; give it once (several values of a list: a,b)")
        return super().parse_args(ctx, args)


class App(Typer):
    """A Typer app whose commands refuse options that are repeated in vain."""

    def command(self, *args: Any, **settings: Any) -> Callable[..., Any]:
        return super().command(*args, **{"cls": _Command, **settings})
