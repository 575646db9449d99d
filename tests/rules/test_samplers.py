import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.ops.geometry import iou
from paretodet.ops.nms import nms
from paretodet.rules.anchors import MultiGridAnchors
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import AllSampler, BalancedSampler, HardNegativeMiner, OnlineHardSampler
from paretodet.types import Assignment, Targets

ALL = [
    AllSampler(),
    BalancedSampler(size=16, positive_fraction=0.25),
    HardNegativeMiner(),
    HardNegativeMiner(overlap=0.3),
    OnlineHardSampler(size=12),
    OnlineHardSampler(size=12, overlap=0.3),
]


def case(seed=0, positives=0.2, count=60):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(2, count, generator=generator)
    positive, negative = draw < positives, draw > positives + 0.1
    assignment = Assignment(torch.zeros(2, count, dtype=torch.int64), positive, negative)
    cost, noise = torch.rand(2, count, generator=generator), torch.rand(2, count, generator=generator)
    low = torch.rand(2, count, 2, generator=generator) * 50
    return assignment, cost, torch.cat([low, low + 15], -1), noise


@pytest.mark.parametrize("sampler", ALL, ids=repr)
def test_weights_are_zero_or_one_and_never_on_the_ignored(sampler):
    assignment, *rest = case()
    weight = sampler(assignment, *rest)
    assert weight.shape == (2, 60)
    assert set(weight.unique().tolist()) == {0.0, 1.0}
    assert not weight[~(assignment.positive | assignment.negative)].any()


@pytest.mark.parametrize("sampler", ALL, ids=repr)
def test_only_miners_depend_on_predictions(sampler):
    """And no sampler selects more than its size."""
    assignment, cost, decoded, noise = case()
    weight = sampler(assignment, cost, decoded, noise)
    assert sampler.mines != torch.equal(weight, sampler(assignment, cost.flip(1), decoded.flip(1), noise))
    assert (weight.sum(1) <= (sampler.size or weight.shape[1])).all()


@pytest.mark.parametrize("sampler", ALL, ids=repr)
def test_images_are_sampled_alone_and_without_graph_breaks(sampler):
    assignment, *rest = case()
    both = sampler(assignment, *rest)
    compiled = torch.compile(lambda *a: sampler(*a), fullgraph=True, backend="eager")
    assert torch.equal(compiled(assignment, *rest), both)
    for i in range(2):
        alone = sampler(Assignment(*(f[i : i + 1] for f in assignment)), *(t[i : i + 1] for t in rest))
        assert torch.equal(alone[0], both[i])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 0.9), st.integers(1, 80), st.sampled_from([0.25, 0.5]))
def test_balanced_counts(seed, positives, size, fraction):
    assignment, *rest = case(seed, positives)
    weight = BalancedSampler(size=size, positive_fraction=fraction)(assignment, *rest).bool()
    chosen = (weight & assignment.positive).sum(1)
    want = assignment.positive.sum(1).clamp(max=int(size * fraction))
    assert torch.equal(chosen, want)
    assert torch.equal((weight & assignment.negative).sum(1), torch.minimum(assignment.negative.sum(1), size - want))


def test_balanced_samples_every_positive_equally_often():
    assignment, cost, decoded, _ = case()
    noise = torch.rand(4000, 60, generator=torch.Generator().manual_seed(1))
    many = Assignment(*(field[:1].expand(4000, -1) for field in assignment))
    weight = BalancedSampler(size=16, positive_fraction=0.25)(many, cost, decoded, noise)
    share = weight.mean(0)[assignment.positive[0]]
    want = 4 / assignment.positive[0].sum().item()
    assert share.tolist() == pytest.approx([want] * len(share), abs=0.04)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 0.4))
def test_the_miner_selects_the_negatives_with_the_largest_cost(seed, positives):
    assignment, cost, decoded, noise = case(seed, positives)
    weight = HardNegativeMiner(ratio=3.0)(assignment, cost, decoded, noise).bool()
    for i in range(2):
        positive, negative = assignment.positive[i], assignment.negative[i]
        order = sorted(negative.nonzero().flatten().tolist(), key=lambda n: -cost[i, n])
        want = set(order[: 3 * int(positive.sum())]) | set(positive.nonzero().flatten().tolist())
        assert set(weight[i].nonzero().flatten().tolist()) == want


