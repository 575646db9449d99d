"""LiteRT files (`.tflite`): their constant tensors by name, quantized ones as the float32 numbers that they stand for.

The file is a FlatBuffer with the tables of `schema.fbs` of LiteRT. Convolutions are [out, height, width, in], depthwise
ones [1, height, width, channels]. The numbers among the options of a custom operator are tensors too, named
OPERATOR/OPTION. Two tensors without numbers are made here: the input as `PIXELS`, [0, height, width, channels], and
POSTPROCESS/scores:OPERATOR of the operator that turns logits into the scores which are read by POSTPROCESS. A zip file
may follow the FlatBuffer, with the names of the classes.
"""

import io
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paretodet.flatbuffer import LONGEST, FlatTable
from paretodet.flexbuffer import numbers
from paretodet.labels.builder import is_name
from paretodet.weights.dequantized import by_rows
from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError
from paretodet.weights.wire import mapped

POSTPROCESS = "TFLite_Detection_PostProcess"  # a custom operator: decodes and suppresses; LiteRT has it built in
SCORES = 1  # the place of the scores among the tensors that it reads
PIXELS = "input:pixels"
ACTIVATIONS: dict[Any, str] = {14: "Sigmoid", 25: "Softmax"}  # by numbers of BuiltinOperator
LONGEST_SIDE = 2**15  # px
IDENTIFIER = b"TFL3"
OPERATORS, GRAPHS, BUFFERS, METADATA = 1, 2, 4, 6  # fields of the table Model
CUSTOM = 1  # of OperatorCode
TENSORS, INPUTS, RETURNED, CALLS = 0, 1, 2, 3  # of SubGraph
BUILTIN_BYTE, BUILTIN = 0, 3  # of OperatorCode: as files of before 127 operators have it, and of later ones
OPERATOR, READS, WRITES, OPTIONS = 0, 1, 2, 5  # of Operator; options of custom ones are FlexBuffers
SHAPE, TYPE, BUFFER, NAME, QUANTIZATION, SPARSITY = 0, 1, 2, 3, 4, 6  # of Tensor
DATA, ELSEWHERE = 0, 1  # of Buffer
SCALE, ZERO_POINT, DIMENSION = 2, 3, 6  # of QuantizationParameters
TYPES = {
    0: torch.float32,
    1: torch.float16,
    2: torch.int32,
    3: torch.uint8,
    4: torch.int64,
    6: torch.bool,
    7: torch.int16,
    9: torch.int8,
    10: torch.float64,
}
FLOATS = {0: "f", 1: "e"}  # letters of `struct` for those among TYPES
DIMENSIONS, MOST_OPTIONS = 8, 2**10  # at most
DESCRIPTION, LICENSE = "TFLITE_METADATA", 5  # its name in Metadata, and a field of its table ModelMetadata
LABELS, UNUSED = "labelmap.txt", "???"
ABSENT = 2**32 - 1  # in place of a tensor: an input that is left out
TAIL = 2**20  # bytes at the end of a file in which the zip file is looked for, and the limit of the names
NOT_LEGIBLE = (struct.error, ValueError, IndexError, OverflowError)
NO_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, KeyError, RuntimeError, EOFError, ValueError, OSError)


class OperatorCall(NamedTuple):
    """An operator: a number of BuiltinOperator or the name of a custom one, and its tensors."""

    operator: int | str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class StoredTensor(NamedTuple):
    """A tensor with its numbers in the file."""

    name: str
    table: FlatTable
    data: "memoryview[int]"


def read(path: Path) -> dict[str, Tensor]:
    """The constant tensors of a LiteRT file. Raises WeightsError if it is none, or has a form that is not read."""
    try:
        return _tensors(_content(path))
    except NOT_LEGIBLE as error:
        raise WeightsError(f"{path}: not a LiteRT file that can be read ({error})", "weights-format") from None


