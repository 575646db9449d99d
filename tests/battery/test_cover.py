from battery_cover import covered, distinct, exported, parts, short, traced

from paretodet.detectors.catalogue import entries


def test_the_short_tier_covers_every_part_of_the_catalogue():
    assert covered(parts, short()) == covered(parts, traced()) == covered(parts, entries())


def test_the_short_tier_is_short_and_has_the_exported_entries():
    assert len(short()) <= 30 and set(exported()) < set(traced()) <= set(short()) <= set(distinct())
    assert {entry.meta_architecture for entry in exported()} >= {
        "ssd",
        "faster_rcnn",
        "rfcn",
        "mask_rcnn_d2",  # the lightest with these heads
        "mask_rcnn_zoo",
        "cascade_rcnn",
    }


def test_sizes_and_proposals_do_not_make_another_network():
    names = {entry.name for entry in distinct()}
    assert "yolo_v3-darknet53-320" in names and "yolo_v3-darknet53-608" not in names
    assert "faster_rcnn-resnet101-300-s16-p10" in names and "faster_rcnn-resnet101-600-s16-p300" not in names
    assert {"ssd_liu-vgg16-300", "ssd_liu-vgg16-512"} <= names  # of seven levels, not six
