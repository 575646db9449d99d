"""Archives of torch.export: what is written, and that nothing which torch would run as code is loaded."""

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from paretodet.errors import InputError
from paretodet.export import pt2
from paretodet.export.torch_target import TorchTarget

MODEL = "archive/models/model.json"
WEIGHTS, CONSTANTS = (f"archive/data/{kind}/model_{kind}_config.json" for kind in ("weights", "constants"))
SAMPLES = "archive/data/sample_inputs/model.pt"
PIXELS = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()


class Small(nn.Module):
    """A convolution, a buffer that is not saved, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("shift", torch.arange(4.0), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.conv(pixels.float()).flatten(2).transpose(1, 2)
        return maps + self.shift, maps.sigmoid()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return Small().requires_grad_(False).eval()


@pytest.fixture(scope="module")
def archive(small: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "small.pt2"
    pt2.save(torch.export.export(small, (PIXELS,), strict=True), path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def written(path: Path, contents: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def refused(path: Path, match: str) -> None:
    """By the inspection of a bundle and where it is loaded."""
    for use in (lambda: TorchTarget().inspect(path.parent, (path.name,), path.name), lambda: pt2.load(path)):
        with pytest.raises(InputError, match=match):
            use()


def test_it_computes_the_same_and_holds_no_inputs_and_no_guards(archive: Path, small: nn.Module) -> None:
    for found, wanted in zip(pt2.load(archive).module()(PIXELS), small(PIXELS), strict=True):
        torch.testing.assert_close(found, wanted)
    contents = members(archive)
    document = json.loads(contents[MODEL])
    assert contents[SAMPLES] == b"" and document["guards_code"] == []
    stacks = [node["metadata"]["nn_module_stack"] for node in document["graph_module"]["graph"]["nodes"]]
    assert any("conv" in stack for stack in stacks)
    assert not [name for name, content in contents.items() if str(Path(__file__).parent).encode() in content]


def test_an_archive_that_another_writer_makes_of_it_is_loaded(archive: Path, tmp_path: Path, small: nn.Module) -> None:
    """What follows is refused for what is altered in it, not for how the tests write it."""
    path = written(tmp_path / "same.pt2", members(archive))
    TorchTarget().inspect(tmp_path, (path.name,), path.name)
    torch.testing.assert_close(pt2.load(path).module()(PIXELS)[0], small(PIXELS)[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("archive/data/aotinductor/model/model.so", "AOTInductor, whose native code runs"),
        ("archive/models/other.json", "no part of a program"),
        ("archive/extra/more.txt", "no part of a program"),
        ("archive/data/weights/model.pt", "no part of a program"),
        ("archive/data/constants/custom_obj_0", "no part of a program"),
        ("archive/data/constants/opaque_obj_0", "no part of a program"),
        ("archive/../../evil", "no part of a program"),
        ("/etc/evil", "in several folders"),
        ("other/models/model.json", "in several folders"),
    ],
)
def test_other_members_are_refused(archive: Path, tmp_path: Path, name: str, message: str) -> None:
    path = written(tmp_path / "a.pt2", {**members(archive), name: b"x"})
    refused(path, rf"{message}.*\[bundle-unsafe\]")


def test_a_member_that_is_there_twice_is_refused(archive: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt2", members(archive))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr(MODEL, "{}")
    refused(path, r"there twice.*\[bundle-unsafe\]")


def test_compressed_members_are_refused(archive: Path, tmp_path: Path) -> None:
    refused(written(tmp_path / "a.pt2", members(archive), zipfile.ZIP_DEFLATED), r"is compressed.*\[bundle-unsafe\]")


def test_an_empty_tensor_is_refused(archive: Path, tmp_path: Path) -> None:
    """torch would make one of the size that is stated, however large."""
    (name, *_) = (name for name in members(archive) if "/weight_" in name)
    refused(written(tmp_path / "a.pt2", {**members(archive), name: b""}), r"is empty.*\[bundle-unsafe\]")


def test_a_missing_member_and_a_cut_file_are_refused(archive: Path, tmp_path: Path) -> None:
    contents = members(archive)
    contents.pop(WEIGHTS)
    refused(written(tmp_path / "a.pt2", contents), r"has no data/weights/.*\[bundle-altered\]")
    path = tmp_path / "cut.pt2"
    path.write_bytes(archive.read_bytes()[:-100])
    refused(path, r"not an archive of torch.export.*\[bundle-altered\]")


class Touch:
    """Unpickling one writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(archive: Path, tmp_path: Path) -> None:
    touched, contents, buffer = tmp_path / "touched", members(archive), io.BytesIO()
    torch.save((Touch(touched),), buffer)
    refused(written(tmp_path / "a.pt2", {**contents, SAMPLES: buffer.getvalue()}), r"sample inputs.*\[bundle-unsafe\]")
    for config in (WEIGHTS, CONSTANTS):
        payloads = json.loads(contents[config])
        for payload in payloads["config"].values():
            payload["use_pickle"] = True
        path = written(tmp_path / "a.pt2", {**contents, config: json.dumps(payloads).encode()})
        refused(path, r"is pickled.*\[bundle-unsafe\]")
    payloads["config"]["object"] = {
        "path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None
    }  # fmt: skip
    changed = {
        CONSTANTS: json.dumps(payloads).encode(),
        "archive/data/constants/tensor_9": pickle.dumps(Touch(touched)),
    }
    refused(
        written(tmp_path / "a.pt2", {**contents, **changed}), r"more than a program of tensors needs.*\[bundle-unsafe\]"
    )
    assert not touched.exists()


