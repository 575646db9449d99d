"""What mkdocstrings applies to every docstring that it reads."""

from typing import Any

import griffe

from reference_pages import fenced


class Examples(griffe.Extension):  # type: ignore[misc] # a class without type information where griffe is not installed
    """Shows the examples of docstrings as code."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
