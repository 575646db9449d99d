"""The last lines of a run: the choice for three budgets, and what may still change."""

from collections.abc import Iterator, Sequence

from paretodet.frontier.dominance import SURE
from paretodet.frontier.explanation import probability_text
from paretodet.frontier.pareto import Frontier
from paretodet.frontier.participation import has_latency
from paretodet.frontier.row_labels import differing_execution, row_labels
from paretodet.frontier.suggestions import AnsweredBudget, example_budgets
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows
from paretodet.report.formats import QUANTITIES, accuracy, plural, short_reason
from paretodet.report.frontier_wording import undecided_rows


def failures(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """If no row has a latency: a sentence, then the error of every row. Empty otherwise."""
    if any(has_latency(Rows.of(rows))):
        return ()
    labels = row_labels(rows, stated=differing_execution(rows))
    return "Nothing could be measured.", *(f"{labels[row.id]}: {row.error or short_reason(row)}" for row in rows)


def reading_line(row: Measurement) -> tuple[str, ...]:
    """What the outputs of a file were taken to mean, as one sentence; empty for other rows."""
    line = row.settings.get("runtime", {}).get("layout")
    return (f"{row.name}: {line}.",) if line else ()


def proof_line(row: Measurement) -> tuple[str, ...]:
    """That the proof of a row's bundle is open, as one sentence; empty for other rows."""
    proof = str(row.settings.get("runtime", {}).get("proof", "passed"))
    return () if proof.startswith("passed") else (f"{row.name}: the proof of its bundle is {proof}.",)


def choices(rows: Sequence[Measurement], frontier: Frontier) -> Iterator[str]:
    """One line for each budget: `under 50 ms: NAME, AP 42.8, 46.1 ms, fits with probability 0.99`."""
    labels = row_labels(rows, stated=differing_execution(rows))
    for question in example_budgets(rows, frontier):
        yield _line(question, labels)


def changes(frontier: Frontier) -> Iterator[str]:
    """Which rows may or may not be on the frontier, and whether more measuring can decide it."""
    if frontier.undecided:
        members = [member.row for member in frontier.members]
        yield undecided_rows(frontier, row_labels(members, stated=differing_execution(members)))
    uncertain = [member for member in frontier.members if 1 - SURE < member.probability < SURE]
    if rounded := len([member for member in uncertain if member not in frontier.undecided]):
        known = "estimated" if any(estimate_of(member.row) for member in uncertain) else "rounded"
        yield f"More measuring cannot decide {plural(rounded, 'other row')}: AP is {known} too coarsely."


def _line(question: AnsweredBudget, labels: dict[str, str]) -> str:
    row, fits = question.answer.choice, question.answer.probability_fits
    assert row is not None and fits is not None
    about = (
        f"AP {accuracy(row)}, {QUANTITIES['latency_ms_p50'].text(row)}, fits with probability {probability_text(fits)}"
    )
    doubt = " (provisional)" if question.answer.provisional else ""
    return f"under {question.max_ms:,.10g} ms: {labels[row.id]}, {about}{doubt}"
