"""The table of docs/weights.md, from the list of published weights: `python scripts/weights_page.py` writes it."""

from collections.abc import Iterator
from pathlib import Path

from paretodet.weights.published import PublishedWeights, WeightsAccuracy, entries

PAGE = Path(__file__).resolve().parents[1] / "docs" / "weights.md"
BEGIN, END = "<!-- published weights: scripts/weights_page.py -->\n", "<!-- end -->\n"


def table() -> str:
    """A line for each set of weights, then what its origin says about license, training images and proof."""
    head = "| Weights | Detector | Size, MiB | AP / AP50 and split | Download |\n|---|---|---|---|---|\n"
    return "\n".join([head + "\n".join(map(_line, entries())), "", *_origins(), ""])


def filled(page: str) -> str:
    """The page with the table between its markers."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _line(weights: PublishedWeights) -> str:
    size = weights.size_mib if weights.size is None else weights.size / 2**20
    detectors = "<br>".join(f"`{name}`" for name in weights.detectors) or f"none: {weights.note}"
    accuracy = "<br>".join(map(_accuracy, weights.accuracy)) or "–"
    how = "`weights get`" if weights.url else f"[by hand]({weights.origin.page})"
    return f"| `{weights.name}` | {detectors} | {'–' if size is None else f'{size:.1f}'} | {accuracy} | {how} |"


def _accuracy(known: WeightsAccuracy) -> str:
    digits = 0 if known.rounding >= 0.5 else 1
    numbers = " / ".join("–" if number is None else f"{number:.{digits}f}" for number in (known.ap, known.ap50))
    canvas = f" at {known.detector.split('-')[2]}" if known.detector and known.detector.startswith("yolo_v3-") else ""
    masks = f", masks {known.mask_ap:.{digits}f}" if known.mask_ap else ""
    return f"{numbers} {known.split}{canvas}{masks}"


def _origins() -> Iterator[str]:
    yield "| Origin | Weights | License | Trained on | An import is verified by |\n|---|---|---|---|---|"
    for origin in dict.fromkeys(each.origin for each in entries()):
        names = ", ".join(f"`{each.name}`" for each in entries() if each.origin == origin)
        trained = f"{origin.trained_on}; {origin.leak}" if origin.leak else origin.trained_on
        license = f"{origin.license} ({origin.license_note})"
        yield f"| [{origin.title}]({origin.page}) | {names} | {license} | {trained} | {origin.verified or '–'} |"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
