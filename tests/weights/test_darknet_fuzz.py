"""Random, truncated, extended and bit-flipped weights files: an error that names the file, or a valid network."""

import pytest

from fuzzing import LONG_S, SHORT_S, damaged, fuzz
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.weights import darknet

DETECTOR = build(scale_width(spec("yolo_v3_tiny-32", Override(labels=("a",))), 0.125))


def files_read(folder, seconds):
    """How many files were read in this time."""
    path = folder / "some.weights"
    darknet.save(DETECTOR, path)

    def read(content):
        path.write_bytes(content)
        try:
            darknet.load(DETECTOR, path)
        except ValueError as error:
            assert path.name in str(error)
        else:
            assert all(tensor.isfinite().all() for tensor in DETECTOR.state_dict().values())

    return len(fuzz(damaged(path.read_bytes()), read, seconds))


@pytest.mark.usefixtures("half")
def test_no_weights_file_breaks_the_reader(tmp_path):
    assert files_read(tmp_path, SHORT_S) > 20


@pytest.mark.full
def test_no_weights_file_breaks_the_reader_for_long(tmp_path):
    assert files_read(tmp_path, LONG_S) > 200
