"""What an ONNX file refers to, read without a library."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.onnx_references import FileReferences, model_hash, references
from paretodet.reading import sha256


def model(
    nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto] = (), opsets: tuple[str, ...] = ("",)
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes, "graph", [value], [result], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, 1) for domain in opsets])


def external(name: str, location: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="16")
    return tensor


def written(path: Path, made: onnx.ModelProto) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def test_a_file_with_its_weights_inside_refers_to_nothing(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    path = written(tmp_path / "a.onnx", model([helper.make_node("Add", ["x", "w"], ["y"])], [weights]))
    assert references(path) == FileReferences(frozenset(), frozenset(("",)))


def test_weights_of_other_files_are_found_in_every_place(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=external("c", "in/branch.bin"))],
        "inner",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])],
    )
    nodes = [
        helper.make_node("If", ["b"], ["i"], then_branch=inner, else_branch=inner),
        helper.make_node("Constant", [], ["k"], value=external("k", "../constant.bin")),
    ]
    path = written(tmp_path / "a.onnx", model(nodes, [external("w", "/weights.bin")]))
    assert references(path).files == {"in/branch.bin", "../constant.bin", "/weights.bin"}


def test_domains_of_operators_are_found_but_not_those_that_the_file_defines(tmp_path: Path) -> None:
    made = model([helper.make_node("Fancy", ["x"], ["y"], domain="com.other")], opsets=("", "com.other", "local"))
    made.functions.append(
        helper.make_function("local", "Same", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [])
    )
    assert references(written(tmp_path / "a.onnx", made)).domains == {"", "com.other"}


@pytest.mark.parametrize("content", [b"", b"\x3a\xff", b"\xff" * 20, b"\x3a\x05\x0a\x7f\x01\x02\x03", b"no ONNX file"])
def test_bytes_that_are_no_file_of_onnx_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        references(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.zeros(100, np.float32), "w")
    path = written(tmp_path / "a.onnx", model([helper.make_node("Add", ["x", "w"], ["y"])], [weights]))
    path.write_bytes(path.read_bytes()[:-120])
    with pytest.raises(ValueError, match="truncated"):
        references(path)


@pytest.mark.parametrize("place", ["tensor", "attribute", "two"])
def test_the_hash_covers_the_files_with_weights(tmp_path: Path, place: str) -> None:
    names = ("w.data", "other.data") if place == "two" else ("w.data",)
    tensors = [external(f"w{index}", name) for index, name in enumerate(names)]
    made = model([helper.make_node("Add", ["x", "w0"], ["y"])], tensors)
    if place == "attribute":
        made = model([helper.make_node("Constant", [], ["y"], value=external("c", "w.data"))])
    path = written(tmp_path / "model.onnx", made)
    hashes = set()
    for last in (b"a", b"b"):
        for name in names:
            (tmp_path / name).write_bytes(b"0" * 15 + (last if name == names[-1] else b"0"))
        hashes.add(model_hash(path))
    assert len(hashes) == 2
    (tmp_path / names[-1]).unlink()
    with pytest.raises(InputError, match=r"model\.onnx: needs the file .*\[file-missing\]"):
        model_hash(path)


def test_the_hash_of_one_file_is_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", model([helper.make_node("Identity", ["x"], ["y"])]))
    assert model_hash(path) == sha256(path)
    (tmp_path / "none.onnx").write_bytes(b"")
    assert model_hash(tmp_path / "none.onnx") == sha256(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("name", "weights", "beside", "key"),
    [
        ("model.onnx", None, "config.json", "weights"),
        ("model.onnx", None, "pipeline.json", "weights"),
        ("model.onnx", None, "preprocessor_config.json", "weights"),
        ("model.xml", "model.bin", "metadata.yaml", "weights"),
        ("model.tflite", None, "labelmap.txt", "weights"),
        ("config.json", None, "preprocessor_config.json", "cfg"),
    ],
)
def test_the_hash_covers_what_is_stated_beside_a_file(
    tmp_path: Path, name: str, weights: str | None, beside: str, key: str
) -> None:
    path = tmp_path / name
    for each in filter(None, (name, weights)):
        (tmp_path / each).write_bytes(b"any")
    hashes = {model_hash(path)}
    for text in ("cat\ndog", "dog\ncat"):
        (tmp_path / beside).write_text(text)
        hashes.add(model_hash(path))
        config = CandidateConfig(name=str(path))
        assert config.to_json()[key] == model_hash(path)
    assert len(hashes) == 3
    (tmp_path / "another.txt").write_text("any")
    assert model_hash(path) in hashes
