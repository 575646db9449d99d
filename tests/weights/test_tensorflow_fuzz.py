"""Random, truncated and bit-flipped files of TensorFlow: an error that names the file, or tensors of its size."""

import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing import LONG_S
from paretodet.weights.files import file_format
from paretodet.weights.formats import tensorflow_checkpoint, tensorflow_graph, tfjs
from paretodet.weights.safe import WeightsError
from record_tensorflow_files import FOLDER
from tensorflow_files import SOME
from tensorflow_files import tfjs as write_tfjs

PARSERS = {
    "v2.ckpt.index": tensorflow_checkpoint, "v1.ckpt": tensorflow_checkpoint, "frozen.pb": tensorflow_graph,
    "model.json": tfjs,
}  # fmt: skip
FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 7)), max_size=6)


def survives(path, parser):
    begun = time.process_time()
    try:
        parser.FORMAT.matches(path)
        tensors = parser.read(path)
    except WeightsError as error:
        assert path.parent.name in str(error)
    else:
        assert sum(tensor.untyped_storage().nbytes() for tensor in tensors.values()) < 2**20
    assert time.process_time() - begun < 2


def fuzz(folder, name, seconds):
    done, end = 0, time.process_time() + seconds
    if name == "model.json":
        write_tfjs(SOME, folder / name)
    else:
        shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    path, whole = folder / name, (folder / name).read_bytes()

    @settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200), FLIPS, st.integers(0, len(whole)), st.booleans())
    def run(noise, flips, cut, is_noise):
        nonlocal done
        if time.process_time() > end:
            return
        done += 1
        content = bytearray(whole)
        for place, bit in flips:
            content[place % len(whole)] ^= 1 << bit
        path.write_bytes(whole[:cut] + noise + whole[cut:] if is_noise else content[: cut or None])
        survives(path, PARSERS[name])

    while time.process_time() < end:
        run()
    return done


@pytest.mark.parametrize("name", PARSERS)
def test_no_file_breaks_its_reader(tmp_path, name):
    assert fuzz(tmp_path, name, 5) > 20


@pytest.mark.full
@pytest.mark.parametrize("name", PARSERS)
def test_no_file_breaks_its_reader_for_long(tmp_path, name):
    assert fuzz(tmp_path, name, LONG_S) > 200


def test_the_files_are_read_whole():
    for name in ("v2.ckpt.index", "v1.ckpt", "frozen.pb"):
        assert file_format(FOLDER / name).read(FOLDER / name)
