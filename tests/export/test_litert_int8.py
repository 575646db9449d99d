"""The ranges on which LiteRT files are quantized."""

import numpy as np

from paretodet.export.litert_int8 import mean_range


def test_the_mean_of_ranges_counts_every_batch_alike() -> None:
    """The calibrator hands over the range so far and that of the next batch."""
    highest = (4.0, 1.0, 7.0, 0.0)
    found, *others = ({"min": np.array([-top / 2]), "max": np.array([top])} for top in highest)
    for other in others:
        found = mean_range(found, other)
    assert found["max"] == 3 and found["min"] == -1.5
