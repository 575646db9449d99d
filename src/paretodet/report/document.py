"""A self-contained HTML document from a template: styles, the only script that may run, and data as text."""

import base64
import hashlib
import json
import zlib
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from paretodet.report.theme import DARK, LIGHT, custom_properties


class Pool:
    """Texts and tuples of them for a script, each kept once: a tuple is a list of the numbers of what it holds."""

    def __init__(self) -> None:
        self._numbers = dict[object, int]()

    def add(self, value: object) -> int:
        """The number of a text, a tuple or None."""
        part = tuple(map(self.add, value)) if isinstance(value, tuple) else value
        return self._numbers.setdefault(part, len(self._numbers))

    @property
    def parts(self) -> list[object]:
        return list(self._numbers)


class Deferred:
    """Parts of a document that its script puts in place when they are first shown; until then they are compressed.

    They are repeated charts and tables, which compressed take a tenth of their size. If the document is `whole`, every
    part is in its place from the start.
    """

    def __init__(self, *, whole: bool) -> None:
        self.whole, self._parts = whole, list[Markup]()

    def part(self, markup: Markup, tag: str = "div") -> Markup:
        """The markup, or the element that the script replaces by it."""
        if self.whole:
            return markup
        self._parts.append(markup)
        return Markup(f'<{tag} class="deferred"></{tag}>')

    def packed(self) -> str:
        """The parts, in the order of their elements, as a list in JSON, compressed by zlib, in base64."""
        return base64.b64encode(zlib.compress(json.dumps(self._parts).encode())).decode()


def render(name: str, **values: object) -> str:
    """The template `NAME.html` with the script `NAME.js` and the common style sheet; values become text, not markup."""
    script = _file(f"{name}.js")
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.get_template(f"{name}.html").render(
        **values,
        script=Markup(script),
        css=Markup(_file("page.css")),
        light=Markup(custom_properties(LIGHT)),
        dark=Markup(custom_properties(DARK)),
        hash=Markup(_hash(script)),
    )


def _file(name: str) -> str:
    return resources.files("paretodet.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The source expression of a content security policy that lets only this script run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
