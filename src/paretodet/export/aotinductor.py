"""Detectors as packages of AOTInductor: native code for processors like this one, which torch loads and calls.

A package is rebuilt without the C++ source and the names of folders that torch leaves in it. Its metadata states what
is needed to run it, which is read before the code is loaded.
"""

import json
import os
import platform
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Graph

from paretodet import schema
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, words
from paretodet.export.inductor import inductor_cache, layer_precisions
from paretodet.export.program import TensorModule, blank
from paretodet.export.pt2 import WRITER, write_archive
from paretodet.extras import MissingExtra
from paretodet.layers.precision import in_precision
from paretodet.schema import Count
from paretodet.writing import written

OLDEST = 2, 13  # of torch: has the options
NAME = "detector"
CODE, OPERATORS, METADATA = (
    f"data/aotinductor/model/{NAME}.wrapper{ending}" for ending in (".so", ".json", "_metadata.json")
)
MEMBERS = (CODE, OPERATORS, METADATA)  # of a package; the second names the calls of our operators
KEY = "paretodet"  # of the metadata: a PackageInfo as JSON
OURS = "paretodet"  # the namespace of our operators
LARGEST = torch.finfo(torch.float32).max
INPUTS, OUTPUTS = ("pixels", "sizes"), ("boxes", "scores", "labels", "masks")
OPTIONS: dict[str, Any] = {  # of Inductor
    "freezing": True,
    "compile_threads": 1,  # a pool of compilers would outlive the build
    "cpp.dynamic_threads": True,  # else the code has the number of threads that compiled it
    "cpp.march": "",  # only instructions of FEATURES, and not all of this processor
    "aot_inductor.enable_line_tables": False,  # which name folders of this machine
    "aot_inductor.model_name_for_generated_files": NAME,
}
FEATURES = (  # of processors, that Inductor writes code for where it finds them, as torch.cpu names them
    "avx2", "fma3", "f16c", "avx512_f", "avx512_bw", "avx512_dq", "avx512_vl", "avx512_vnni", "avx512_bf16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TensorShape:
    """An input or output."""

    name: str
    type: str  # "uint8", "float32", "int64"
    shape: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What native code needs: the version of torch, the system, and the processor with its instructions."""

    torch: str
    system: str
    machine: str
    features: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PackageInfo:
    """What a package states about itself."""

    platform: Platform
    layers: dict[str, int]  # convolutions and matrix products of the compiled graph by precision
    inputs: tuple[TensorShape, ...]
    outputs: tuple[TensorShape, ...]


def require_torch(user: str) -> None:
    """Raises MissingExtra if torch is older than the options that packages are compiled with. `user` needs it."""
    found = torch.__version__
    if tuple(map(int, found.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise MissingExtra(f"{user} needs torch {oldest} or newer, and this is {found}: update torch")


def to_package(detector: Detector, path: Path, *, batch: int = 1, precision: str = "fp32") -> None:
    """Writes a whole detector for a batch of its spec's canvas. Raises what torch raises if it cannot be compiled.

    Its suppression and crops, operators of `paretodet.ops`, are called in Python: where a package is loaded, these
    modules have to be imported.
    """
    module = TensorModule(in_precision(detector, precision).requires_grad_(False))
    pixels, sizes = blank(batch, (detector.spec.height, detector.spec.width))
    inputs = pixels.contiguous(memory_format=torch.channels_last), sizes
    with TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():  # with gradients nothing is frozen
        warnings.simplefilter("ignore")  # of parts of torch about each other
        outputs = module(*inputs)
        raw = Path(folder) / "raw.pt2"
        with inductor_cache() as cache:
            layers = _compile(module, inputs, raw)
        info = PackageInfo(
            platform=here(),
            layers=dict(layers),
            inputs=_shapes(INPUTS, inputs),
            outputs=_shapes(OUTPUTS[: len(outputs)], outputs),
        )
        with written(path) as temporary:
            _rebuild(raw, temporary, info, hide=(cache, Path(torch.__file__).parents[1]))


def read_info(path: Path) -> PackageInfo:
    """What a package states about itself; nothing of it is loaded. Raises InputError if it is no package of ours."""
    try:
        with ZipFile(path) as archive:
            found = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            if unknown := sorted(found.keys() ^ {*MEMBERS, *(found.keys() & WRITER)}):
                raise InputError(f"{unknown[0][:100]!r} is missing, or not to be there", "bundle-altered")
            if found[METADATA].file_size > schema.MAX_BYTES:
                raise InputError(f"{METADATA} has {found[METADATA].file_size:,} bytes", "bundle-altered")
            metadata = schema.parse(archive.read(found[METADATA]), dict[str, str], what=METADATA)
        return schema.parse(metadata.get(KEY, ""), PackageInfo, what=f"{METADATA}: {KEY}")
    except (BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        message = f"{path}: it is not a package of AOTInductor by export ({words(error)}); export the bundle again"
        raise InputError(message, "bundle-altered") from None


def here() -> Platform:
    """What native code that is compiled here needs."""
    able = torch.cpu.get_capabilities()
    return Platform(
        torch=torch.__version__.partition("+")[0],
        system=sys.platform,
        machine=platform.machine(),
        features=tuple(feature for feature in FEATURES if able.get(feature)),
    )


def check_platform(path: Path, needed: Platform) -> None:
    """Raises InputError if native code cannot run here: the process could end at an unknown instruction."""
    found = here()
    missing = sorted(set(needed.features) - set(found.features))
    if needed.torch != found.torch:
        reason = f"for torch {needed.torch}, and this is {found.torch}"
    elif (needed.system, needed.machine) != (found.system, found.machine):
        reason = f"for {needed.system} on {needed.machine}, and this is {found.system} on {found.machine}"
    elif missing:
        reason = f"for a processor with {', '.join(missing)}, which this one lacks"
    else:
        return
    raise InputError(f"{path}: its native code was compiled {reason}; export the bundle here", "bundle-elsewhere")


def _compile(module: TensorModule, inputs: tuple[Tensor, ...], path: Path) -> Counter[str]:
    """Writes the package as torch makes it, and counts what its graph executes."""
    from torch._inductor import aoti_compile_and_package

    layers = Counter[str]()

    def count(graph: Graph) -> None:
        assert graph.owning_module
        layers.update(layer_precisions(graph.owning_module))

    program = torch.export.export(module, inputs, strict=True)
    _limit_arguments(program)
    configs = {**OPTIONS, "post_grad_custom_pre_pass": count}
    aoti_compile_and_package(program, package_path=str(path), inductor_configs=configs)
    return layers


def _limit_arguments(program: ExportedProgram) -> None:
    """Makes infinite arguments of our operators finite: a package has them as text, which torch does not read."""

    def limited(argument: Any) -> Any:
        return max(-LARGEST, min(LARGEST, argument)) if isinstance(argument, float) else argument

    for node in program.graph.nodes:
        if getattr(node.target, "namespace", None) == OURS:
            node.args = tuple(map(limited, node.args))
            node.kwargs = {name: limited(value) for name, value in node.kwargs.items()}


def _rebuild(raw: Path, path: Path, info: PackageInfo, *, hide: Sequence[Path]) -> None:
    """The members that torch loads, with `info` in their metadata, and without the names of the folders `hide`."""
    with ZipFile(raw) as archive:
        found = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(found[METADATA]) | {KEY: json.dumps(asdict(info))}
    code = found[CODE]
    for folder in map(os.fsencode, hide):  # of sources, in messages of errors
        code = code.replace(folder, b"/" * len(folder))
    write_archive(((CODE, code), (OPERATORS, found[OPERATORS]), (METADATA, json.dumps(metadata).encode())), path)


def _shapes(names: Sequence[str], tensors: Sequence[Tensor]) -> tuple[TensorShape, ...]:
    kinds = (str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
    pairs = zip(names, kinds, (tuple(tensor.shape) for tensor in tensors), strict=True)
    return tuple(TensorShape(name=name, type=kind, shape=shape) for name, kind, shape in pairs)
