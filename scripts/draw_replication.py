"""Draws Figures 2 to 6 and 11 of Huang et al. 2017 from trainings on a small data set, and prints its ratios.

    python scripts/draw_replication.py SCORES.jsonl ROWS.jsonl

reads the output of `scripts/replicate.py` and the rows of `paretodet measure` for one seed's weights, writes
`docs/replication-{2,3,4,5,6,11}.png` and prints the tables of `docs/replication.md`. Intervals are Student's
t-intervals over seeds; ratios are paired by seed. The axes follow the captions of the paper's figures.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from draw_huang import BACKBONES, DOCS, METAS, SHAPES, values, with_theme
from paretodet.backbones.catalogue import PUBLISHED
from paretodet.detectors.names import parse
from paretodet.records.measurement import Measurement
from paretodet.records.statistics import t_quantile
from paretodet.report.theme import LIGHT
from paretodet.sweep.read import read_rows
from vegalite import save_png

PAINT = {"SSD": LIGHT["ssd"], "Faster R-CNN": LIGHT["faster"], "R-FCN": LIGHT["yolo"]}
SIDES = ["150 px", "300 px", "600 px"]
CLASSES = {"Platelets": "platelets", "RBC": "red cells", "WBC": "white cells"}  # the smallest first
SHARED, WIDTH = "Inception V2", 0.25
TOP1 = {BACKBONES[name]: each.top1 for name, each in PUBLISHED.items() if name in BACKBONES}
Row = dict[str, Any]


class Case(NamedTuple):
    """A trained configuration, without its seed."""

    meta: str
    backbone: str
    width: float
    side: int
    stride: int | None  # None if the backbone has only one
    proposals: int | None

    @property
    def label(self) -> str:
        dense = " stride 8" if self.stride == 8 else ""
        narrow = "" if self.width == WIDTH else f" at width {self.width}"
        return f"{self.meta} {self.backbone} {self.side}{dense}{narrow}"


class Estimate(NamedTuple):
    """A mean over seeds and half the width of its interval."""

    mean: float
    half: float | None  # None for one seed

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.half is None else f" ± {self.half:.2f}")


def read(path: Path) -> dict[Case, dict[int, Row]]:
    """Scores by case and seed."""
    scores: dict[Case, dict[int, Row]] = {}
    for row in map(json.loads, path.read_text().splitlines()):
        scores.setdefault(case_of(row["name"], row["width"], row["proposals"]), {})[row["seed"]] = row
    return scores


def case_of(name: str, width: float, proposals: int | None) -> Case:
    part = parse(name)
    meta, backbone = METAS[part.architecture], BACKBONES[part.backbone or ""]
    return Case(meta, backbone, width, part.height, part.output_stride, proposals)


def times(path: str) -> dict[Case, float]:
    """The median latency in ms, by case."""
    rows = [row for row in read_rows(path) if row.name.split("-")[0] in METAS]
    return {of_row(row): row.latency_ms_p50 for row in rows if row.latency_ms_p50 is not None}


def of_row(row: Measurement) -> Case:
    name, _, width = row.name.partition(" at width ")
    return case_of(name, float(width or 1), row.proposals)


def estimate(numbers: Sequence[float]) -> Estimate:
    if len(numbers) < 2:
        return Estimate(numbers[0], None)
    return Estimate(fmean(numbers), t_quantile(len(numbers) - 1) * stdev(numbers) / len(numbers) ** 0.5)


def by_seed(rows: dict[int, Row], field: str) -> list[float]:
    return [pick(rows[seed], field) for seed in sorted(rows)]


def pick(row: Row, field: str) -> float:
    """A score: "ap", or "RBC/ap" for the AP of a class."""
    name, _, inner = field.partition("/")
    return float(row["classes"][name][inner] if inner else row[name])


def ratio(above: dict[int, Row], below: dict[int, Row], field: str = "ap") -> Estimate | None:
    """The mean ratio, paired by seed; None if a denominator is 0."""
    pairs = [(pick(above[seed], field), pick(below[seed], field)) for seed in sorted(above.keys() & below.keys())]
    return estimate([a / b for a, b in pairs]) if all(b for _, b in pairs) else None


def whole(scores: Iterable[Case]) -> list[Case]:
    """The cases with the paper's 300 proposals (if any) on the backbone that all three meta-architectures have."""
    return [case for case in scores if case.proposals in (None, 300) and case.backbone == SHARED]


