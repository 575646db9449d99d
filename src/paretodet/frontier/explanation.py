"""A recommendation in sentences."""

from collections.abc import Callable, Iterator, Sequence

from paretodet.frontier.budget import Breach, Budget, NextStep, Recommendation
from paretodet.frontier.probability import MAXIMUM
from paretodet.frontier.ranked import RankedRows
from paretodet.frontier.values import amount, noun, rounded_limit, value
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import GAINS, Measurement

CERTAIN = 0.99  # a probability below this is stated
POSSIBLE = 0.05  # from here on, the sentences mention that a row whose point does not fit may fit
SAFE = 0.975  # the probability of a limit at the unfavorable end of a 95 % interval


def explain(recommendation: Recommendation, budget: Budget, rows: RankedRows, *, fitting: int) -> Iterator[str]:
    """Sentences: the choice and its probability, the runners-up, and what a little more budget would buy.

    `fitting` is the number of rows that fit.
    """

    def with_goal(row: Measurement) -> str:
        return f"{rows.label(row)} ({_goal_text(row, budget.goal)})"

    if recommendation.choice:
        best = f"the {'highest' if budget.goal in GAINS else 'lowest'} {noun(budget.goal)} of the {fitting} rows"
        what = "is the only row" if fitting == 1 else f"has {best}"
        fits = "fits" if fitting == 1 else "fit"
        yield (f"{with_goal(recommendation.choice)} {what} (of {len(rows.rows)}) that {fits}: {limits_text(budget)}.")
        yield from _uncertainty(recommendation, budget, with_goal)
        if recommendation.runners_up:
            yield f"Next best: {', '.join(map(with_goal, recommendation.runners_up))}."
        step = recommendation.next
        yield _next_sentence(rows.label(step.row), step) if step else "No measured row is better."
    elif recommendation.relaxation:
        nearest = recommendation.relaxation
        yield f"No row (of {len(rows.rows)}) fits: {limits_text(budget)}."
        yield f"The nearest is {with_goal(nearest.row)}; it needs {_needs(nearest.breaches)}."
        if nearest.probability >= POSSIBLE:
            probability = probability_text(nearest.probability)
            yield f"It may still fit, with probability {probability}, because its intervals are wide."
    else:
        yield "There is no row to choose from."


def limits_text(budget: Budget) -> str:
    """The budget's limits in words."""
    limits = [
        f"{noun(name)} at {'most' if kind == MAXIMUM else 'least'} {amount(name, limit)}"
        for name, kind, limit in budget.limits
    ]
    return (" and ".join(limits) or "no limit") + (", at 95 % confidence" if budget.confident else "")


def probability_text(probability: float) -> str:
    """Two decimals; "1.00" and "0.00" are not used for what is only nearly certain."""
    if probability < 0.005:
        return "below 0.01"
    return f"{probability:.2f}" if probability < 0.995 else "over 0.99" if probability < 1 else "1.00"


def _uncertainty(
    recommendation: Recommendation, budget: Budget, with_goal: Callable[[Measurement], str]
) -> Iterator[str]:
    fits, best = recommendation.probability_fits or 0.0, recommendation.probability_best or 0.0
    meets = "meets the limit" if len(budget.limits) == 1 else "meets the limits"
    if fits < CERTAIN:
        yield f"It {meets} with probability {probability_text(fits)}."
        yield f"It is the best row that does so with probability {probability_text(best)}."
    elif best < CERTAIN and not budget.confident:
        yield f"It is the best with probability {probability_text(best)}."
    if fits >= SAFE or recommendation.choice == recommendation.safe:
        return
    if recommendation.safe:
        yield f"The safe choice is {with_goal(recommendation.safe)}: its whole interval {meets}."
    else:
        yield f"There is no safe choice: no row's whole interval {meets}."


def _goal_text(row: Measurement, goal: str) -> str:
    number = value(row, goal)
    assert number is not None
    kind = "estimated " if goal == "ap" and estimate_of(row) else ""
    return f"{kind}{noun(goal)} {amount(goal, number.point)}"


def _next_sentence(label: str, step: NextStep) -> str:
    change = ", ".join(f"{noun(name)} {'+' if by > 0 else ''}{amount(name, by)}" for name, by in step.change.items())
    return f"The next better row is {label} ({change}); it needs {_needs(step.breaches)}."


def _needs(breaches: Sequence[Breach]) -> str:
    """All limits that have to move, each to an amount that is enough."""
    return " and ".join(map(_need, breaches))


def _need(breach: Breach) -> str:
    above = breach.kind == MAXIMUM
    needed = rounded_limit(breach.field, breach.needed, upwards=above)
    by = amount(breach.field, abs(needed - breach.limit))
    return f"{noun(breach.field)} {amount(breach.field, needed)}, {by} {'above' if above else 'below'} the limit"
