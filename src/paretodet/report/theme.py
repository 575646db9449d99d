"""The colors: CSS custom properties for the page in light and dark, plain values for image files.

The hues are those of Okabe and Ito's palette for all kinds of color vision, with two added for more families. Their
lightness gives a contrast of at least 3 to 1 with the background. Shapes carry the same information as the colors.
"""

from collections.abc import Mapping

Theme = Mapping[str, str]

LIGHT: Theme = {
    "paper": "#ffffff",
    "panel": "#f5f6f8",
    "ink": "#16191d",
    "soft": "#59616b",
    "line": "#d9dde2",
    "hair": "#eceef1",
    "accent": "#0b5cad",
    "warn": "#9a4a00",
    "ssd": "#0072b2",
    "yolo": "#d55e00",
    "retinanet": "#a6761d",
    "fcos": "#7a3b1e",
    "faster": "#00875f",
    "cascade": "#5b3fb0",
    "rfcn": "#3a9bd0",
    "mask": "#6b7a00",
    "detr": "#b0448a",
    "other": "#6e7781",
    "stage-1": "#3b6fb6",
    "stage-2": "#7ba7d9",
    "stage-3": "#e0a458",
    "stage-4": "#c4622d",
    "stage-5": "#8c6bb1",
    "stage-6": "#5b9a8b",
    "stage-7": "#9aa1a9",
    "stage-8": "#51565c",
    "backbone-1": "#a6761d",
    "backbone-2": "#0072b2",
    "backbone-3": "#3a9bd0",
    "backbone-4": "#d55e00",
    "backbone-5": "#00875f",
    "backbone-6": "#b0448a",
}
DARK: Theme = {
    "paper": "#12151a",
    "panel": "#1a1f26",
    "ink": "#e8ebef",
    "soft": "#a3acb7",
    "line": "#39414b",
    "hair": "#262c34",
    "accent": "#6cb2f5",
    "warn": "#f0a35e",
    "ssd": "#4aa8e8",
    "yolo": "#ff8a3d",
    "retinanet": "#e3b84f",
    "fcos": "#d9a58a",
    "faster": "#2fc79a",
    "cascade": "#b7a3ff",
    "rfcn": "#9bd3f2",
    "mask": "#bccb4a",
    "detr": "#e58cc4",
    "other": "#9aa3ad",
    "stage-1": "#4f86d1",
    "stage-2": "#8fb8e6",
    "stage-3": "#e9b872",
    "stage-4": "#dc7c46",
    "stage-5": "#a98bd0",
    "stage-6": "#74b8a8",
    "stage-7": "#b3bac2",
    "stage-8": "#7c848d",
    "backbone-1": "#e3b84f",
    "backbone-2": "#4aa8e8",
    "backbone-3": "#9bd3f2",
    "backbone-4": "#ff8a3d",
    "backbone-5": "#2fc79a",
    "backbone-6": "#e58cc4",
}
STAGES = tuple(tone for tone in LIGHT if tone.startswith("stage-"))


def custom_properties(theme: Theme) -> str:
    """CSS declarations: `--ink:#16191d;…`."""
    return "".join(f"--{name}:{value};" for name, value in theme.items())


def by_property(name: str) -> str:
    """A color that follows the page's theme."""
    return f"var(--{name})"
