"""Programs of torch.export in files (`.pt2`), loaded without running what their author wrote in Python.

torch.export.load unpickles tensors that are marked so, objects and sample inputs, evaluates symbols as text, compiles
names into Python source, and loads native code of AOTInductor. It gets an archive that is made anew of what is accepted
here and in `pt2_schema`, so that it reads nothing else, even where two readers of one ZIP file find different members.

Of an archive that others saved, this copy leaves out what a program of tensors does not need: sample inputs, guards,
assertions, places in source, the names of arguments, and the classes that results are returned in.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import torch
from torch.export import ExportedProgram

from paretodet import schema
from paretodet.detectors.detector import Detector
from paretodet.errors import ErrorId, InputError, words
from paretodet.export.pt2_schema import (
    IN,
    LEAF,
    OPERATORS,
    OPERATORS_OF_OTHERS,
    OUT,
    TREE,
    Pt2Payloads,
    Pt2Program,
    foreign,
)
from paretodet.export.unselected import unselected_program
from paretodet.layers.precision import in_precision
from paretodet.writing import written

MODEL, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
CONFIGS = {"data/weights/model_weights_config.json", "data/constants/model_constants_config.json"}
TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_[0-9]{1,9}")
NATIVE = "data/aotinductor/"
OURS = {MODEL, SAMPLES, *CONFIGS}
WRITER = {  # what torch writes into every archive
    "archive_format", "archive_version", "byteorder", "version", ".data/version", ".data/serialization_id",
    ".format_version", ".storage_alignment",
}  # fmt: skip
ENCRYPTED = 1  # of the flags of a member
MALFORMED = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)  # of JSON of unknown origin
STACK = "nn_module_stack"  # of the metadata of a node: the modules that it is of
EXTRA = "extra/"  # files that an author adds, which torch does not read by itself
AGAIN = "; export the bundle again"


class UnsafeProgram(InputError):
    """An archive that may do more than compute with tensors, and why."""

    def __init__(self, path: Path, reason: str, id: ErrorId = "bundle-unsafe") -> None:
        super().__init__(f"{path}: {reason}{AGAIN}", id)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class _ProgramRules:
    """What is accepted: the operators, what is changed in a member before it is checked, and members left out."""

    operators: Set[str] = OPERATORS
    change: Callable[[str, bytes], bytes] = lambda name, content: content
    left_out: tuple[str, ...] = ()


def unselected_to_pt2(detector: Detector, path: Path, *, batch: int = 1, precision: str = "fp32") -> None:
    """Writes a detector without its selection (`export.unselected`), channels-last, for its spec's canvas."""
    in_precision(detector, precision).requires_grad_(False)
    save(unselected_program(detector, batch, "NCHW"), path)


def save(program: ExportedProgram, path: Path) -> None:
    """Writes a program of one input and two outputs, without guards and sample inputs.

    Raises InputError if it holds what `load` refuses.
    """
    with TemporaryDirectory() as folder, written(path) as temporary:
        raw = Path(folder) / "detector.pt2"
        torch.export.save(program, raw)
        write_archive(_contents(raw, _ProgramRules(change=_bare)), temporary)


def load(path: Path) -> ExportedProgram:
    """Raises UnsafeProgram if the archive holds anything but one program of known operators and its tensors."""
    return _loaded(path, OURS_ONLY)


def load_of_others(path: Path) -> ExportedProgram:
    """A program that `torch.export.save` wrote elsewhere; raises as `load` where something cannot be left out."""
    return _loaded(path, OF_OTHERS)


def check_of_others(path: Path) -> None:
    """Raises UnsafeProgram as `load_of_others`, without calling torch."""
    for _ in _contents(path, OF_OTHERS):
        pass


def _loaded(path: Path, kind: _ProgramRules) -> ExportedProgram:
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "detector.pt2"
        write_archive(_contents(path, kind), copy)
        return torch.export.load(copy)


def check(path: Path) -> None:
    """Raises UnsafeProgram as `load`, without calling torch. Raises OSError if the file cannot be read."""
    for _ in _contents(path, OURS_ONLY):
        pass


def write_archive(contents: Iterable[tuple[str, bytes]], path: Path) -> None:
    """Writes an archive of torch.export with these members."""
    from torch.export.pt2_archive import PT2ArchiveWriter  # imports Inductor, which takes long

    with path.open("wb") as file, PT2ArchiveWriter(file) as archive:
        for name, content in contents:
            archive.write_bytes(name, content)


