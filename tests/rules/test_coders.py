import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.ops.nms import nms
from paretodet.rules.coders import (
    DETECTRON_CLAMP,
    CellCoder,
    DeltaCoder,
    DistanceCoder,
    WorstCaseCoder,
    spread_boxes,
)
from paretodet.types import References


def random_boxes(*shape, seed=0, span=300.0):
    generator = torch.Generator().manual_seed(seed)
    center, size = (
        torch.rand(*shape, 2, generator=generator) * span,
        torch.rand(*shape, 2, generator=generator) * 80 + 4,
    )
    return torch.cat([center - size / 2, center + size / 2], -1)


def references(boxes, cell=32.0):
    count = boxes.shape[-2]
    return References(boxes, torch.full((count, 1), cell), (count,))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_delta_decode_inverts_encode(seed, batched):
    refs = references(random_boxes(2, 7, seed=seed) if batched else random_boxes(7, seed=seed))
    boxes = random_boxes(2, 7, seed=seed + 1)
    coder = DeltaCoder()
    torch.testing.assert_close(coder.decode(coder.encode(boxes, refs), refs), boxes, atol=1e-3, rtol=1e-4)


def test_delta_code_is_the_published_formula():
    # Huang et al. section 2.1: 10 (xc - xa) / wa, 10 (yc - ya) / ha, 5 ln(w / wa), 5 ln(h / ha)
    refs = references(torch.tensor([[10.0, 20.0, 30.0, 60.0]]))  # center 20, 40; 20 wide, 40 high
    boxes = torch.tensor([[[15.0, 50.0, 35.0 + 20, 70.0]]])  # center 35, 60; 40 wide, 20 high
    want = [10 * 15 / 20, 10 * 20 / 40, 5 * math.log(2), 5 * math.log(0.5)]
    assert DeltaCoder().encode(boxes, refs).flatten().tolist() == pytest.approx(want)


def test_class_specific_codes_decode_as_one_class_at_a_time():
    refs, codes = references(random_boxes(2, 5)), torch.randn(2, 5, 3, 4)
    together = DeltaCoder().decode(codes, refs)
    for k in range(3):
        torch.testing.assert_close(together[:, :, k], DeltaCoder().decode(codes[:, :, k], refs))
    shared = references(random_boxes(5))
    assert DeltaCoder().decode(codes, shared).shape == (2, 5, 3, 4)


def test_clamp_bounds_growth_only():
    refs = references(torch.tensor([[0.0, 0.0, 16.0, 16.0]]))
    codes = torch.tensor([[[0.0, 0.0, 500.0, -500.0]]])
    decoded = DeltaCoder(clamp=DETECTRON_CLAMP).decode(codes, refs)[0, 0]
    assert (decoded[2] - decoded[0]).item() == pytest.approx(1000)
    assert (decoded[3] - decoded[1]).item() == pytest.approx(0, abs=1e-6)
    assert not DeltaCoder().decode(codes, refs).isfinite().all()


def test_encoding_of_empty_boxes_is_finite():
    refs = references(random_boxes(3))
    assert DeltaCoder().encode(torch.zeros(1, 3, 4), refs).isfinite().all()
    assert CellCoder().encode(torch.zeros(1, 3, 4), refs).isfinite().all()
    assert DeltaCoder().encode(torch.zeros(1, 3, 4), references(torch.zeros(3, 4))).isfinite().all()


def test_cell_decode_is_darknets_formula():
    # systems.md 3.3 and 5: x = (col + sigmoid(tx)) / grid, w = prior * exp(tw)
    cell, col, row, prior = 32.0, 3, 5, (116.0, 90.0)
    center = torch.tensor([(col + 0.5) * cell, (row + 0.5) * cell])
    half = torch.tensor(prior) / 2
    refs = references(torch.cat([center - half, center + half])[None], cell)
    tx, ty, tw, th = codes = (0.3, -1.2, 0.4, -0.7)
    x, y = (col + 1 / (1 + math.exp(-tx))) * cell, (row + 1 / (1 + math.exp(-ty))) * cell
    w, h = prior[0] * math.exp(tw), prior[1] * math.exp(th)
    got = CellCoder().decode(torch.tensor([[codes]]), refs).flatten().tolist()
    assert got == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], rel=1e-5)


def test_cell_decode_inverts_encode_inside_the_cell():
    cells = torch.tensor([[8.0, 8.0], [24.0, 8.0], [8.0, 24.0]])
    refs = references(torch.cat([cells - 10, cells + 10], -1), 16.0)
    center = cells + (torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(3)) - 0.5) * 15.8
    boxes = torch.cat([center - 7, center + 9], -1) - 1
    coder = CellCoder()
    torch.testing.assert_close(coder.decode(coder.encode(boxes, refs), refs), boxes, atol=1e-3, rtol=1e-4)


