import pytest
import torch

from paretodet.bench.memory import MIB, Peak, release_freed_memory, resident_mib
from paretodet.weights import dequantized
from paretodet.weights.dequantized import by_rows


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 3, 2), (5, 0)])
@pytest.mark.parametrize("most", [1, 12, 2**20])
def test_pieces_are_the_whole(shape, most, monkeypatch):
    monkeypatch.setattr(dequantized, "MOST", most)
    stored = torch.randint(256, shape, dtype=torch.uint8)
    found = by_rows(stored, lambda rows: (stored[rows].double() - 3) * 0.1)
    assert found.dtype == torch.float32 and torch.equal(found, ((stored.double() - 3) * 0.1).float())


def test_memory_is_that_of_the_result():
    """In double precision at once it would be four times that."""
    stored = torch.ones(2**12, 2**13, dtype=torch.uint8)
    release_freed_memory()
    before = resident_mib()
    with Peak() as peak:
        found = by_rows(stored, lambda rows: (stored[rows].double() - 3) * 0.1)
        assert (peak.mib() - before) * MIB < 1.5 * found.nbytes
