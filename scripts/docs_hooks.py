"""What mkdocs calls while it builds the site: generated reference pages, and the rows that pages link to."""

import re
from pathlib import Path
from typing import Any

import reference_pages

RESULTS = Path(__file__).resolve().parents[1] / "results"
MARKERS = {
    "<!-- commands -->": reference_pages.commands,
    "<!-- public names -->": reference_pages.public_names,
    "<!-- error ids -->": reference_pages.error_ids,
    "<!-- fields -->": reference_pages.fields,
}
OUTSIDE = re.compile(r"\]\(\.\./((?:\.\./)*results/)")


def on_files(files: Any, config: Any) -> Any:
    """Takes the measured rows, which lie outside of docs/, into the site."""
    from mkdocs.structure.files import File

    for path in sorted(RESULTS.glob("*.jsonl")):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fills in the generated parts; links to results/ lead to the copies inside the site."""
    for marker, made in MARKERS.items():
        if marker in markdown:
            markdown = markdown.replace(marker, made())
    return OUTSIDE.sub(r"](\1", markdown)
