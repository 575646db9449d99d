"""Fusion of detections: by hand, against a box-by-box loop, and against the authors' numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ensemble_candidates import detections, filled
from hypothesis import given
from hypothesis import strategies as st

from paretodet.ensembles.fusion import BoxFusion, Suppression
from paretodet.ops.geometry import iou
from paretodet.types import Detections

GOLDEN = Path(__file__).parent / "golden" / "box_fusion.npz"  # by scripts/record_box_fusion_golden.py


def batch(*images):
    """Detections of one image each -> of a batch."""
    return Detections(*(torch.cat(column) for column in list(zip(*images, strict=True))[:3]))


def test_two_boxes_meet_in_their_mean_weighted_by_score():
    one, other = detections((0.8, 1, 0, 0, 10, 10)), detections((0.2, 1, 0, 0, 10, 8))
    (row,) = filled(BoxFusion()([one, other]))
    assert row.tolist() == pytest.approx([0.5, 1, 0, 0, 10, 9.6], abs=1e-6)


def test_a_third_box_is_compared_with_the_fused_one():
    """It overlaps the first box by 0.5 and the fused one, which has moved towards it, by 9.5 / 14.5."""
    chain = [detections((0.5, 0, 0, 0, 12, 1)), detections((0.5, 0, 3, 0, 15, 1)), detections((0.4, 0, 4, 0, 16, 1))]
    assert iou(chain[0].boxes[0], chain[2].boxes[0]).item() == 0.5
    assert len(filled(BoxFusion()(chain))) == 1
    assert len(filled(Suppression(overlap=0.55)(chain))) == 2


def test_an_overlap_must_be_above_the_threshold():
    pair = [detections((0.5, 0, 0, 0, 12, 1)), detections((0.5, 0, 4, 0, 16, 1))]  # IoU 8 / 16
    for kind in (BoxFusion, Suppression):
        assert [len(filled(kind(overlap=overlap)(pair))) for overlap in (0.5, 0.499)] == [2, 1]


def test_a_box_joins_the_cluster_it_overlaps_most():
    sources = [detections((0.9, 0, 0, 0, 10, 10), (0.8, 0, 4, 0, 14, 10)), detections((0.5, 0, 3, 0, 13, 10))]
    (first, second) = filled(BoxFusion(overlap=0.5)(sources))
    assert second.tolist() == pytest.approx([0.9 / 2, 0, 0, 0, 10, 10])  # alone of two
    left = (4 * 0.8 + 3 * 0.5) / 1.3
    assert first.tolist() == pytest.approx([0.65, 0, left, 0, left + 10, 10])


@pytest.mark.parametrize(("sources", "score"), [(1, 0.6), (2, 0.3), (3, 0.2), (6, 0.1)])
def test_boxes_of_few_sources_count_less(sources, score):
    found = BoxFusion()([detections((0.6, 0, 0, 0, 5, 5)), *[detections()] * (sources - 1)])
    assert filled(found)[0, 0].item() == pytest.approx(score)


def test_more_boxes_than_sources_count_no_more_than_all():
    found = BoxFusion()([detections((0.6, 0, 0, 0, 5, 5), (0.4, 0, 0, 0, 5, 5), (0.2, 0, 0, 0, 5, 5)), detections()])
    assert filled(found)[:, 0].tolist() == pytest.approx([0.4])


def test_only_sources_that_can_detect_it_are_counted():
    visible = torch.tensor([[[0.0, 0, 20, 20]], [[0, 0, 4, 4]], [[0, 0, 9, 9]]])
    found = BoxFusion()([detections((0.6, 0, 0, 0, 5, 5)), detections(), detections()], visible)
    assert filled(found)[:, 0].tolist() == pytest.approx([0.3])
    nobody = torch.zeros(3, 1, 4)
    assert filled(BoxFusion()([detections((0.6, 0, 0, 0, 5, 5)), detections(), detections()], nobody))[0, 0].item() == (
        pytest.approx(0.6)
    )


def test_classes_and_images_are_independent():
    first = batch(detections((0.5, 0, 0, 0, 5, 5)), detections((0.7, 1, 0, 0, 5, 5)))
    second = batch(detections((0.5, 2, 0, 0, 5, 5)), detections((0.7, 1, 0, 0, 5, 5)))
    for fusion in (BoxFusion(keep=3), Suppression(keep=3)):
        found = fusion([first, second])
        assert found.boxes.shape == (2, 3, 4)
        assert sorted(filled(found, 0)[:, 1].tolist()) == [0, 2]
        assert filled(found, 1)[:, 1].tolist() == [1]


def test_the_best_are_kept_and_empty_slots_follow():
    one = detections((0.9, 0, 0, 0, 5, 5), (0.5, 1, 0, 0, 5, 5), (0.1, 2, 0, 0, 5, 5), slots=9)
    for fusion in (BoxFusion(keep=2), Suppression(keep=2)):
        assert fusion([one]).scores.tolist() == [pytest.approx([0.9, 0.5])]
    for fusion in (BoxFusion(keep=4), Suppression(keep=4)):
        found = fusion([one])
        assert found.scores[0, 3] == 0 and (found.boxes[0, 3] == 0).all()
        assert [part.dtype for part in found[:3]] == [torch.float32, torch.float32, torch.int64]


def test_no_detections_give_empty_slots():
    for fusion in (BoxFusion(keep=2), Suppression(keep=2)):
        found = fusion([detections(slots=3), detections(slots=5)])
        assert found.boxes.shape == (1, 2, 4) and (found.scores == 0).all()


def test_a_threshold_leaves_boxes_out_before_they_count():
    found = BoxFusion(threshold=0.3)([detections((0.8, 0, 0, 0, 5, 5)), detections((0.3, 0, 0, 0, 5, 4))])
    assert filled(found)[0].tolist() == pytest.approx([0.4, 0, 0, 0, 5, 5])


@pytest.mark.parametrize("wrong", [{"overlap": -0.1}, {"overlap": 1.5}, {"keep": 0}, {"threshold": 2.0}])
def test_bad_numbers_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}: got"):
        BoxFusion(**wrong)
    if name != "threshold":
        with pytest.raises(ValueError, match=f"{name}: got"):
            Suppression(**wrong)


# Whole coordinates make overlaps that meet thresholds, few scores make ties.
ROW = st.builds(
    lambda score, label, x, y, w, h: (score, label, x, y, x + w, y + h),
    st.sampled_from((0.0, 0.2, 0.25, 0.5, 0.9, 1.0)),
    st.sampled_from((0, 1, 5)),
    *[st.integers(0, 8)] * 2,
    *[st.integers(0, 8)] * 2,
)
SOURCES = st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=4)
FUSIONS = st.sampled_from((BoxFusion(keep=9), BoxFusion(overlap=0.3, keep=3, threshold=0.2), Suppression(keep=9)))


def walked(rows, sources, overlap, keep):
    """Weighted box fusion of one image, a box at a time."""
    clusters = []
    for row in sorted(rows, key=lambda row: (-row[0], *row[1:])):
        shares = [_iou(fused(c), row) if c[0][1] == row[1] else 0.0 for c in clusters]
        best = max(range(len(clusters)), key=lambda i: shares[i], default=None)
        if best is not None and shares[best] > overlap:
            clusters[best].append(row)
        else:
            clusters.append([row])
    scored = [(sum(r[0] for r in c) / len(c) * min(len(c), sources) / sources, *fused(c)[1:]) for c in clusters]
    return sorted(scored, key=lambda row: -row[0])[:keep]


def fused(cluster):
    weight = sum(row[0] for row in cluster)
    return (weight, cluster[0][1], *(sum(row[0] * row[i] for row in cluster) / weight for i in range(2, 6)))


def _iou(a, b):
    return iou(torch.tensor([a[2:]]).double(), torch.tensor([b[2:]]).double()).item()


@given(SOURCES)
def test_box_fusion_equals_the_loop(sources):
    rows = [tuple(float(np.float32(v)) for v in row) for source in sources for row in source if row[0] > 0]
    expected = torch.tensor(walked(rows, len(sources), 0.55, 20)).reshape(-1, 6)
    found = filled(BoxFusion(keep=20)([detections(*source, slots=6) for source in sources]))
    assert torch.allclose(found[:, 0].double(), expected[:, 0].double(), atol=1e-5)
    assert len(found) == len(expected)
    apart = (found[:, None].double() - expected[None].double()).abs().amax(2)  # ties may stand in another order
    assert not len(found) or (apart.amin(1).max() < 1e-4 and apart.amin(0).max() < 1e-4)


@given(SOURCES, FUSIONS, st.randoms(use_true_random=False))
def test_the_order_of_sources_does_not_matter(sources, fusion, random):
    found = [detections(*source, slots=6) for source in sources]
    shuffled = random.sample(found, len(found))
    assert all(torch.equal(a, b) for a, b in zip(fusion(found)[:3], fusion(shuffled)[:3], strict=True))


@given(SOURCES, FUSIONS)
def test_a_batch_equals_its_images(sources, fusion):
    one, two = ([detections(*source, slots=6) for source in part] for part in (sources, sources[::-1]))
    both = fusion([batch(a, b) for a, b in zip(one, two, strict=True)])
    for index, alone in enumerate((fusion(one), fusion(two))):
        assert all(torch.equal(a[index], b[0]) for a, b in zip(both[:3], alone[:3], strict=True))


@given(SOURCES, FUSIONS)
def test_scores_fall_and_boxes_stay_within_the_sources(sources, fusion):
    found = fusion([detections(*source, slots=6) for source in sources])
    assert (found.scores.diff(dim=1) <= 0).all() and found.scores.min() >= 0 and found.scores.max() <= 1
    assert found.boxes.min() >= 0 and found.boxes.max() <= 16
    assert (found.boxes[..., :2] <= found.boxes[..., 2:]).all()


@given(SOURCES)
def test_suppression_of_one_suppressed_source_is_that_source(sources):
    once = Suppression(keep=9)([detections(*sources[0], slots=6)])
    again = Suppression(keep=9)([once])
    assert all(torch.equal(a, b) for a, b in zip(once[:3], again[:3], strict=True))


def test_it_equals_the_authors_numbers():
    """Five random scenes of three sources, and what their package made of them."""
    golden = np.load(GOLDEN)
    for scene in range(5):
        rows, expected = golden[f"rows{scene}"], golden[f"fused{scene}"]
        found = BoxFusion(overlap=float(golden["overlap"]), keep=len(expected) + 5)(
            [detections(*part.tolist()) for part in rows]
        )
        assert torch.allclose(filled(found), torch.from_numpy(expected).float(), atol=1e-5), scene
        assert len(expected) < rows.shape[0] * rows.shape[1], "nothing was fused, so nothing is proved"
