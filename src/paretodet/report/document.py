"""A self-contained HTML document from a template: styles, the only script that may run, and data as text."""

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from paretodet.report.theme import DARK, LIGHT, custom_properties


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
