"""Which maps heads at every cell can share."""

import pytest

from paretodet.heads.dense import ProposalHead
from paretodet.types import FeatureInfo


@pytest.mark.parametrize(("channels", "per_cell"), [((256, 512), (3, 3)), ((256, 256), (3, 4)), ((256,), (3, 3))])
def test_a_shared_head_needs_equal_levels(channels, per_cell):
    with pytest.raises(ValueError, match="^neck: got depths"):
        ProposalHead().build(FeatureInfo(channels, (8, 16)), per_cell, 2)
