"""Random, truncated and bit-flipped files of torch and safetensors: an error that names the file, or its tensors."""

import io
import zipfile

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes

from fuzzing import LONG_S, SHORT_S, damaged, fuzz
from paretodet.weights import safe
from paretodet.weights.formats import torch_file
from paretodet.weights.safe import WeightsError

STATE = {
    "a.weight": torch.ones(4, 3),
    "a.bias": torch.zeros(4).half(),
    "n": torch.tensor(3),
    "view": torch.arange(6.0)[1::2],
}


def torch_bytes(*, archive):
    file = io.BytesIO()
    torch.save({"state_dict": STATE, "epoch": 1}, file, _use_new_zipfile_serialization=archive)
    return file.getvalue()


def with_pickle(whole, changed):
    """The archive with another `data.pkl`, all of whose sizes and checksums are right."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, changed if entry.endswith("data.pkl") else old.read(entry))
    return made.getvalue()


def archives():
    whole = torch_bytes(archive=True)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        inside = next(archive.read(entry) for entry in archive.namelist() if entry.endswith("data.pkl"))
    return st.one_of(damaged(whole), damaged(inside).map(lambda content: with_pickle(whole, content)))


CONTENTS = {
    "new.pth": archives(),
    "old.pth": damaged(torch_bytes(archive=False)),
    "w.safetensors": damaged(safetensors_bytes(STATE | {"view": torch.ones(3)})),
}


def files_read(folder, name, seconds):
    """How many files were read in this time."""
    path, parser = folder / name, safe if name.endswith(".safetensors") else torch_file

    def read(content):
        path.write_bytes(content)
        try:
            tensors = parser.read(path)
        except WeightsError as error:
            assert str(path) in str(error)
        else:
            assert sum(tensor.nbytes for tensor in tensors.values()) <= len(tensors) * path.stat().st_size

    return len(fuzz(CONTENTS[name], read, seconds))


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("name", CONTENTS)
def test_no_file_breaks_its_reader(tmp_path, name):
    assert files_read(tmp_path, name, SHORT_S) > 20


@pytest.mark.full
@pytest.mark.parametrize("name", CONTENTS)
def test_no_file_breaks_its_reader_for_long(tmp_path, name):
    assert files_read(tmp_path, name, LONG_S) > 200
