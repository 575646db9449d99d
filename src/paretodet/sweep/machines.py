"""Which machines the rows of a store are of, and the rows of one."""

from collections.abc import Sequence
from pathlib import Path

from paretodet.errors import InputError
from paretodet.frontier.values import matches
from paretodet.records.machines import Machine, choose, describe
from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.rows import Rows
from paretodet.sweep.read import complete_rows, find_row, read_rows


def machines(target: str | Path, rows: Rows) -> tuple[Machine, ...]:
    """The machines of `rows`, which are of this store or file; the one with most rows first."""
    column = rows.categories("machine")
    of_each = [rows.where(column.codes == code) for code in range(len(column.values))]
    examples = complete_rows(target, [some[len(some) - 1] for some in of_each])
    known = (
        Machine(fingerprint, describe(example.machine_facts), len(some))
        for fingerprint, example, some in zip(column.values, examples, of_each, strict=True)
    )
    return tuple(sorted(known, key=lambda machine: -machine.rows))


def of_machine(target: str | Path, rows: Rows, wanted: str | None) -> Rows:
    """The rows of the machine that `wanted` names, as `choose` reads it; all rows for None."""
    if wanted is None:
        return rows
    return rows.where(matches(rows, "machine", [choose(machines(target, rows), wanted).fingerprint]))


def same_artifact(target: str | Path, row: Measurement, wanted: str) -> Measurement:
    """The newest row of the artifact of `row` on the machine that `wanted` names, with all fields.

    Of several, the one under the most similar conditions is taken. Raises InputError if there is none.
    """
    rows = read_rows(target)
    machine = choose(machines(target, rows), wanted)
    on_it = rows.where(matches(rows, "machine", [machine.fingerprint]) & matches(rows, "artefact", [row.artefact]))
    if not row.artefact or not on_it:
        raise InputError(
            f"machine: {machine.text}: no row of {row.name} with artifact {row.artefact[:12] or 'unknown'}; measure "
            "the same files there, then `paretodet store copy` brings its rows here",
            "rows-none",
        )
    best = max(on_it, key=lambda other: (_alike(row, other), other.usable, other.at))
    return find_row(target, best.id)


def _alike(row: Measurement, other: Measurement) -> int:
    return sum(getattr(row, name) == getattr(other, name) for name in SUBJECT)


def machine_to_name(target: str | Path, rows: Sequence[Measurement]) -> str | None:
    """The machine that a question about these rows of a store has to name, because the store has rows of others too.

    None if it has none, or if these rows are of several.
    """
    these = {row.machine for row in rows}
    known = read_rows(target).categories("machine").values
    return these.pop() or None if len(these) == 1 and len(known) > 1 else None
