"""How a run is measured, from the little that a user asks for."""

import re
from dataclasses import replace

from paretodet.bench.job import Plan

SMALL = 12  # candidates up to which every interval is narrowed; beyond it only what the answer needs
SMALL_BUDGET = 75.0  # s after which the default set's intervals are not narrowed any more
LARGE_BUDGET = 1200.0  # s after which a large set is left undecided where it is
ANY_WIDTH = 1000.0  # percent: no interval is too wide in itself
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def planned(
    count: int,
    *,
    processes: int | None = None,
    until_pct: float | None = None,
    until_answer: bool | None = None,
    patience: float | None = None,
    default_set: bool = False,
) -> Plan:
    """The bench's own plan for `count` candidates with what was asked for.

    `until_answer` spends further processes only where a place on the frontier is open; it is on for sets of more than
    12 candidates unless `processes` or `until_pct` asks for more.
    """
    own = Plan() if patience is None else Plan(patience=patience)
    asked = processes is not None or until_pct is not None
    if until_answer if until_answer is not None else count > SMALL and not asked:
        own = replace(own, processes=2, slow_processes=2, until_pct=ANY_WIDTH, budget=LARGE_BUDGET)
    elif default_set and not asked:
        own = replace(own, budget=SMALL_BUDGET)
    plan = own if until_pct is None else replace(own, until_pct=until_pct)
    if processes is None:
        return plan
    slow, most = min(processes, own.slow_processes), max(processes, own.max_processes)
    return replace(plan, processes=processes, slow_processes=slow, max_processes=most)


def seconds(text: str) -> float:
    """ "90", "90s", "10m" and "1.5h" -> seconds. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found:
        raise ValueError(f"patience: {text!r} is no time; give seconds, or minutes as 10m")
    return float(found[1]) * UNITS[found[2]]
