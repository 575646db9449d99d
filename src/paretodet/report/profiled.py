"""A profile as a terminal table, a chart and sentences."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from paretodet.records.profile import Profile, ProfiledLayer
from paretodet.records.roofline import COPY, rate_key
from paretodet.report.drawing import DrawingStyle, titled
from paretodet.report.formats import UNKNOWN, plain, plural, significant
from paretodet.report.theme import LIGHT

NEAR_PCT = 60.0  # from here on a lower precision helps more than another runtime
WIDTH = 720  # px of a chart
MAX_NAME = 56  # characters of a layer's name in the table
OPTIONS = 2  # that a sentence names
Execution = tuple[str, str]  # runtime, precision


def profile_table(profile: Profile, *, top: int) -> Table:
    """The slowest layers, and all others in one line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Layer", "Operator"):
        table.add_column(title, overflow="fold")
    for title in ("Time", "Share", "Work", "Floor", "Floor / time"):
        table.add_column(title, justify="right", no_wrap=True)
    shown, others = profile.layers[:top], profile.layers[top:]
    for layer in shown:
        table.add_row(_name(layer), Text(plain(layer.operator)), *_numbers(profile, [layer]))
    if others:
        table.add_row(plural(len(others), "other"), "", *_numbers(profile, others), style="dim")
    return table


def summary(profile: Profile) -> Iterator[str]:
    """The sum of the layers beside the whole call, and the floor of the network."""
    difference = profile.difference_pct
    amount = f"{abs(difference):.1f} % {'more' if difference >= 0 else 'less'}"
    whole = _ms(profile.latency_ms)
    yield f"The layers take {_ms(profile.layers_ms)} in all, {amount} than the whole call without a profiler ({whole})."
    ceilings = profile.ceilings or {}
    rate, copy = ceilings.get(rate_key(profile.precision)), ceilings.get(COPY)
    if profile.floor_ms:
        share = 100 * profile.floor_ms / profile.latency_ms
        yield (
            f"The floor of the network is {_ms(profile.floor_ms)}, {share:.0f} % of the call: this machine reaches "
            f"{significant(rate)} GFLOP/s in {profile.precision} and copies {significant(copy)} GB/s."
        )
    if profile.images not in (None, profile.batch):
        yield (
            f"A call with {plural(profile.batch, 'image')} computes {profile.images}, as many as its runs take: times, "
            "work and floors are of all of them."
        )
    if profile.disturbed:
        yield f"Times may be longer than on a quiet machine: {profile.disturbed}."


def advice(profile: Profile, others: Sequence[Execution]) -> str:
    """What takes most, how far it is from its floor, and which of `others` to try next; one sentence."""
    layers = _largest_group(profile.layers)
    pct, slowest = _floor_pct(layers), layers[0]
    times = f", {100 / pct:.1f} times its floor" if pct else ""
    return (
        f"{layers[0].operator} takes most, {profile.share_pct(layers):.0f} % of the time{times}; the slowest is "
        f"{slowest.name or 'the network'} ({profile.share_pct([slowest]):.0f} %); {_next(profile, others, pct)}."
    )


def plot_profile(profile: Profile, path: Path, *, top: int) -> None:
    """Write a PNG or SVG, by the path's suffix: a bar for each of the slowest layers, with a mark at its floor.

    Raises ImportError without the extra.
    """
    from paretodet.report import charts

    style = DrawingStyle(width=WIDTH, paint=LIGHT.__getitem__)
    bars = [
        charts.Bar(
            key=str(place),
            label=f"{layer.name or '(network)'} · {layer.operator}",
            value=layer.ms,
            text=_ms(layer.ms),
            tone="stage-1",
            note=f"{profile.share_pct([layer]):.1f} %",
            mark=layer.floor_ms,
        )
        for place, layer in enumerate(profile.layers[:top])
    ]
    about = [f"{profile.runtime}, {profile.precision}, {profile.device}, {plural(profile.threads, 'thread')}"]
    title = f"The slowest layers of {profile.name}; marks: floors"
    chart = titled(charts.bar_chart(bars, style), title=title, subtitle=about, style=style)
    (charts.save_png if path.suffix.lower() == ".png" else charts.save_svg)(chart, path)


def _name(layer: ProfiledLayer) -> Text:
    """The end of a long name tells more than its beginning."""
    name = plain(layer.name or "(network)")
    return Text(name if len(name) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}")


def _largest_group(layers: Sequence[ProfiledLayer]) -> list[ProfiledLayer]:
    """The layers of the operator that takes most, the slowest first."""
    groups: dict[str, list[ProfiledLayer]] = {}
    for layer in layers:
        groups.setdefault(layer.operator, []).append(layer)
    return max(groups.values(), key=lambda group: sum(layer.ms for layer in group))


def _next(profile: Profile, others: Sequence[Execution], pct: float | None) -> str:
    """Near the floor other precisions come first, far from it other runtimes."""
    near = pct is not None and pct >= NEAR_PCT
    wanted = [other for other in others if other[1] != profile.precision] if near else [*others]
    wanted.sort(key=lambda other: (other[0] != profile.runtime) if near else (other[1] != profile.precision))
    if not wanted:
        return "no other runtime or precision here, so a smaller input or backbone is next"
    return "to try next: " + " or ".join(_options(profile, other) for other in wanted[:OPTIONS])


def _options(profile: Profile, other: Execution) -> str:
    pairs = zip(("runtime", "precision"), other, (profile.runtime, profile.precision), strict=True)
    return " ".join(f"--{name} {wanted}" for name, wanted, now in pairs if wanted != now)


def _numbers(profile: Profile, layers: Sequence[ProfiledLayer]) -> list[str]:
    macs = [layer.macs for layer in layers if layer.macs]
    floors = [layer.floor_ms for layer in layers if layer.floor_ms]
    pct = _floor_pct(layers)
    return [
        _ms(sum(layer.ms for layer in layers)),
        f"{profile.share_pct(layers):.1f} %",
        f"{significant(2e-9 * sum(macs))} GFLOPs" if macs else UNKNOWN,
        _ms(sum(floors)) if floors else UNKNOWN,
        f"{pct:.0f} %" if pct else UNKNOWN,
    ]


def _floor_pct(layers: Sequence[ProfiledLayer]) -> float | None:
    """The share of the time that the floors explain, of the layers that have one."""
    known = [layer for layer in layers if layer.floor_ms]
    floor, time = sum(layer.floor_ms or 0.0 for layer in known), sum(layer.ms for layer in known)
    return 100 * floor / time if time else None


def _ms(value: float) -> str:
    return f"{significant(value)} ms"
