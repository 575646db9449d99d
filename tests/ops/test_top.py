from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.ops import top as room
from paretodet.ops.top import top


@settings(max_examples=200)
@given(
    total=st.integers(1, 300), share=st.floats(0, 1), rows=st.integers(1, 3), levels=st.integers(1, 50),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_finds_the_values_that_a_full_sort_finds(total: int, share: float, rows: int, levels: int, seed: int) -> None:
    values = torch.randint(0, levels, (rows, total), generator=torch.Generator().manual_seed(seed)).float()
    values[values == 0] = -torch.inf
    count = max(1, int(share * total))
    with mock.patch.object(room, "MANY", 0):
        found = top(values, count)
    assert torch.equal(values.gather(1, found), values.sort(1, descending=True).values[:, :count])
    assert all(len(set(row)) == count for row in found.tolist())


def test_many_numbers() -> None:
    values = torch.randn(2, 1_000_003, generator=torch.Generator().manual_seed(0))
    assert torch.equal(top(values, 1000), values.topk(1000).indices)


@pytest.mark.parametrize("count", [0, 6])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"count: got {count}, allowed 1..5"):
        top(torch.zeros(1, 5), count)
