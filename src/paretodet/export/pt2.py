"""Programs of torch.export in files (`.pt2`), loaded without running what their author wrote in Python.

torch.export.load unpickles tensors that are marked so, objects and sample inputs, evaluates symbols as text, compiles
names into Python source, and loads native code of AOTInductor. It gets an archive that is made anew of what is accepted
here and in `pt2_schema`, so that it reads nothing else, even where two readers of one ZIP file find different members.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import torch
from torch.export import ExportedProgram

from paretodet import schema
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, words
from paretodet.export.pt2_schema import IN, OUT, Pt2Payloads, Pt2Program, foreign
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
STACK = "nn_module_stack"  # of the metadata of a node: the modules that it is of


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
        write_archive(_contents(raw, _bare), temporary)


def load(path: Path) -> ExportedProgram:
    """Raises InputError if the archive holds anything but one program of known operators and its tensors."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "detector.pt2"
        write_archive(_contents(path), copy)
        return torch.export.load(copy)


def check(path: Path) -> None:
    """Raises InputError as `load`, without calling torch. Raises OSError if the file cannot be read."""
    for _ in _contents(path):
        pass


def write_archive(contents: Iterable[tuple[str, bytes]], path: Path) -> None:
    """Writes an archive of torch.export with these members."""
    from torch.export.pt2_archive import PT2ArchiveWriter  # imports Inductor, which takes long

    with path.open("wb") as file, PT2ArchiveWriter(file) as archive:
        for name, content in contents:
            archive.write_bytes(name, content)


def _same(name: str, content: bytes) -> bytes:
    return content


def _contents(path: Path, change: Callable[[str, bytes], bytes] = _same) -> Iterator[tuple[str, bytes]]:
    """The members of an archive that make the program, after a `change`, each checked."""
    try:
        with ZipFile(path) as archive:
            for name, info in _members(archive, path).items():
                content = change(name, archive.read(info))
                _check(name, content, path)
                yield name, content
    except (BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        message = f"{path}: it is no archive of torch.export ({words(error)}); export the bundle again"
        raise InputError(message, "bundle-altered") from None


def _members(archive: ZipFile, path: Path) -> Mapping[str, ZipInfo]:
    """The members of an archive by their names below its one folder, without those of `WRITER`."""
    names = [info.filename.partition("/") for info in archive.infolist()]
    found = {name: info for (_, _, name), info in zip(names, archive.infolist(), strict=True)}
    if len(found) < len(names) or len({root for root, _, _ in names}) > 1:
        raise _unsafe(path, "its members are in several folders, or one is there twice")
    for name, info in found.items():
        _check_member(name, info, path)
    if sum(info.file_size for info in found.values()) > path.stat().st_size:
        raise _unsafe(path, "its members overlap")
    if missing := sorted(OURS - found.keys()):
        raise InputError(f"{path}: it has no {missing[0]}; export the bundle again", "bundle-altered")
    return {name: info for name, info in found.items() if name not in WRITER}


def _check_member(name: str, info: ZipInfo, path: Path) -> None:
    """Its name and size; its content is not read."""
    if name.startswith(NATIVE):
        raise _unsafe(path, "it is a package of AOTInductor, whose native code runs when it is loaded")
    if name not in OURS | WRITER and not TENSOR.fullmatch(name):
        raise _unsafe(path, f"it holds {name[:100]!r}, which is no part of a program of tensors")
    if info.compress_type != ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & ENCRYPTED:
        raise _unsafe(path, f"{name} is compressed or encrypted")
    if not TENSOR.fullmatch(name) and info.file_size > schema.MAX_BYTES:
        raise _unsafe(path, f"{name} has {info.file_size:,} bytes, {schema.MAX_BYTES:,} are allowed")
    if TENSOR.fullmatch(name) and not info.file_size:
        raise _unsafe(path, f"{name} is empty")


def _check(name: str, content: bytes, path: Path) -> None:
    """What a member says."""
    if name == SAMPLES and content:
        raise _unsafe(path, "it holds sample inputs, which torch unpickles")
    try:
        if name == MODEL:
            program = schema.parse(content, Pt2Program, what=name)
            if others := foreign(program):
                raise _unsafe(path, f"it calls {min(others)[:100]}, which no detector needs")
        elif name in CONFIGS:
            _check_payloads(schema.parse(content, Pt2Payloads, what=name), path)
    except schema.SchemaError as error:
        raise _unsafe(path, f"it says what export does not write ({words(error)})") from None


def _check_payloads(payloads: Pt2Payloads, path: Path) -> None:
    for name, payload in payloads.config.items():
        if payload.use_pickle or payload.tensor_meta is None:
            raise _unsafe(path, f"the tensor {name} is pickled, and unpickling runs code")


def _unsafe(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: {reason}; export the bundle again", "bundle-unsafe")


def _bare(name: str, content: bytes) -> bytes:
    """A member as torch writes it, without assertions, guards, places in source and the modules that are called."""
    if name == SAMPLES:
        return b""
    if name != MODEL:
        return content
    document = json.loads(content)
    document["guards_code"] = []
    module = document["graph_module"]
    module |= {"metadata": {}, "treespec_namedtuple_fields": {}, "module_call_graph": module["module_call_graph"][:1]}
    module["module_call_graph"][0]["signature"] |= {"in_spec": IN, "out_spec": OUT}
    nodes = [node for node in module["graph"]["nodes"] if any("as_none" not in each for each in node["outputs"])]
    for node in nodes:
        node["metadata"] = {STACK: node["metadata"].get(STACK, "")}
    module["graph"]["nodes"] = nodes
    return json.dumps(document).encode()
