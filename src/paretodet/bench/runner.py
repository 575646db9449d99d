"""Fair turns: fresh processes spread over the run, one of them working at a time."""

from collections.abc import Callable, Iterator, Sequence

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.record import Measurement


def measure(
    jobs: Sequence[Job],
    *,
    plan: Plan | None = None,
    resolution_pct: float | None = None,
    run: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[Measurement]:
    """Every job's row, handed over as soon as it is finished, so that an interruption keeps what there is.

    Without `resolution_pct` the self-test runs first. A candidate that fails becomes an error row; the run goes on.
    Raises `SelfTestError` where the clock or the machine cannot be trusted.
    """
    raise NotImplementedError