def metadata(path: Path) -> dict[str, Any]:
    """The license that a LiteRT file states, and the classes that are named in it or in `labelmap.txt` beside it.

    An unused slot is None; a background, which is unused and first, is left out.
    """
    try:
        content = _content(path)
        found = {"labels": _labels(content, path.with_name(LABELS)), "license": _license(content)}
    except (*NOT_LEGIBLE, OSError) as error:
        message = f"{path}: what it states beside its tensors cannot be read ({error})"
        raise WeightsError(message, "weights-format") from None
    return {field: value for field, value in found.items() if value}


def input_shapes(path: Path) -> list[tuple[int, ...]]:
    """The shapes of the inputs of a LiteRT file. Raises WeightsError if it cannot be read."""
    return [tuple(tensor.numbers(SHAPE, "<i", DIMENSIONS)) for tensor in _inputs(path)]


def input_types(path: Path) -> list[torch.dtype | None]:
    """The types of the inputs of a LiteRT file, None for one that is not known. Raises as `input_shapes`."""
    return [TYPES.get(tensor.number(TYPE, "<b")) for tensor in _inputs(path)]


def _inputs(path: Path) -> list[FlatTable]:
    try:
        graph = _graph(FlatTable.root(_content(path)))
        tensors = graph.tables(TENSORS)
        return [tensors[place] for place in graph.numbers(INPUTS, "<I", DIMENSIONS)]
    except NOT_LEGIBLE as error:
        raise WeightsError(f"{path}: not a LiteRT file that can be read ({error})", "weights-format") from None


def calls(path: Path) -> list[OperatorCall]:
    """The operators of a LiteRT file in their order. Raises WeightsError if it cannot be read."""
    try:
        return list(_calls(FlatTable.root(_content(path))))
    except NOT_LEGIBLE as error:
        raise WeightsError(f"{path}: not a LiteRT file that can be read ({error})", "weights-format") from None


def small_constants(path: Path, most: int) -> dict[str, tuple[float, ...]]:
    """The constant tensors of floats of at most `most` bytes. Raises WeightsError if the file cannot be read."""
    try:
        model = FlatTable.root(_content(path))
        return dict(_small(model, most))
    except NOT_LEGIBLE as error:
        raise WeightsError(f"{path}: not a LiteRT file that can be read ({error})", "weights-format") from None


def postprocessed_classes(path: Path) -> int | None:
    """How many classes POSTPROCESS tells apart; None without it. Raises WeightsError if the file cannot be read."""
    wanted = f"{POSTPROCESS}/num_classes"
    try:
        options = _options(FlatTable.root(_content(path)))
        return next((int(value) for name, value in options if name == wanted), None)
    except NOT_LEGIBLE as error:
        raise WeightsError(f"{path}: not a LiteRT file that can be read ({error})", "weights-format") from None


def attached(path: Path, names: Sequence[str]) -> str | None:
    """The first of these text files in the zip file that follows the FlatBuffer, if there is one."""
    texts = (_zipped(bytes(_content(path)[-TAIL:]), name) for name in names)
    return next((text.decode(errors="replace") for text in texts if text is not None), None)


def _calls(model: FlatTable) -> Iterator[OperatorCall]:
    graph = _graph(model)
    names = _names(graph)
    operators = [
        code.text(CUSTOM) or max(code.number(BUILTIN_BYTE, "<b"), code.number(BUILTIN, "<i"))
        for code in model.tables(OPERATORS)
    ]
    for call in graph.tables(CALLS):
        reads, writes = (
            tuple(names[place] for place in call.numbers(field, "<I") if place != ABSENT) for field in (READS, WRITES)
        )
        yield OperatorCall(operators[call.number(OPERATOR, "<I")], reads, writes)


def _small(model: FlatTable, most: int) -> Iterator[tuple[str, tuple[float, ...]]]:
    buffers, graph = model.tables(BUFFERS), _graph(model)
    for name, table in zip(_names(graph), graph.tables(TENSORS), strict=True):
        data, letter = buffers[table.number(BUFFER, "<I")].raw(DATA), FLOATS.get(table.number(TYPE, "<b"))
        if letter and 0 < len(data) <= most:
            yield name, struct.unpack(f"<{len(data) // struct.calcsize(letter)}{letter}", data)