def node(document: Any) -> Any:
    return document["graph_module"]["graph"]["nodes"][0]


def argument(document: Any) -> Any:
    return node(document)["inputs"][0]


def parameter(document: Any) -> Any:
    return next(
        spec["parameter"] for spec in document["graph_module"]["signature"]["input_specs"] if "parameter" in spec
    )


def call(document: Any) -> Any:
    return document["graph_module"]["module_call_graph"][0]["signature"]


def set_in(find: Callable[[Any], Any], **values: Any) -> Callable[[Any], None]:
    return lambda document: find(document).update(values)


CODE = "x): import os #"
SYMBOL = {"as_expr": {"expr_str": "__import__('os')", "hint": None}}
LEFT_OUT = ("from_node", "guards_code", "forward_arg_names", "in_spec")  # of a program that others saved
OTHER_CLASS = '[1, {"type": "collections.OrderedDict", "context": "[]", "children_spec": []}]'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in(node, target="torch.ops.aten.from_file.default"), "calls torch.ops.aten.from_file"),
        (set_in(node, target="torch.ops.mine.add.default"), "calls torch.ops.mine"),
        (set_in(node, target="torch.hub.load"), "calls torch.hub.load"),
        (set_in(node, target="_operator.add"), "calls _operator.add"),
        (set_in(node, target="torch.ops.higher_order.cond"), "calls torch.ops.higher_order"),
        (set_in(node, name=CODE), "name"),
        (set_in(node, metadata={"from_node": "[]"}), "from_node"),
        (set_in(argument, arg={"as_custom_obj": {"name": "x", "class_fqn": "y"}}), "as_custom_obj"),
        (set_in(argument, arg={"as_graph": {}}), "as_graph"),
        (set_in(argument, arg={"as_operator": "torch.hub.load"}), "as_operator"),
        (set_in(lambda d: next(iter(d["graph_module"]["graph"]["tensor_values"].values())), sizes=[SYMBOL]), "as_expr"),
        (set_in(lambda d: d["graph_module"]["graph"], sym_int_values={"s0": SYMBOL}), "sym_int_values"),
        (set_in(lambda d: d, range_constraints={"s0": {"min_val": 1, "max_val": 2}}), "range_constraints"),
        (set_in(lambda d: d, guards_code=["__import__('os')"]), "guards_code"),
        (set_in(call, forward_arg_names=[CODE]), "forward_arg_names"),
        (set_in(call, in_spec=OTHER_CLASS), "in_spec"),
        (set_in(parameter, parameter_name="__class__.forward"), "parameter_name"),
        (set_in(lambda d: d, unknown=1), "unknown"),
    ],
)  # fmt: skip
def test_what_torch_would_run_as_code_is_refused(
    archive: Path, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    contents = members(archive)
    document = json.loads(contents[MODEL])
    change(document)
    path = written(tmp_path / "a.pt2", {**contents, MODEL: json.dumps(document).encode()})
    refused(path, rf"{message}.*\[bundle-unsafe\]")
    if message not in LEFT_OUT:
        with pytest.raises(pt2.UnsafeProgram, match=message):
            pt2.check_of_others(path)
        return
    program = pt2.load_of_others(path)
    assert program._guards_code == [] and "import os" not in str(program)
    assert program.module(check_guards=False)(PIXELS)[0].shape == (1, 36, 4)


def samples_of(path: Path) -> str:
    """The member of sample inputs; torch names the folder after the file."""
    return next(name for name in members(path) if name.endswith(SAMPLES.partition("/")[2]))


class Apart(Small):
    """Results in two containers, beside a check of the input."""

    def forward(self, pixels: Tensor) -> Any:
        assert pixels.shape[1] == 3
        maps, scores = super().forward(pixels)
        return {"scores": [torch.nn.functional.silu(scores)], "maps": maps}


class Named(Small):
    def forward(self, pixels: Tensor) -> Any:
        return dict(zip(("maps", "scores"), super().forward(pixels), strict=True))


class Alone(Small):
    def forward(self, pixels: Tensor) -> Any:
        return super().forward(pixels)[0]


@pytest.mark.parametrize("kind", [Small, Apart, Named, Alone])
def test_a_program_that_others_saved_is_loaded_without_its_samples(kind: type[Small], tmp_path: Path) -> None:
    path, network = tmp_path / "a.pt2", kind().requires_grad_(False).eval()
    torch.export.save(torch.export.export(network, (PIXELS,)), path, extra_files={"config.txt": "{}"})
    assert members(path)[samples_of(path)]
    with pytest.raises(InputError):
        pt2.check(path)
    pt2.check_of_others(path)
    found, wanted = pt2.load_of_others(path).module(check_guards=False)(PIXELS), network(PIXELS)
    assert isinstance(found, dict if kind is Named else tuple)
    for one, other in zip(tree_leaves(found), tree_leaves(wanted), strict=True):
        torch.testing.assert_close(one, other)


def test_samples_that_run_code_are_never_unpickled(tmp_path: Path) -> None:
    path, touched, buffer = tmp_path / "a.pt2", tmp_path / "touched", io.BytesIO()
    torch.export.save(torch.export.export(Small(), (PIXELS,)), path)
    torch.save((Touch(touched),), buffer)
    pt2.load_of_others(written(path, {**members(path), samples_of(path): buffer.getvalue()}))
    assert not touched.exists()


def test_sampling_by_a_grid_needs_trust(tmp_path: Path) -> None:
    """Its places can be outside of its input in torch 2.13."""

    class Sampled(Small):
        def forward(self, pixels: Tensor) -> Any:
            maps, _ = super().forward(pixels)
            maps = maps.reshape(1, 1, 1, -1)
            return torch.nn.functional.grid_sample(maps, torch.zeros(1, 2, 2, 2), align_corners=False)

    torch.export.save(torch.export.export(Sampled(), (PIXELS,)), tmp_path / "a.pt2")
    with pytest.raises(pt2.UnsafeProgram, match="grid_sampler"):
        pt2.check_of_others(tmp_path / "a.pt2")


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"graph_module": {"module_call_graph": []}}', b"[" * 10**5])
def test_a_program_that_is_none_is_refused(archive: Path, tmp_path: Path, document: bytes) -> None:
    path = written(tmp_path / "a.pt2", {**members(archive), MODEL: document})
    with pytest.raises(pt2.UnsafeProgram):
        pt2.check_of_others(path)


def test_an_operator_that_no_detector_needs_is_refused_when_it_is_written(tmp_path: Path) -> None:
    class Cosh(Small):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            boxes, scores = super().forward(pixels)
            return boxes, scores.cosh()

    with pytest.raises(InputError, match=r"calls torch.ops.aten.cosh"):
        pt2.save(torch.export.export(Cosh(), (PIXELS,), strict=True), tmp_path / "a.pt2")
    assert list(tmp_path.iterdir()) == []