def test_the_miner_with_suppression_selects_survivors():
    assignment, cost, decoded, noise = case(positives=0.1)
    weight = HardNegativeMiner(ratio=2.0, overlap=0.3)(assignment, cost, decoded, noise).bool()
    for i in range(2):
        kept = [n for n in nms(decoded[i : i + 1], cost[i : i + 1], overlap=0.3, keep=60)[0].tolist() if n >= 0]
        positives = [n for n in kept if assignment.positive[i, n]]
        negatives = [n for n in kept if assignment.negative[i, n]][: 2 * len(positives)]
        assert set(weight[i].nonzero().flatten().tolist()) == {*positives, *negatives}


def test_online_hard_selects_the_largest_cost_of_either_sign():
    assignment, cost, decoded, noise = case()
    weight = OnlineHardSampler(size=12)(assignment, cost, decoded, noise)
    taking = assignment.positive | assignment.negative
    assert weight.sum(1).tolist() == [12, 12]
    for i in range(2):
        chosen = weight[i].bool()
        assert cost[i][chosen].min() > cost[i][taking[i] & ~chosen].max()


def test_online_hard_suppresses_by_cost():
    assignment, cost, _, noise = case()
    same = torch.tensor([0.0, 0.0, 9.0, 9.0]).expand(2, 60, 4)
    weight = OnlineHardSampler(size=12, overlap=0.7)(assignment, cost, same, noise)
    assert weight.sum(1).tolist() == [1, 1]


def detections(scatter, seed):
    """An SSD of 1917 references in training: those near a ground truth predict it with a deviation of `scatter` of
    its sides, with a higher score the nearer they are; the others have random boxes and low scores. Assignment, boxes,
    cost.
    """
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.zeros(1, 1, side, side) for side in (19, 10, 5, 3, 2, 1))
    refs = MultiGridAnchors(levels=6)(maps, (300, 300))
    count, coder = len(refs.boxes), DeltaCoder()
    center, half = torch.rand(2, 1, 8, 2, generator=generator)
    half = (half * 2.5 - 3.7).exp()
    truths = torch.cat([center - half, center + half], -1).clamp(0, 1) * 300
    marks = torch.ones(1, 8, dtype=torch.bool)
    targets = Targets(truths, torch.zeros(1, 8, dtype=torch.int64), marks, ~marks)
    best, index = iou(refs.boxes, truths).max(-1)
    own = truths.gather(1, index[..., None].expand(-1, -1, 4))
    sides = (own[..., 2:] - own[..., :2]).repeat(1, 1, 2)
    near = own + scatter * sides * torch.randn(1, count, 4, generator=generator)
    far = coder.decode(0.3 * torch.randn(1, count, 4, generator=generator), refs)
    boxes = torch.where((best > 0.2)[..., None], near, far)
    sure = torch.where(best > 0.2, (best - 0.2) / 0.3 * 8 - 3, -9.0) + torch.randn(1, count, generator=generator)
    matcher = ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True)
    assignment = matcher(refs, targets, boxes, torch.full((1, 2), 300.0))
    return assignment, boxes, F.softplus(torch.where(assignment.positive, -sure, sure))


@pytest.mark.parametrize(
    ("scatter", "low", "high"), [(0.1, 0, 0), (0.05, 0, 0.005), (0.02, 0.005, 0.06), (0.01, 0.1, 0.4)]
)
def test_the_effect_of_suppression_in_the_miner(scatter, low, high):
    """The share of negatives that only ranking selects, as in the docstring of the miner."""
    lost = taken = 0
    for seed in range(10):
        assignment, boxes, cost = detections(scatter, seed)
        miners = (HardNegativeMiner(), HardNegativeMiner(overlap=0.99))
        ranked, mined = (miner(assignment, cost, boxes, cost) > 0 for miner in miners)
        taken += (ranked & assignment.negative).sum().item()
        lost += (ranked & ~mined & assignment.negative).sum().item()
    assert low <= lost / taken <= high


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (BalancedSampler, {"size": 0, "positive_fraction": 0.5}, "size"),
        (BalancedSampler, {"size": 8, "positive_fraction": 1.5}, "positive_fraction"),
        (BalancedSampler, {"size": 8, "positive_fraction": -0.5}, "positive_fraction"),
        (HardNegativeMiner, {"ratio": -1.0}, "ratio"),
        (HardNegativeMiner, {"overlap": 1.5}, "overlap"),
        (OnlineHardSampler, {"size": 0}, "size"),
        (OnlineHardSampler, {"size": 8, "overlap": -0.1}, "overlap"),
    ],
)
def test_bad_fields_are_named(kind, fields, field):
    with pytest.raises(ValueError, match=f"^{field}: got {fields[field]}, allowed"):
        kind(**fields)
