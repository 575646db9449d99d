"""Views of an image: exact ways there and back, and what a candidate finds in them made one."""

import numpy as np
import pytest
import torch
from ensemble_candidates import Blocks, filled, painted, random_images, run, tiny
from hypothesis import given
from hypothesis import strategies as st

from paretodet.diagnosis import check_contract
from paretodet.ensembles.ensemble import Ensemble
from paretodet.ensembles.fusion import BoxFusion, Suppression
from paretodet.ensembles.views import GRAY, WHOLE, MultiCrop, View, at_scales, five_crops, mirrored, ten_crops

HEIGHT, WIDTH = 60, 80


def found(views, image, **choices):
    return filled(run(MultiCrop(Blocks(), views=views, **choices), [image]))


def test_the_default_is_an_image_and_its_mirror():
    made = MultiCrop(Blocks())
    assert made.views == (View(), View(mirrored=True))
    assert made.name == "blocks in 2 views" and made.labels == Blocks.labels


BLOCKS = st.lists(
    st.builds(
        lambda level, x, y, w, h: (level, x, y, min(x + w, WIDTH), min(y + h, HEIGHT)),
        st.sampled_from((50, 100, 150, 200)),
        st.integers(0, WIDTH - 1),
        st.integers(0, HEIGHT - 1),
        st.integers(1, 60),
        st.integers(1, 50),
    ),
    max_size=4,
)


@given(BLOCKS, st.sampled_from((BoxFusion(), Suppression())))
def test_mirroring_changes_nothing_for_a_symmetric_candidate(blocks, fusion):
    image = painted(*blocks)
    alone = filled(run(Blocks(), [image]))
    assert torch.allclose(found(mirrored(WHOLE), image, fusion=fusion), alone)
    assert torch.allclose(found((View(mirrored=True),), image, fusion=fusion), alone)


@given(BLOCKS, st.floats(0.1, 1))
def test_a_gray_margin_changes_nothing_for_a_scale_free_candidate(blocks, scale):
    image = painted(*blocks)
    assert torch.allclose(found(at_scales(scale), image), filled(run(Blocks(), [image])))


EDGE = st.floats(-1.5, 2.5)


