"""What an ExecuTorch program (`.pte`) executes, read from the file without its library.

Source: schema/program.fbs, schema/extended_header.h and backends/xnnpack/serialization/schema.fbs of ExecuTorch 1.5.
"""

import mmap
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from paretodet.errors import InputError
from paretodet.flatbuffer import FlatTable, read

XNNPACK = "XnnpackBackend"
PORTABLE = " (portable)"  # ends the precision of what no backend executes
IDENTIFIER, HEADER, GRAPH_HEADER = b"ET12", b"eh00", b"XH00"
TENSOR, KERNEL_CALL, SEGMENT = 5, 1, 1  # of KernelTypes, InstructionArguments and DataLocation
QUANTIZED = 2  # of XValueUnion
LAYERS = {"aten::addmm", "aten::bmm", "aten::convolution", "aten::linear", "aten::mm"}
NODES = {2: 0, 7: 15, 13: 15, 37: 0, 39: 15}  # linear, three convolutions, matrix product: the field with their input
SCALARS = {0: "uint8", 1: "int8", 5: "fp16", 6: "fp32", 7: "fp64", 15: "bf16"}  # of ScalarType
DATATYPES = {1: "fp32", 2: "fp16", 3: "int8", 4: "int8", 9: "int8-dynamic", 11: "int8-dynamic", 13: "fp32", 14: "bf16"}


class Executed(NamedTuple):
    """Layers by the precision that they execute in, the operators that no backend executes, and the backends."""

    layers: Counter[str]
    operators: frozenset[str]
    backends: frozenset[str]


def executed_by(path: Path) -> Executed:
    """What a program executes: convolutions, linear layers and matrix products by the type of their input.

    Those in a graph of XNNPACK have the name of their precision, those of ExecuTorch's portable kernels with PORTABLE
    behind it. Raises InputError if the file is no program of this format.
    """
    try:
        with path.open("rb") as file:
            return _executed(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (KeyError, IndexError, ValueError, struct.error) as error:
        message = f"{path}: it is not a readable program of ExecuTorch ({error}); export it again"
        raise InputError(message, "graph-failed") from None


def _executed(data: "memoryview[int]") -> Executed:
    if bytes(data[4:8]) != IDENTIFIER:
        raise struct.error(f"it does not begin with {IDENTIFIER.decode()}")
    program = FlatTable.root(data)
    if not (plans := program.tables(1)):
        raise struct.error("it has no method")
    layers, operators, backends = Counter[str](), set[str](), set[str]()
    for plan in plans:
        kernels = [operator.text(0) for operator in plan.tables(6)]
        operators |= set(kernels)
        layers.update(f"{precision}{PORTABLE}" for precision in _portable_layers(plan, kernels))
        for delegate in plan.tables(7):
            backends.add(delegate.text(0))
            if delegate.text(0) == XNNPACK:
                layers.update(_xnnpack_layers(_processed(data, program, delegate.table(1)), program.left))
    return Executed(layers, frozenset(operators), frozenset(backends))


def _portable_layers(plan: FlatTable, kernels: Sequence[str]) -> Iterator[str]:
    """The type of the first argument of every layer that a plan calls as a kernel."""
    values = plan.tables(2)
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            if instruction.number(0, "<B") != KERNEL_CALL:
                continue
            call = instruction.table(1)
            if kernels[call.number(0, "<i")] in LAYERS:
                tensors = [values[index] for index in call.numbers(1, "<i") if values[index].number(0, "<B") == TENSOR]
                yield _named(SCALARS, tensors[0].table(1).number(0, "<b"))


def _processed(data: "memoryview[int]", program: FlatTable, place: FlatTable) -> "memoryview[int]":
    """What a backend made of its part of the program."""
    index = place.number(1, "<I")
    if place.number(0, "<b") != SEGMENT:
        return program.tables(3)[index].raw(0)
    segment = program.tables(4)[index]
    if bytes(data[8:12]) != HEADER:
        raise struct.error("it has segments and no header")
    start = read(data, "<Q", 24) + segment.number(0, "<Q")
    return data[start : start + segment.number(1, "<Q")]


def _xnnpack_layers(blob: "memoryview[int]", left: list[int]) -> Iterator[str]:
    """The type of the input of every layer of XNNPACK's graph."""
    if bytes(blob[4:8]) != GRAPH_HEADER:
        raise struct.error("a graph of XNNPACK has no header")
    graph = FlatTable.root(blob[read(blob, "<I", 10) :], left)
    types = dict[int, int]()
    for value in graph.tables(2):
        tensor = value.table(1)
        tensor = tensor.table(0) if value.number(0, "<B") == QUANTIZED else tensor
        types[tensor.number(6, "<I")] = tensor.number(0, "<h")
    for node in graph.tables(1):
        if (kind := node.number(0, "<B")) in NODES:
            yield _named(DATATYPES, types[node.table(1).number(NODES[kind], "<I")])


def _named(names: dict[int, str], number: int) -> str:
    return names.get(number, f"type-{number}")
