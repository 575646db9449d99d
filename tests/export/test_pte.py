"""What a program of ExecuTorch executes, read from its file."""

import struct
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from paretodet.errors import InputError
from paretodet.export.pte import PORTABLE, XNNPACK, executed_by


def write(module: nn.Module, path: Path, *, partitioners: int = 1, dtype: torch.dtype = torch.float32) -> Path:
    pytest.importorskip("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    values = torch.zeros(1, 3, 8, 8, dtype=dtype)
    program = torch.export.export(module.eval().to(dtype), (values,), strict=True)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()] * partitioners)
    path.write_bytes(lowered.to_executorch().buffer)
    return path


def layers() -> nn.Module:
    """Three convolutions, one of them depthwise and one transposed, and a linear layer."""
    convolutions = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ConvTranspose2d(4, 2, 2, 2))
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(128, 5))


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, "fp32"), (torch.float16, "fp16")])
def test_layers_in_the_backend_are_counted_by_their_precision(
    tmp_path: Path, dtype: torch.dtype, precision: str
) -> None:
    found = executed_by(write(layers(), tmp_path / "a.pte", dtype=dtype))
    assert found.layers == Counter({precision: 4}) and found.backends == {XNNPACK}


def test_layers_outside_of_the_backend_are_named(tmp_path: Path) -> None:
    found = executed_by(write(layers(), tmp_path / "a.pte", partitioners=0))
    assert found.layers == Counter({f"fp32{PORTABLE}": 4}) and not found.backends
    assert found.operators >= {"aten::convolution", "aten::addmm"}


@pytest.mark.parametrize(
    "content",
    [b"", b"ET12", b"onnx" * 20, struct.pack("<I4s", 8, b"ET12") + bytes(60), struct.pack("<I4s", 2**31, b"ET12")],
    ids=["empty", "cut", "another format", "a table of zeros", "outside"],
)
def test_what_is_no_program_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pte"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pte: it is not a readable program of ExecuTorch.*graph-failed"):
        executed_by(path)


def test_a_program_cut_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    """No other error, and no endless loop."""
    whole = write(layers(), tmp_path / "a.pte").read_bytes()
    path = tmp_path / "b.pte"
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        try:
            executed_by(path)
        except InputError as error:
            assert error.id == "graph-failed"
