"""Random, truncated, extended and bit-flipped weights files: an error that names the file, or a valid network."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing import LONG_S
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.weights import darknet

DETECTOR = build(spec("yolo_v3_tiny-32", Override(labels=("a",))))
FLIPS = st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 7)), max_size=8)
PLACE = st.one_of(st.integers(0, 64), st.integers(0, 2**31))  # errors are most likely in headers


def survives(path):
    try:
        darknet.load(DETECTOR, path)
    except ValueError as error:
        assert path.name in str(error)
    else:
        assert all(tensor.isfinite().all() for tensor in DETECTOR.state_dict().values())


def fuzz(folder, seconds):
    """As many as possible in this time. The file of tens of megabytes is damaged in place and restored."""
    whole, small, done, end = folder / "whole.weights", folder / "some.weights", 0, time.process_time() + seconds
    darknet.save(DETECTOR, whole)
    size = whole.stat().st_size

    def damaged(places, length):
        with whole.open("r+b") as file:
            healed = [(place % size, _byte(file, place % size)) for place, _ in places]
            for (place, byte), (_, bit) in zip(healed, places, strict=True):
                _write(file, place, byte ^ 1 << bit)
            file.truncate(length)
        survives(whole)
        if length < size:
            return darknet.save(build(DETECTOR.spec), whole)
        with whole.open("r+b") as file:
            file.truncate(size)
            for place, byte in reversed(healed):
                _write(file, place, byte)

    @settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200), FLIPS, PLACE, st.sampled_from(("small", "flipped", "longer", "shorter")))
    def run(content, places, place, kind):
        nonlocal done
        if time.process_time() > end:
            return
        done += 1
        if kind == "small":
            small.write_bytes(content)
            survives(small)
        else:
            damaged(places, {"flipped": size, "longer": size + 1 + place % 64, "shorter": place % size}[kind])

    while time.process_time() < end:
        run()
    return done


def _byte(file, place):
    file.seek(place)
    return file.read(1)[0]


def _write(file, place, byte):
    file.seek(place)
    file.write(bytes([byte]))


def test_no_weights_file_breaks_the_reader(tmp_path):
    assert fuzz(tmp_path, 5) > 20


@pytest.mark.full
def test_no_weights_file_breaks_the_reader_for_long(tmp_path):
    assert fuzz(tmp_path, LONG_S) > 200
