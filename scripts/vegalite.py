"""Writes Vega-Lite specifications (from Altair) as PNG files, for the scripts that redraw published figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from paretodet.report.theme import LIGHT

VERSION = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def save_png(spec: dict[str, Any], path: Path, *, scale: float = 1.5) -> None:
    path.write_bytes(vl_convert.vegalite_to_png(spec, vl_version=VERSION, scale=scale))


def titled(spec: dict[str, Any], *, title: str, subtitle: Sequence[str]) -> dict[str, Any]:
    """The chart with a background, a title and subtitle lines."""
    heading = {
        "text": title, "subtitle": list(subtitle), "anchor": "start", "frame": "bounds", "offset": 16,
        "fontSize": 18, "fontWeight": 600, "color": LIGHT["ink"],
        "subtitleFontSize": 12, "subtitlePadding": 6, "subtitleColor": LIGHT["soft"],
    }  # fmt: skip
    return spec | {"title": heading, "background": LIGHT["paper"], "padding": 20}
