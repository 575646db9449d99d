"""Operators that a library lacks: what its error says of them, as one message."""

import re
from collections.abc import Iterable
from pathlib import Path

from paretodet.errors import InputError

ONNX_RUNTIME = (  # what it says of one of its standard operators, of one that ONNX lacks, and of one of others
    re.compile(r"implementation for (?P<operator>[\w.:]+)\(\d+\) node with name '(?P<node>[^']*)'"),
    re.compile(r'In Node, \("(?P<node>[^"]*)", (?P<operator>[\w.:]+), .* No Op registered'),
    re.compile(r"(?P<operator>[\w.:]+)\(-?\d+\) is not a registered function/op(?P<node>)"),
    re.compile(r"No Op registered for (?P<operator>[\w.:]+) with domain_version(?P<node>)"),  # of onnxruntime-web
)


def in_onnxruntime(path: Path, library: str, message: str) -> InputError | None:
    """The error of an operator that ONNX Runtime's message says it lacks; None if it says something else."""
    found = next(filter(None, (pattern.search(message) for pattern in ONNX_RUNTIME)), None)
    return lacking(str(path), library, found["operator"], found["node"] and [found["node"]]) if found else None


def lacking(what: str, library: str, operator: str, nodes: Iterable[str] = ()) -> InputError:
    """The error of a network, a file or a runtime; `nodes` are the names of those with this operator."""
    names = [name for name in nodes if name]
    named = f" of layer {names[0]!r}" if names else ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return InputError(f"{what}: {library} lacks operator {operator}{named}{more}", "operator-missing")