@given(EDGE, EDGE, EDGE, EDGE, st.booleans(), st.integers(1, 30), st.integers(1, 30))
def test_restored_boxes_contain_the_pixels_of_the_view(y1, y2, x1, x2, mirror, height, width):
    """Every pixel of the view, as a box, comes back to that pixel of the image, or to where there is none."""
    (top, bottom), (left, right) = sorted((y1, y2)), sorted((x1, x2))
    try:
        view = View(top=top, left=left, bottom=bottom, right=right, mirrored=mirror)
    except ValueError:
        assert top >= 1 or left >= 1 or bottom <= 0 or right <= 0 or top == bottom or left == right
        return
    image = np.arange(3 * height * width, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    seen = view(image)
    ys, xs = (torch.from_numpy(part.ravel()) for part in np.mgrid[: seen.shape[0], : seen.shape[1]])
    boxes = torch.stack([xs, ys, xs + 1, ys + 1], 1).float()
    back = view.restore(boxes[None], view.windows(torch.tensor([[float(height), float(width)]])))[0]
    assert torch.equal(back[:, 2:] - back[:, :2], torch.ones(len(back), 2))
    column, row = back[:, 0].long(), back[:, 1].long()
    there = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    assert there.any()
    shown = torch.from_numpy(seen.reshape(-1, 3).copy())
    assert torch.equal(shown[there], torch.from_numpy(image)[row[there], column[there]])
    assert (shown[~there] == GRAY).all()


@pytest.mark.parametrize(
    ("edges", "rows"), [((0.99, 1.5), (2, 5)), ((0.99, 1.0), (2, 3)), ((-1.0, 0.01), (-3, 1)), ((0.4, 0.41), (1, 2))]
)
def test_a_narrow_window_has_at_least_one_pixel_of_the_image(edges, rows):
    view = View(top=edges[0], bottom=edges[1])
    assert view.window(3, 7) == (rows[0], 0, rows[1], 7)


def test_a_view_is_a_new_array_in_order():
    image = random_images(1)[0]
    for view in mirrored(WHOLE):
        seen = view(image)
        assert seen.flags.c_contiguous and not np.shares_memory(seen, image)


def test_ten_crops_are_krizhevskys():
    views = ten_crops()
    assert len(views) == len(set(views)) == 10 and sum(view.mirrored for view in views) == 5
    assert {view.window(256, 256) for view in views} == {
        (0, 0, 224, 224), (0, 32, 224, 256), (32, 0, 256, 224), (32, 32, 256, 256), (16, 16, 240, 240)
    }  # fmt: skip


@given(st.floats(0.5, 1), st.integers(2, 400), st.integers(2, 400))
def test_five_crops_cover_the_image(share, height, width):
    covered = np.zeros((height, width), bool)
    for view in five_crops(share):
        top, left, bottom, right = view.window(height, width)
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
        covered[top:bottom, left:right] = True
    assert covered.all()


def test_scales_are_windows_of_their_inverse():
    whole, half, *twice = at_scales(1, 0.5, 2)
    assert whole == View()
    assert half.window(60, 80) == (-30, -40, 90, 120)
    assert [view.window(60, 80) for view in twice] == [
        (0, 0, 30, 40), (0, 40, 30, 80), (30, 0, 60, 40), (30, 40, 60, 80), (15, 20, 45, 60)
    ]  # fmt: skip


def test_boxes_cut_by_a_window_are_dropped():
    """A block over a border of the four corner crops, whole only in the middle crop, keeps its box and its score."""
    image = painted((200, 30, 20, 50, 40))
    alone = filled(run(Blocks(), [image]))
    assert torch.allclose(found(at_scales(2), image), alone)
    pieces = found(at_scales(2), image, cut=0.0, fusion=Suppression())
    assert len(pieces) > 1


def test_views_that_cannot_detect_a_box_do_not_count():
    """It is whole in only one of the five crops, so one crop could detect it, or two with both scales."""
    image = painted((200, 3, 4, 15, 16))
    alone = filled(run(Blocks(), [image]))
    assert torch.allclose(found(at_scales(2), image), alone)
    assert torch.allclose(found(at_scales(1, 2), image), alone)


def test_views_that_miss_a_box_count():
    class Forgetful(Blocks):
        """Finds nothing in small images."""

        def _rows(self, image):
            return super()._rows(image if image.shape[0] == HEIGHT else np.zeros_like(image))

    image = painted((200, 3, 4, 15, 16))
    halved = filled(run(MultiCrop(Forgetful(), views=at_scales(1, 2)), [image]))
    assert halved[:, 0].tolist() == pytest.approx([0.4])


def test_boxes_beyond_the_image_are_clipped_or_dropped():
    class Large(Blocks):
        """Says that it sees something from corner to corner, and something in the first pixel."""

        def _rows(self, image):
            boxes = torch.tensor([[[0, 0, image.shape[1], image.shape[0]], [0, 0, 1, 1]]]).float()
            return boxes, torch.tensor([[0.9, 0.5]]), torch.tensor([[0, 1]])

    (row,) = filled(run(MultiCrop(Large(), views=at_scales(0.5)), [painted()]))
    assert row.tolist() == pytest.approx([0.9, 0, 0, 0, WIDTH, HEIGHT])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: View(top=0.5, bottom=0.5), "top, bottom: got"),
        (lambda: View(left=1.0, right=2.0), "left, right: got"),
        (lambda: five_crops(0.4), "share: got 0.4"),
        (lambda: at_scales(2.5), "scale: got 2.5"),
        (lambda: at_scales(0), "scale: got 0"),
        (lambda: MultiCrop(Blocks(), views=()), "views: got none"),
        (lambda: MultiCrop(Blocks(), cut=0.5), "cut: got 0.5"),
    ],
)
def test_bad_geometry_is_named(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_weights_count_once_and_work_once_per_view():
    facts = MultiCrop(Blocks(), views=ten_crops()).facts()
    assert (facts.parameters, facts.buffers, facts.macs, facts.activations_mib) == (5, 1, 70, 20.0)
    assert (facts.height, facts.width, facts.classes) == (8, 8, 4)
    plain = MultiCrop(Blocks()).facts()
    assert len({facts.artefact, plain.artefact, MultiCrop(Blocks(), cut=0.1).facts().artefact, "x"}) == 4


@pytest.mark.parametrize("views", [mirrored(WHOLE), ten_crops(), at_scales(0.5, 2)], ids=("mirror", "ten", "scales"))
def test_it_passes_the_doctor(views):
    made = MultiCrop(tiny(full=True), views=views)
    assert [finding.broken for finding in check_contract(made, random_images(2)) if finding.broken] == []


def test_the_whole_image_alone_gives_the_detectors_result():
    """Through its own fit and back, on images that are not square."""
    member, images = tiny(), random_images(2)
    alone = run(member, images)
    found = run(MultiCrop(member, views=WHOLE, fusion=Suppression(overlap=0.6, keep=300)), images)
    assert len(filled(alone)) > 9
    assert all(torch.equal(a, b) for a, b in zip(found[:3], alone[:3], strict=True))


def test_an_ensemble_of_views_is_a_candidate_too():
    made = Ensemble([MultiCrop(Blocks()), Blocks()])
    image = painted((100, 5, 6, 30, 40))
    assert torch.allclose(filled(run(made, [image])), filled(run(Blocks(), [image])))
    assert made.facts().macs == 21 and made.facts().parameters == 10
