"""Flat arrays: a set of COCO's size in little memory, which stays where it is."""

import json
import os
import pickle
import random
import sys
import time
from multiprocessing import get_context

import numpy as np
import pytest

from paretodet.labels.formats.coco import read_coco


def write_set(path, images, boxes, corners=6):
    """A set with COCO's fields, of random boxes, every one with a polygon."""
    chance = random.Random(0)
    entry = (
        '{{"license": 3, "file_name": "{0:012}.jpg", "coco_url": "http://images.cocodataset.org/train2017/{0:012}.jpg",'
        ' "height": 480, "width": 640, "date_captured": "2013-11-14 11:18:45", "id": {1}}}'
    )
    box = (
        '{{"segmentation": [{}], "area": 531.8, "iscrowd": 0, "image_id": {}, "bbox": [{}, {}, 100.5, 90.25],'
        ' "category_id": {}, "id": {}}}'
    )
    with path.open("w") as file:
        file.write('{"images": [' + ", ".join(entry.format(each, each * 3) for each in range(images)))
        file.write('], "categories": ' + json.dumps([{"id": each + 1, "name": f"c{each}"} for each in range(80)]))
        file.write(', "annotations": [')
        for number in range(boxes):
            x, y = chance.randrange(50000) / 100, chance.randrange(35000) / 100
            ring = [round(x + chance.random() * 100, 2) for _ in range(2 * corners)]
            owner = chance.randrange(images) * 3
            row = box.format(ring, owner, x, y, chance.randrange(80) + 1, number)
            file.write(", " * (number > 0) + row)
        file.write("]}")
    return path


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    return read_coco(write_set(tmp_path_factory.mktemp("set") / "instances.json", 300, 2000))


def test_every_box_is_its_images(some):
    assert (len(some), len(some.boxes), some.skips) == (300, 2000, 0)
    assert sum(len(some[index].boxes) for index in range(300)) == 2000
    assert all(len(sample.boxes) == len(sample.masks) for sample in some)


def test_numbers_outside_are_refused(some):
    for index in (-1, 300):
        with pytest.raises(IndexError, match=f"index: got {index}, the set has 300 images"):
            some[index]


def test_samples_share_read_only_arrays(some):
    index = next(index for index in range(300) if len(some[index].boxes))
    assert np.shares_memory(some[index].boxes, some.boxes)
    with pytest.raises(ValueError, match="read-only"):
        some[index].boxes[0, 0] = 1


def test_a_spawned_worker_gets_the_same(some):
    other = pickle.loads(pickle.dumps(some))
    for left, right in zip(some, other, strict=True):
        assert left.image == right.image
        assert np.array_equal(left.boxes, right.boxes)


def test_memory_is_small_and_flat(some):
    """COCO's train2017 at this density is about 120 MB."""
    assert some.nbytes / len(some.boxes) < 150
    before = some.nbytes
    for _ in range(3):
        for _ in some:
            pass
    assert some.nbytes == before


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_set_of_cocos_size(tmp_path):
    """In a fresh process: in one forked from the tests', garbage collection copies pages of their objects."""
    path = write_set(tmp_path / "instances.json", 118_000, 860_000)
    with get_context("spawn").Pool(1) as pool:
        seconds, peak, growth, copied = pool.apply(measured, (path,))
    print(f"{seconds:.1f} s of a processor, {peak:.0f} MB at most, {growth:.1f} MB more after two epochs")
    assert peak < 300
    assert seconds < 15 * max(1, slowness(tmp_path / "tenth.json"))
    assert growth < 8
    assert copied < 16


def slowness(path):
    """How much longer than 0.2 s a tenth of the set takes to parse: a busy machine's second is a shorter one."""
    text = write_set(path, 11_800, 86_000).read_text()
    clock = time.process_time()
    json.loads(text)
    return (time.process_time() - clock) / 0.2


def measured(path):
    """Seconds of a processor and MB above the start at most of reading; MB that epochs add, here and in a worker."""
    start, clock = memory("VmRSS"), time.process_time()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    found = read_coco(path)
    seconds, peak, before = time.process_time() - clock, memory("VmHWM") - start, memory("VmRSS")
    epochs(found)
    growth, pipe = memory("VmRSS") - before, os.pipe()
    if (worker := os.fork()) == 0:
        private = own_memory()
        epochs(found)
        os.write(pipe[1], str(own_memory() - private).encode())
        os._exit(0)
    copied = float(os.read(pipe[0], 100))
    os.waitpid(worker, 0)
    return seconds, peak, growth, copied


def epochs(found):
    for _ in range(2):
        for index in range(0, len(found), 3):
            found[index]


def memory(field):
    """MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024


def own_memory():
    """MB that no other process shares."""
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) / 1024


def test_a_box_has_its_number_in_the_file_and_how_far_it_was_outside(tmp_path):
    boxes = [[-7, 2, 12, 4], [1, 1, 0, 0], [2, 2, 3, 3], [90, 50, 13, 30]]
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 60, "width": 100}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": box} for box in boxes],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(truth))
    found = read_coco(path)
    assert (found.numbers.tolist(), found.outside.tolist()) == ([0, 2, 3], [7, 0, 20])