def extractors(scores: Iterable[Case]) -> list[Case]:
    """The meta-architectures that were trained on all backbones, at 300 px, one width and the larger stride."""
    cases = [case for case in scores if (case.side, case.width) == (300, WIDTH) and case.stride != 8]
    cases = [case for case in cases if case.proposals in (None, 300)]
    trained = Counter(case.meta for case in cases)
    return sorted(case for case in cases if trained[case.meta] == len(TOP1))


def flat(case: Case, **more: Any) -> Row:
    return case._asdict() | {"label": case.label, "size": f"{case.side} px"} | more


def spread(case: Case, rows: dict[int, Row], field: str, **more: Any) -> Row:
    numbers = by_seed(rows, field)
    return flat(case, ap=fmean(numbers), low=min(numbers), high=max(numbers), **more)


def figure_2(scores: dict[Case, dict[int, Row]], clock: dict[Case, float]) -> alt.LayerChart:
    """Accuracy against time."""
    points = [spread(case, rows, "ap", ms=clock[case]) for case, rows in scores.items() if case in clock]
    base = alt.Chart(values(points)).encode(
        x=alt.X("ms:Q", title="CPU time per image, ms").scale(type="log", nice=False, padding=24),
        color=meta_color(points),
    )
    ap = alt.Y("ap:Q", title="AP, mean and range of the seeds").scale(zero=False)
    shape = alt.Shape("meta:N", title=None).scale(domain=list(METAS.values()), range=list(SHAPES))
    size = alt.Size("size:N", title=None).scale(domain=SIDES, range=[40, 100, 220])
    return alt.layer(
        base.mark_rule(opacity=0.6).encode(y=alt.Y("low:Q", title="AP, mean and range of the seeds"), y2="high:Q"),
        base.mark_point(filled=True, opacity=0.9).encode(y=ap, shape=shape, size=size),
    ).properties(width=560, height=380)


def figure_3(scores: dict[Case, dict[int, Row]], _: Any) -> alt.LayerChart:
    """Accuracy against the ImageNet accuracy of the backbone, 300 px."""
    points = [spread(case, scores[case], "ap", top1=TOP1[case.backbone]) for case in extractors(scores)]
    best = {row["top1"]: max(other["high"] for other in points if other["top1"] == row["top1"]) for row in points}
    names = [{"top1": TOP1[name], "high": best[TOP1[name]], "name": name} for name in TOP1]
    x = alt.X("top1:Q", title="Published ImageNet top-1 accuracy of the backbone, %").scale(zero=False, padding=40)
    ap = "AP, mean and range of the seeds"
    base = alt.Chart(values(points)).encode(x=x, color=meta_color(points))
    labels = alt.Chart(values(names)).mark_text(dy=-12, color=LIGHT["soft"])
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", title=ap), y2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(y=alt.Y("ap:Q", title=ap)),
        labels.encode(x=x, y=alt.Y("high:Q", title=ap), text="name:N"),
    ).properties(width=560, height=320)


def figure_4(scores: dict[Case, dict[int, Row]], _: Any) -> alt.LayerChart:
    """Accuracy by object size, 300 px; in these images, every class has one size."""
    points = [
        spread(case, scores[case], f"{key}/ap", klass=name)
        for case in whole(scores)
        for key, name in CLASSES.items()
        if case.side == 300
    ]
    base = alt.Chart(values(points)).encode(
        x=alt.X("klass:N", title=None, sort=list(CLASSES.values())).axis(labelAngle=0),
        xOffset=alt.XOffset("meta:N", sort=list(PAINT)).scale(paddingOuter=2),
        color=meta_color(points),
    )
    return alt.layer(
        base.mark_line(strokeWidth=2).encode(y="ap:Q"),
        base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=60).encode(y=alt.Y("ap:Q", title="AP, mean and range of the seeds")),
    ).properties(width=420, height=320)


