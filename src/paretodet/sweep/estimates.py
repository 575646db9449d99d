"""Rows with an estimated AP where none is known: of Huang et al.'s systems, run as these are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from paretodet.detectors.estimates import estimates
from paretodet.records.estimate import with_estimates
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

# Keys of a job that do not change the accuracy, as `CandidateConfig.as_published` has them; its module imports torch.
FREE = frozenset(
    ("name", "runtime", "device", "precision", "calibration", "allow_fallback", "trust", "batch", "threads")
)
CALIBRATED = "int8"


def with_estimated_ap(rows: Sequence[Measurement]) -> Rows:
    """The rows; those without an AP have an estimate, as `ap_estimate`, if `detectors.estimates` has one of their name.

    As with published AP, options may set how the network executes, and nothing else; int8 is another network. Rows of
    trained weights get no estimate: their AP can be measured.
    """
    rows = Rows.of(rows)
    codes, names = rows.categories("name")
    known = estimates(names)
    weights, precisions = rows.categories("weights"), rows.categories("precision")
    untrained = np.array([each == "random" for each in weights.values], dtype=np.bool_)[weights.codes]
    quantized = np.array([each == CALIBRATED for each in precisions.values], dtype=np.bool_)[precisions.codes]
    named = np.array([name in known for name in names], dtype=np.bool_)[codes]
    mask = named & untrained & ~quantized & np.isnan(rows.numbers("ap")) & np.isnan(rows.numbers("published_ap"))
    chosen = np.flatnonzero(mask)
    mask[chosen] = [_as_published(job) for (job,) in rows.where(chosen).values("job")]
    return with_estimates(rows, mask, known)


def _as_published(job: dict[str, Any]) -> bool:
    """Whether a row's job sets nothing that may change the accuracy."""
    return {key for key, value in job.items() if value is not None} <= FREE and job.get("precision") != CALIBRATED
