"""A recommendation in sentences."""

from collections.abc import Callable, Iterator

from paretodet.frontier.budget import Breach, Budget, NextStep, Recommendation
from paretodet.frontier.chances import MAXIMUM
from paretodet.frontier.ranked import Ranked
from paretodet.frontier.values import GAINS, amount, noun, value
from paretodet.records.measurement import Measurement

DOUBTED = 0.99  # below it a probability is said
POSSIBLE = 0.05  # from here on a row that does not fit by its middle may fit
KEPT = 0.975  # that of an interval whose unfavorable end keeps the limit


def sentences(found: Recommendation, budget: Budget, sheet: Ranked, *, fitting: int) -> Iterator[str]:
    """What is chosen and how sure that is, what stands beside it, what a little more would buy, what is undecided."""

    def with_goal(row: Measurement) -> str:
        return f"{sheet.called(row)} ({_worth(row, budget.goal)})"

    if found.choice:
        most = "most" if budget.goal in GAINS else "least"
        chosen = f"{with_goal(found.choice)} has the {most} {noun(budget.goal)}"
        yield f"{chosen} of the {fitting} rows (of {len(sheet.rows)}) that fit: {asked(budget)}."
        yield from _doubts(found, budget, with_goal)
        if found.runners_up:
            yield f"Next best: {', '.join(map(with_goal, found.runners_up))}."
        yield (
            _next_sentence(sheet.called(found.next.row), found.next, found.binding)
            if found.next and found.binding
            else "Nothing measured is better."
        )
    elif found.relaxation:
        moves = " and ".join(map(_move, found.relaxation.breaches))
        yield f"None of {len(sheet.rows)} rows fits: {asked(budget)}."
        yield f"The nearest is {with_goal(found.relaxation.row)}, stopped by {moves}."
        if found.relaxation.probability >= POSSIBLE:
            yield f"That it fits all the same has probability {share(found.relaxation.probability)}."
    else:
        yield "There is no row to choose from."


def asked(budget: Budget) -> str:
    """The budget's limits in words."""
    limits = [
        f"{noun(name)} at {'most' if kind == MAXIMUM else 'least'} {amount(name, limit)}"
        for name, kind, limit in budget.limits
    ]
    return (" and ".join(limits) or "no limit") + (", at 95 % confidence" if budget.confident else "")


def share(probability: float) -> str:
    """Two decimals; neither what is nearly sure nor what is hardly ever so is called certain."""
    if probability < 0.005:
        return "below 0.01"
    return f"{probability:.2f}" if probability < 0.995 else "over 0.99" if probability < 1 else "1.00"


def _doubts(found: Recommendation, budget: Budget, with_goal: Callable[[Measurement], str]) -> Iterator[str]:
    fits, best = found.probability_fits or 0.0, found.probability_best or 0.0
    meets = "meets the limit" if len(budget.limits) == 1 else "meets the limits"
    if fits < DOUBTED:
        yield f"It {meets} with probability {share(fits)}, and is the best of those that do with {share(best)}."
    elif best < DOUBTED and not budget.confident:
        yield f"It is the best with probability {share(best)}."
    if fits >= KEPT or found.choice == found.safe:
        return
    if found.safe:
        yield f"The safe choice is {with_goal(found.safe)}: all of its interval {meets}."
    else:
        yield f"There is no safe choice: no row {meets} with all of its interval."


def _worth(row: Measurement, goal: str) -> str:
    found = value(row, goal)
    assert found is not None
    return f"{noun(goal)} {amount(goal, found.point)}"


def _next_sentence(called: str, step: NextStep, binding: Breach) -> str:
    change = ", ".join(f"{noun(name)} {'+' if by > 0 else ''}{amount(name, by)}" for name, by in step.change.items())
    return f"The next better is {called} ({change}); it is stopped by {_move(binding)}."


def _move(breach: Breach) -> str:
    way = "more" if breach.kind == MAXIMUM else "less"
    needed, by = amount(breach.field, breach.needed), amount(breach.field, breach.by)
    return f"{noun(breach.field)}, which it needs at {needed}, {by} {way} than the limit"