def figure_5(scores: dict[Case, dict[int, Row]], _: Any) -> alt.LayerChart:
    """AP of small objects against AP of large objects, at 150, 300 and 600 px."""
    small, large = "RBC/ap", "WBC/ap"
    points = [
        flat(case, x=fmean(by_seed(scores[case], large)), y=fmean(by_seed(scores[case], small)))
        for case in sorted(whole(scores))
        if case.meta == "SSD"
    ]
    base = alt.Chart(values(points)).encode(
        x=alt.X("x:Q", title="AP of white cells, the large objects").scale(zero=False, padding=24),
        y=alt.Y("y:Q", title="AP of red cells, half as large").scale(zero=True, nice=True),
        color=meta_color(points),
    )
    return alt.layer(
        base.mark_line(opacity=0.5).encode(order="side:Q"),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            shape=alt.Shape("size:N", title=None).scale(domain=SIDES, range=["triangle-up", "circle", "square"])
        ),
    ).properties(width=420, height=320)


def figure_6(scores: dict[Case, dict[int, Row]], clock: dict[Case, float]) -> alt.VConcatChart:
    """Accuracy and time against the number of proposals, 300 px."""
    swept = [case for case in sorted(scores) if case.proposals and case.backbone == SHARED]
    points = [spread(case, scores[case], "ap", ms=clock[case]) for case in swept if case in clock]
    base = alt.Chart(values(points)).encode(
        x=alt.X("proposals:Q", title="Proposals").scale(type="log", domain=[9, 330]).axis(values=[10, 50, 100, 300]),
        color=meta_color(points),
    )
    point = alt.OverlayMarkDef(filled=True, size=60)
    accuracy = alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(point=point).encode(y=alt.Y("ap:Q", title="AP, mean and range").scale(zero=False)),
    )
    cost = base.mark_line(point=point, strokeDash=[3, 3]).encode(y=alt.Y("ms:Q", title="CPU time per image, ms"))
    size = {"width": 420, "height": 190}
    return alt.vconcat(accuracy.properties(**size), cost.properties(**size))


def figure_11(scores: dict[Case, dict[int, Row]], _: Any) -> alt.LayerChart:
    """AP50 and AP75 against AP for every training and number of proposals, with regression lines."""
    names = {"ap50": "AP50", "ap75": "AP75"}
    points = [
        {"ap": row["ap"], "other": row[field], "which": name}
        for rows in scores.values()
        for row in rows.values()
        for field, name in names.items()
    ]
    paint = alt.Color("which:N", title=None).scale(domain=list(names.values()), range=[LIGHT["faster"], LIGHT["yolo"]])
    base = alt.Chart(values(points)).encode(
        x=alt.X("ap:Q", title="AP"), y=alt.Y("other:Q", title="AP50, AP75"), color=paint
    )
    return alt.layer(
        base.mark_circle(size=40, opacity=0.6),
        base.transform_regression("ap", "other", groupby=["which"]).mark_line(strokeWidth=1.5),
    ).properties(width=420, height=320)


def meta_color(rows: Sequence[Row]) -> alt.Color:
    present = [meta for meta in PAINT if any(row["meta"] == meta for row in rows)]
    return alt.Color("meta:N", title=None).scale(domain=present, range=[PAINT[meta] for meta in present])


def straight(scores: dict[Case, dict[int, Row]], field: str) -> str:
    """The regression line of `field` on AP, and the share of variance that it explains."""
    rows = [row for seeds in scores.values() for row in seeds.values()]
    x, y = (np.array([row[name] for row in rows]) for name in ("ap", field))
    slope, offset = np.polyfit(x, y, 1)
    return f"{slope:.2f} AP {offset:+.1f}, R² {np.corrcoef(x, y)[0, 1] ** 2:.2f} of {len(rows)}"