def distinct(names: Sequence[tuple[int, str]]) -> list[str]:
    """The names of tensors by number; the number of one that has no name, or the name of another."""
    times = Counter(name for _, name in names)
    return [name if name and times[name] == 1 else f"tensor {index}" for index, name in names]


def _names(graph: FlatTable) -> list[str]:
    """The names of all tensors, by which those that are returned can be told apart."""
    names = [_legible(tensor, index) or f"tensor {index}" for index, tensor in enumerate(graph.tables(TENSORS))]
    returned = graph.numbers(RETURNED, "<I")
    for place, name in zip(returned, distinct([(each, names[each]) for each in returned]), strict=True):
        names[place] = name
    return names


def _legible(tensor: FlatTable, index: int) -> str:
    """The name of a tensor; its number if that is longer than a text may be, as of parts that were joined."""
    name = tensor.raw(NAME)
    return bytes(name).decode() if len(name) <= LONGEST else f"tensor {index}"


def _matches(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == IDENTIFIER


def _content(path: Path) -> "memoryview[int]":
    content = mapped(path)
    if content[4:8] != IDENTIFIER:
        raise struct.error(f"it does not begin with {IDENTIFIER.decode()}")
    return content


def _tensors(content: "memoryview[int]") -> dict[str, Tensor]:
    found, size, model = dict[str, Tensor](), 0, FlatTable.root(content)
    for each in _constants(model):
        if each.name in found:
            raise struct.error(f"two tensors have the name {each.name:.80}")
        if (size := size + len(each.data)) > 2 * len(content):  # small constants may share their bytes
            raise struct.error("its tensors have more bytes than the file")
        found[each.name] = _dequantized(each)
    options = dict(islice(_options(model), MOST_OPTIONS + 1))
    if len(options) > MOST_OPTIONS:
        raise struct.error(f"its operators have more than {MOST_OPTIONS} options")
    stated = {name: torch.tensor(value) for name, value in options.items()}
    return found | stated | _pixels(_graph(model)) | _activation(model)


def _pixels(graph: FlatTable) -> dict[str, Tensor]:
    """The input without its numbers, if there is one, of height, width and channels that are fixed."""
    tensors, places = graph.tables(TENSORS), graph.numbers(INPUTS, "<I", DIMENSIONS)
    shapes = [tensors[place].numbers(SHAPE, "<i", DIMENSIONS)[1:] for place in places]
    if len(shapes) != 1 or len(shapes[0]) != 3 or not all(1 < side <= LONGEST_SIDE for side in shapes[0]):
        return {}
    return {PIXELS: torch.empty(0, *shapes[0], dtype=torch.uint8)}


def _activation(model: FlatTable) -> dict[str, Tensor]:
    """The operator that makes the scores which POSTPROCESS reads."""
    if POSTPROCESS not in (code.text(CUSTOM) for code in model.tables(OPERATORS)):
        return {}
    called = list(_calls(model))
    operators = {name: call.operator for call in called for name in call.writes}
    read = [name for call in called if call.operator == POSTPROCESS for name in call.reads[SCORES : SCORES + 1]]
    kinds = filter(None, (ACTIVATIONS.get(operators.get(name)) for name in read))
    return {f"{POSTPROCESS}/scores:{kind}": torch.empty(0) for kind in kinds}


def _constants(model: FlatTable) -> Iterator[StoredTensor]:
    buffers = model.tables(BUFFERS)
    for table in _graph(model).tables(TENSORS):
        buffer = buffers[table.number(BUFFER, "<I")]
        if buffer.number(ELSEWHERE, "<Q"):
            raise struct.error("its numbers are not in its tables, as in files of more than 2 GiB")
        if data := buffer.raw(DATA):
            yield StoredTensor(table.text(NAME), table, data)


def _options(model: FlatTable) -> Iterator[tuple[str, float]]:
    """The numbers among the options of custom operators."""
    names = [code.text(CUSTOM) for code in model.tables(OPERATORS)]
    for call in _graph(model).tables(CALLS):
        name, options = names[call.number(OPERATOR, "<I")], call.raw(OPTIONS)
        if name and options:
            yield from ((f"{name}/{option}", value) for option, value in numbers(options).items())


def _graph(model: FlatTable) -> FlatTable:
    graphs = model.tables(GRAPHS)
    if len(graphs) != 1:
        raise struct.error(f"it has {len(graphs)} graphs, allowed 1")
    return graphs[0]


def _dequantized(constant: StoredTensor) -> Tensor:
    values = _stored(constant)
    if not constant.table.has(QUANTIZATION):
        return values
    quantization = constant.table.table(QUANTIZATION)
    most = max((1, *values.shape))
    scales, zeros = quantization.floats(SCALE, most), quantization.numbers(ZERO_POINT, "<q", most)
    if not scales:
        return values
    if len(zeros) not in (0, len(scales)):
        raise struct.error(f"{constant.name:.80} has {len(scales)} scales and {len(zeros)} zero points")
    shape = [1] * values.dim()
    if len(scales) > 1:  # one for each channel
        dimension = quantization.number(DIMENSION, "<i")
        if not 0 <= dimension < values.dim() or values.shape[dimension] != len(scales):
            raise struct.error(f"{constant.name:.80} has {len(scales)} scales and the shape {tuple(values.shape)}")
        shape[dimension] = len(scales)
    scale = torch.tensor(scales, dtype=torch.float64).view(shape)
    zero = torch.tensor(zeros or [0] * len(scales), dtype=torch.float64).view(shape)
    zero, scale = zero.expand(values.shape), scale.expand(values.shape)
    return by_rows(values, lambda rows: (values[rows].double() - zero[rows]) * scale[rows])


def _stored(constant: StoredTensor) -> Tensor:
    kind, shape = constant.table.number(TYPE, "<b"), constant.table.numbers(SHAPE, "<i", DIMENSIONS)
    if constant.table.has(SPARSITY) or kind not in TYPES:
        raise struct.error(f"{constant.name:.80} is sparse or of a type that is not read (number {kind})")
    dtype = TYPES[kind]
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(constant.data):
        raise struct.error(f"{constant.name:.80} has {len(constant.data)} bytes and the shape {tuple(shape)}")
    return torch.frombuffer(constant.data, dtype=dtype).view(shape)


def _license(content: "memoryview[int]") -> str | None:
    model = FlatTable.root(content)
    for entry in model.tables(METADATA):
        if entry.text(0) == DESCRIPTION:
            data = model.tables(BUFFERS)[entry.number(1, "<I")].raw(DATA)
            return bytes(FlatTable.root(data).raw(LICENSE)[:200]).decode(errors="ignore").strip("\0 \n") or None
    return None


def _labels(content: "memoryview[int]", beside: Path) -> tuple[str | None, ...] | None:
    text = _zipped(bytes(content[-TAIL:]))
    if text is None and beside.is_file():
        with beside.open("rb") as file:
            text = file.read(TAIL)
    if text is None:
        return None
    names = tuple(line.strip() for line in text.decode("utf-8-sig").strip().splitlines())
    if not all(is_name(name) for name in names if name):
        raise struct.error("a class name holds a control character")
    slots = tuple(None if name in ("", UNUSED) else name for name in names)
    return slots[1:] if slots[:1] == (None,) else slots


def _zipped(tail: bytes, name: str = LABELS) -> bytes | None:
    """A file of the zip file that ends in these bytes, up to a limit."""
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as archive, archive.open(name) as file:
            return file.read(TAIL)
    except NO_ZIP:
        return None


FORMAT = FileFormat(name="tflite", title="LiteRT (.tflite)", matches=_matches, read=read, metadata=metadata)
