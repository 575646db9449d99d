"""Random, truncated and bit-flipped files of TensorFlow: an error that names the file, or tensors of its size."""

import shutil

import pytest

from fuzzing import LONG_S, SHORT_S, damaged, fuzz
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


def files_read(folder, name, seconds):
    """How many files were read in this time."""
    if name == "model.json":
        write_tfjs(SOME, folder / name)
    else:
        shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    path, parser = folder / name, PARSERS[name]

    def read(content):
        path.write_bytes(content)
        try:
            parser.FORMAT.matches(path)
            tensors = parser.read(path)
        except WeightsError as error:
            assert path.parent.name in str(error)
        else:
            assert sum(tensor.untyped_storage().nbytes() for tensor in tensors.values()) < 2**20

    return len(fuzz(damaged(path.read_bytes()), read, seconds))


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("name", PARSERS)
def test_no_file_breaks_its_reader(tmp_path, name):
    assert files_read(tmp_path, name, SHORT_S) > 20


@pytest.mark.full
@pytest.mark.parametrize("name", PARSERS)
def test_no_file_breaks_its_reader_for_long(tmp_path, name):
    assert files_read(tmp_path, name, LONG_S) > 200


def test_the_files_are_read_whole():
    for name in ("v2.ckpt.index", "v1.ckpt", "frozen.pb"):
        assert file_format(FOLDER / name).read(FOLDER / name)