def followed(scores: dict[Case, dict[int, Row]], meta: str) -> str:
    """Pearson's correlation of AP with the backbone's top-1 accuracy: mean over seeds, and of the mean AP."""
    cases = [case for case in extractors(scores) if case.meta == meta]
    top1 = [TOP1[case.backbone] for case in cases]
    seeds = list(zip(*(by_seed(scores[case], "ap") for case in cases), strict=True))
    seed_r = estimate([float(np.corrcoef(top1, ap)[0, 1]) for ap in seeds])
    mean = np.corrcoef(top1, np.mean(seeds, axis=0))[0, 1]
    return f"{meta}, AP and top-1 of the backbone: r {seed_r} by seed, {mean:.2f} for the mean AP"


def findings(scores: dict[Case, dict[int, Row]], clock: dict[Case, float]) -> str:
    """The ratios of AP and time between cases that differ in one setting, in Markdown."""
    lines = ["| Ratio | AP | AP of red cells | AP of white cells | Time |", "|---|---|---|---|---|"]
    for title, above, below in pairs(scores):
        fields = ("ap", "RBC/ap", "WBC/ap")
        shown = [str(ratio(scores[above], scores[below], field) or "") for field in fields]
        known = above in clock and below in clock
        shown.append(f"{clock[above] / clock[below]:.2f}" if known else "")
        lines.append(f"| {title} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def pairs(scores: dict[Case, dict[int, Row]]) -> list[tuple[str, Case, Case]]:
    """Pairs of cases that differ in one setting, with its name."""
    pairs_: list[tuple[str, Case, Case]] = []

    def add(cases: Iterable[Case], other: Callable[[Case], Case], title: str) -> None:
        pairs_.extend((f"{title}, {case.label}", case, other(case)) for case in cases if other(case) in scores)

    for side in (300, 150):
        half = (c for c in whole(scores) if c.side == side)
        add(half, lambda c: c._replace(side=2 * c.side), f"{side} over {2 * side} px")
    coarse = (c for c in sorted(scores) if c.stride == 16)
    add(coarse, lambda c: c._replace(stride=8), "stride 16 over 8")
    for count in (10, 50, 100):
        swept = (c for c in sorted(scores) if c.proposals == count)
        add(swept, lambda c: c._replace(proposals=300), f"{count} over 300 proposals")
    return pairs_


def table(scores: dict[Case, dict[int, Row]], clock: dict[Case, float]) -> str:
    """Every case, in Markdown."""
    fields = ("ap", "ap50", "ap75", *(f"{key}/ap" for key in CLASSES))
    lines = [
        "| Model | Proposals | AP | AP50 | AP75 | " + " | ".join(CLASSES.values()) + " | ms |",
        "|" + "---|" * (6 + len(CLASSES)),
    ]
    for case in sorted(scores, key=lambda c: (list(METAS.values()).index(c.meta), c)):
        ms = f"{clock[case]:.1f}" if case in clock else ""
        numbers = [str(estimate(by_seed(scores[case], field))) for field in fields]
        lines.append(f"| {case.label} | {case.proposals or ''} | " + " | ".join(numbers) + f" | {ms} |")
    return "\n".join(lines)


def main() -> None:
    scores, clock = read(Path(sys.argv[1])), times(sys.argv[2])
    figures: tuple[tuple[int, Callable[[Any, Any], alt.Chart], str], ...] = (
        (2, figure_2, "Figure 2: accuracy and time"),
        (3, figure_3, "Figure 3: accuracy of the detector and of its backbone, 300 px"),
        (4, figure_4, "Figure 4: accuracy by object size, 300 px"),
        (5, figure_5, "Figure 5: resolution and object size"),
        (6, figure_6, "Figure 6: the number of proposals, 300 px"),
        (11, figure_11, "Figure 11: AP50 and AP75 against AP"),
    )
    for number, draw, title in figures:
        save_png(with_theme(draw(scores, clock), title), DOCS / f"replication-{number}.png")
    print(findings(scores, clock), table(scores, clock), sep="\n\n")
    print(*(followed(scores, meta) for meta in dict.fromkeys(case.meta for case in extractors(scores))), sep="\n")
    print(*(f"{name}: {straight(scores, name)}" for name in ("ap50", "ap75")), sep="\n")


if __name__ == "__main__":
    main()