def _contents(path: Path, kind: _ProgramRules) -> Iterator[tuple[str, bytes]]:
    """The members of an archive that make the program, changed and checked."""
    try:
        with ZipFile(path) as archive:
            for name, info in _members(archive, path, kind.left_out).items():
                content = kind.change(name, archive.read(info))
                _check(name, content, path, kind.operators)
                yield name, content
    except (*MALFORMED, BadZipFile, EOFError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"it is not an archive of torch.export ({words(error)})"
        raise UnsafeProgram(path, reason, "bundle-altered") from None


def _members(archive: ZipFile, path: Path, left_out: tuple[str, ...]) -> Mapping[str, ZipInfo]:
    """The members of an archive by their names below its one folder, without those of `WRITER`."""
    names = [info.filename.partition("/") for info in archive.infolist()]
    found = {name: info for (_, _, name), info in zip(names, archive.infolist(), strict=True)}
    if len(found) < len(names) or len({root for root, _, _ in names}) > 1:
        raise UnsafeProgram(path, "its members are in several folders, or one is there twice")
    found = {name: info for name, info in found.items() if not name.startswith(left_out)}
    for name, info in found.items():
        _check_member(name, info, path)
    if sum(info.file_size for info in found.values()) > path.stat().st_size:
        raise UnsafeProgram(path, "its members overlap")
    if missing := sorted(OURS - found.keys()):
        raise UnsafeProgram(path, f"it has no {missing[0]}", "bundle-altered")
    return {name: info for name, info in found.items() if name not in WRITER}


def _check_member(name: str, info: ZipInfo, path: Path) -> None:
    """Its name and size; its content is not read."""
    if name.startswith(NATIVE):
        raise UnsafeProgram(path, "it is a package of AOTInductor, whose native code runs when it is loaded")
    if name not in OURS | WRITER and not TENSOR.fullmatch(name):
        raise UnsafeProgram(path, f"it holds {name[:100]!r}, which is no part of a program of tensors")
    if info.compress_type != ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & ENCRYPTED:
        raise UnsafeProgram(path, f"{name} is compressed or encrypted")
    if not TENSOR.fullmatch(name) and info.file_size > schema.MAX_BYTES:
        raise UnsafeProgram(path, f"{name} has {info.file_size:,} bytes, {schema.MAX_BYTES:,} are allowed")
    if TENSOR.fullmatch(name) and not info.file_size:
        raise UnsafeProgram(path, f"{name} is empty")


def _check(name: str, content: bytes, path: Path, operators: Set[str]) -> None:
    """What a member says."""
    if name == SAMPLES and content:
        raise UnsafeProgram(path, "it holds sample inputs, which torch unpickles")
    try:
        if name == MODEL:
            program = schema.parse(content, Pt2Program, what=name)
            if others := foreign(program, operators):
                raise UnsafeProgram(path, f"it calls {min(others)[:100]}, which no detector needs")
        elif name in CONFIGS:
            _check_payloads(schema.parse(content, Pt2Payloads, what=name), path)
    except schema.SchemaError as error:
        raise UnsafeProgram(path, f"it says more than a program of tensors needs ({words(error)})") from None


def _check_payloads(payloads: Pt2Payloads, path: Path) -> None:
    for name, payload in payloads.config.items():
        if payload.use_pickle or payload.tensor_meta is None:
            raise UnsafeProgram(path, f"the tensor {name} is pickled, and unpickling runs code")


def _bare(name: str, content: bytes) -> bytes:
    """A member as torch writes it, without assertions, guards, places in source and the modules that are called."""
    if name == SAMPLES:
        return b""
    if name != MODEL:
        return content
    document = json.loads(content)
    for node in _stripped(document, OUT):
        node["metadata"] = {STACK: node["metadata"].get(STACK, "")}
    return json.dumps(document).encode()


def _of_tensors(name: str, content: bytes) -> bytes:
    """A member as others let torch write it, as far as it computes with tensors."""
    if name == SAMPLES:
        return b""
    if name != MODEL:
        return content
    document = json.loads(content)
    signature = document["graph_module"]["module_call_graph"][0]["signature"]
    tree, count = signature["out_spec"], len(document["graph_module"]["graph"]["outputs"])
    if re.match(TREE, tree) is None or tree.count(LEAF) != count:
        tree = f'[1, {{"type": "builtins.tuple", "context": "null", "children_spec": [{", ".join([LEAF] * count)}]}}]'
    for node in _stripped(document, tree):
        node["metadata"] = {}
    signature["forward_arg_names"] = ["pixels"]
    return json.dumps(document).encode()


def _stripped(document: Any, tree: str) -> list[Any]:
    """Takes guards, assertions and the modules that are called out of a program. Returns its nodes."""
    document["guards_code"] = []
    module = document["graph_module"]
    module |= {"metadata": {}, "treespec_namedtuple_fields": {}, "module_call_graph": module["module_call_graph"][:1]}
    module["module_call_graph"][0]["signature"] |= {"in_spec": IN, "out_spec": tree}
    nodes = [node for node in module["graph"]["nodes"] if any("as_none" not in each for each in node["outputs"])]
    module["graph"]["nodes"] = nodes
    return nodes


OURS_ONLY = _ProgramRules()
OF_OTHERS = _ProgramRules(operators=OPERATORS_OF_OTHERS, change=_of_tensors, left_out=(EXTRA,))