def test_distances_are_fcos_and_decode_inverts_encode():
    """l, t, r, b from the center; a box that ends on its last pixel ends a pixel earlier."""
    refs = references(torch.tensor([[8.0, 16.0, 16.0, 24.0]]))
    box = torch.tensor([[[2.0, 5.0, 31.0, 41.0]]])
    assert DistanceCoder().distances(box, refs).tolist() == [[[10, 15, 19, 21]]]
    assert DistanceCoder(trim=1.0).distances(box, refs).tolist() == [[[10, 15, 18, 20]]]
    for coder in (DistanceCoder(), DistanceCoder(trim=1.0)):
        torch.testing.assert_close(coder.decode(coder.encode(box, refs), refs), box, atol=1e-4, rtol=1e-5)
    outside = DistanceCoder().encode(torch.tensor([[[20.0, 5.0, 31.0, 41.0]]]), refs)
    assert outside.isfinite().all()


@pytest.mark.parametrize("coder", [DeltaCoder(), CellCoder(), DistanceCoder(trim=1.0)])
def test_decoding_is_float32(coder):
    refs, codes = references(random_boxes(2, 6)), torch.randn(2, 6, 4).bfloat16()
    decoded = coder.decode(codes, refs)
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, coder.decode(codes.float(), refs))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4000), st.integers(16, 900), st.integers(16, 900), st.integers(0, 5))
def test_spread_boxes_lie_inside(count, height, width, seed):
    boxes = spread_boxes(count, height, width, seed)
    assert boxes.shape == (count, 4)
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([width, height, width, height]) * (1 + 1e-6)).all()
    relative = (boxes[:, 2:] - boxes[:, :2]) / torch.tensor([width, height])
    assert relative.min() >= 1 / 32 - 1e-5
    assert relative.max() <= 1 / 2 + 1e-5


def test_spread_boxes_are_uniform_and_seeded():
    boxes = spread_boxes(100_000, 300, 300)
    side = (boxes[:, 2] - boxes[:, 0]) / 300
    center = (boxes[:, 0] + boxes[:, 2]) / 2
    assert side.log2().mean().item() == pytest.approx(-3, abs=0.01)
    assert side.log2().std().item() == pytest.approx(4 / math.sqrt(12), abs=0.01)
    assert center.mean().item() == pytest.approx(150, abs=1)
    assert torch.corrcoef(torch.stack([side, center]))[0, 1].abs() < 0.01
    assert torch.equal(spread_boxes(50, 300, 300, 1), spread_boxes(50, 300, 300, 1))
    assert not torch.equal(spread_boxes(50, 300, 300, 1), spread_boxes(50, 300, 300, 2))


@pytest.mark.parametrize("overlap", [0.45, 0.6, 0.7])
def test_spread_boxes_fill_a_selection(overlap):
    boxes = spread_boxes(1917, 300, 300)[None]
    kept = nms(boxes, torch.rand(1, 1917, generator=torch.Generator().manual_seed(0)), overlap=overlap, keep=300)
    assert (kept >= 0).all()


@pytest.mark.parametrize("shape", [(2, 9, 4), (2, 9, 5, 4)])
def test_spread_coder_hides_what_it_decodes_even_not_a_number(shape):
    refs = references(random_boxes(9))
    coder = WorstCaseCoder(coder=DeltaCoder(), height=200, width=300, seed=4)
    for fill in (0.0, 1e6, -1e6, math.nan, math.inf):
        decoded = coder.decode(torch.full(shape, fill), refs)
        assert torch.equal(decoded, spread_boxes(math.prod(shape[1:-1]), 200, 300, 4).view(shape[1:]).expand(shape))


def test_spread_coder_keeps_the_decoding_in_the_graph():
    refs = references(random_boxes(9))

    class Net(torch.nn.Module):
        def __init__(self, coder):
            super().__init__()
            self.coder = coder

        def forward(self, codes):
            return self.coder.decode(codes, refs)

    codes = torch.randn(1, 9, 4)
    net = Net(WorstCaseCoder(coder=DeltaCoder(), height=200, width=300))
    program = torch.export.export(net, (codes,), strict=True).run_decompositions()
    assert torch.equal(program.module()(codes), net(codes))
    assert any("exp" in str(node.target) and "exp2" not in str(node.target) for node in program.graph.nodes)
    with pytest.raises(TypeError, match="^WorstCaseCoder: cannot encode"):
        net.coder.encode(codes, refs)


def test_coders_are_data():
    assert DeltaCoder() == DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0))
    assert hash(WorstCaseCoder(coder=CellCoder(), height=1, width=1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        DeltaCoder().clamp = 1.0


def test_a_stretched_sigmoid_reaches_the_edge_of_its_cell():
    """The darknet fork's scale_x_y: x = column + s * sigmoid(t) - (s - 1) / 2, in cells."""
    refs = references(torch.tensor([[64.0, 32.0, 96.0, 64.0]]))  # the cell of column 2, row 1, 32 px wide
    coder, codes = CellCoder(scale=1.2), torch.tensor([[[-0.7, 4.0, 0.0, 0.0]]])
    decoded = coder.decode(codes, refs)
    want = [(cell + 1.2 / (1 + math.exp(-t)) - 0.1) * 32 for cell, t in ((2, -0.7), (1, 4.0))]
    assert ((decoded[..., :2] + decoded[..., 2:]) / 2).flatten().tolist() == pytest.approx(want)
    assert want[1] > 64  # beyond its cell
    torch.testing.assert_close(coder.encode(decoded, refs), codes, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(CellCoder().decode(codes, refs), decoded, atol=0.1)
