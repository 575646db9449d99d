"""How a run ends: the choice for three budgets, and what would change it."""

from collections.abc import Iterator, Sequence

from paretodet.frontier.explanation import probability_text
from paretodet.frontier.pareto import SURE, Frontier
from paretodet.frontier.participation import has_latency
from paretodet.frontier.row_labels import row_labels
from paretodet.frontier.suggestions import AnsweredBudget, example_budgets
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows
from paretodet.report.formats import QUANTITIES, accuracy, listed, plural, probability, short_reason


def failures(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """Where every candidate failed: that, and the error of each. Empty where any has a time."""
    if any(has_latency(Rows.of(rows))):
        return ()
    return "Nothing could be measured.", *(f"{row.name}: {row.error or short_reason(row)}" for row in rows)


def choices(rows: Sequence[Measurement], found: Frontier) -> Iterator[str]:
    """`under 50 ms: NAME, AP 42.8, 46.1 ms, fits with probability 0.99`, a line a budget."""
    labels = row_labels(rows)
    for asked in example_budgets(rows, found):
        yield _line(asked, labels)


def changes(found: Frontier) -> Iterator[str]:
    """What would change the choice: the memberships that are not decided."""
    if found.undecided:
        labels = row_labels([member.row for member in found.members])
        open_ = [f"{labels[each.row.id]} ({probability(each.probability)})" for each in found.undecided]
        yield f"Undecided is whether {listed(open_)} {'is' if len(open_) == 1 else 'are'} on the frontier."
    others = [each for each in found.members if 1 - SURE < each.probability < SURE and each not in found.undecided]
    if others:
        yield f"{plural(len(others), 'membership')} of the frontier stay open for the rounding of AP, not for time."


def _line(asked: AnsweredBudget, labels: dict[str, str]) -> str:
    row, fits = asked.answer.choice, asked.answer.probability_fits
    assert row is not None and fits is not None
    about = (
        f"AP {accuracy(row)}, {QUANTITIES['latency_ms_p50'].text(row)}, fits with probability {probability_text(fits)}"
    )
    doubt = " (provisional)" if asked.answer.provisional else ""
    return f"under {asked.max_ms:,.10g} ms: {labels[row.id]}, {about}{doubt}"
