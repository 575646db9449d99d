"""The plan of a run, from the few options that a user sets."""

import re
from dataclasses import replace

from paretodet.bench.job import Plan
from paretodet.errors import InputError

SMALL_RUN = 12  # up to this many candidates every interval is narrowed; beyond, only those that affect the frontier
DEFAULT_SET_BUDGET = 75.0  # s after which the intervals of the default set are not narrowed further
LARGE_RUN_BUDGET = 1200.0  # s after which the intervals of a large run are not narrowed further
ANY_WIDTH = 1000.0  # percent: no interval is too wide
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def make_plan(
    count: int,
    *,
    processes: int | None = None,
    until_pct: float | None = None,
    until_answer: bool | None = None,
    patience: float | None = None,
    default_set: bool = False,
) -> Plan:
    """The default plan for `count` candidates, changed by the options that are not None.

    `until_answer` measures further processes only for rows whose membership on the frontier is undecided. It is on by
    default for more than 12 candidates unless `processes` or `until_pct` is given.
    """
    base = Plan() if patience is None else Plan(patience=patience)
    has_precision = processes is not None or until_pct is not None
    if until_answer if until_answer is not None else count > SMALL_RUN and not has_precision:
        base = replace(base, processes=2, slow_processes=2, until_pct=ANY_WIDTH, budget=LARGE_RUN_BUDGET)
    elif default_set and not has_precision:
        base = replace(base, budget=DEFAULT_SET_BUDGET)
    plan = base if until_pct is None else replace(base, until_pct=until_pct)
    if processes is None:
        return plan
    slow, maximum = min(processes, base.slow_processes), max(processes, base.max_processes)
    return replace(plan, processes=processes, slow_processes=slow, max_processes=maximum)


def parse_duration(text: str) -> float:
    """ "90", "90s", "10m" and "1.5h" -> seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match:
        raise InputError(
            f"patience: {text!r} is not a duration; write seconds (90), minutes (10m) or hours (1h)", "option-value"
        )
    return float(match[1]) * UNITS[match[2]]
