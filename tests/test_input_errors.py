"""Errors of bad input: the message ends with an id, every id is used, and a plain built-in error is a programmer's."""

import ast
import builtins
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import paretodet
from paretodet.darknet_file import DarknetFileError
from paretodet.errors import ERROR_IDS, FileError, InputError, WithId, with_id, words
from paretodet.extras import MissingExtra
from paretodet.images import ImageError
from paretodet.records.rows import UnknownRow
from paretodet.records.store import StoreError, StoreLayoutError
from paretodet.schema import SchemaError

PACKAGE = Path(paretodet.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
BUILT_IN = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)}

# Rooms and files that Python code alone puts together: a wrong argument is a mistake in that code, a plain ValueError.
# What a user names, gives or writes is checked before it gets there.
ASSEMBLED = {
    "backbones",  # parts of a network
    "necks",
    "heads",
    "layers",
    "ops",
    "rules",
    "detectors/detector.py",
    "detectors/spec.py",
    "export/lowerings.py",  # what torch's exporter passes to an operator
    "ensembles",  # candidates that Python code joins
    "transforms",  # steps of an augmentation, resize policies
    "loader",  # batches of a recipe, drawn images
    "training/clipping.py",  # the parts of a recipe
    "training/ema.py",
    "training/optimizers.py",
    "training/schedules.py",
    "records/statistics.py",  # samples of a row that was checked when it was read
}
PROTOCOLS = {"AttributeError", "IndexError"}  # Python's, of `module.name` and `sequence[index]`
CARRIERS = {
    "_Broken",
    "_Interrupted",
    "_Reached",
    "WorkerError",
    "PageEnded",
}  # carry what happened to their only caller


def plain_raises(tree: ast.Module) -> Iterator[str]:
    """`ValueError:12` for every built-in exception that is raised by its own name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(kind, ast.Name) and kind.id in BUILT_IN - PROTOCOLS:
                yield f"{kind.id}:{node.lineno}"


def room_of(name: str) -> str:
    return name if name in ASSEMBLED else name.split("/")[0]


def exceptions() -> dict[str, set[str]]:
    """The package's exception classes and the names of their bases."""
    classes = [node for tree in FILES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    bases = {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)} for node in classes}
    found = {name for name, parents in bases.items() if parents & BUILT_IN}
    while more := {name for name, parents in bases.items() if parents & found} - found:
        found |= more
    return {name: bases[name] for name in found}


def test_a_plain_error_is_a_programmers() -> None:
    faults = [f"{name}: {fault}" for name, tree in FILES.items() for fault in plain_raises(tree)]
    assert [fault for fault in faults if room_of(fault.split(":")[0]) not in ASSEMBLED] == [], "give it an id"


def test_no_room_is_listed_in_vain() -> None:
    assert {room_of(name) for name, tree in FILES.items() if any(plain_raises(tree))} & ASSEMBLED == ASSEMBLED


def test_every_exception_class_has_an_id() -> None:
    known = exceptions()
    with_ids = {"WithId"}
    while more := {name for name, bases in known.items() if bases & with_ids} - with_ids:
        with_ids |= more
    assert known.keys() - with_ids == CARRIERS


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("raise ValueError('a')", ["ValueError:1"]),
        ("def f():\n    raise OSError", ["OSError:2"]),
        ("raise InputError('a', 'option-value')", []),
        ("try:\n    f()\nexcept ValueError:\n    raise", []),
        ("raise IndexError(3)", []),
    ],
)
def test_a_plain_error_is_found(source: str, faults: list[str]) -> None:
    assert list(plain_raises(ast.parse(source))) == faults


def test_the_message_ends_with_the_id() -> None:
    error = InputError("size: got 'big'", "option-value")
    assert str(error) == "size: got 'big' [option-value]"
    assert (error.message, error.id) == ("size: got 'big'", "option-value")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("a", "input-missing"), ValueError),
        (ImageError("b"), InputError),
        (ImageError("c", "image-size"), InputError),
        (SchemaError("d"), InputError),
        (DarknetFileError("e"), InputError),
        (FileError("f", "file-unreadable"), OSError),
        (StoreError("g"), OSError),
        (StoreLayoutError("h"), StoreError),
        (MissingExtra("i"), ImportError),
        (UnknownRow("j"), LookupError),
    ],
    ids=str,
)
def test_an_error_is_caught_as_before_and_survives_pickling(error: WithId, kind: type[Exception]) -> None:
    assert isinstance(error, kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.id == error.id


@cache
def constants() -> Counter[object]:
    """How often the package's code has each string."""
    nodes = (node for tree in FILES.values() for node in ast.walk(tree))
    return Counter(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize("id", ERROR_IDS)
def test_every_id_is_well_formed_and_used(id: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", id)
    assert constants()[id] > 1, "listed in errors.py and not raised"


def test_a_quoted_error_has_no_id() -> None:
    inner = InputError("b: got 3", "option-range")
    assert words(inner) == words(str(inner)) == "b: got 3"
    assert words("a [other-words]") == "a [other-words]"


def test_an_error_of_python_gets_an_id() -> None:
    assert with_id(ImageError("a")) == "a [image-unreadable]"
    assert with_id(KeyError("b")) == "b [value-refused]"
    for error in (ImageError("a" * 9999), OSError("a" * 9999)):
        assert len(with_id(error)) < 1100 and with_id(error).endswith("a… [" + with_id(error).partition(" [")[2])
    assert with_id(FileNotFoundError(2, "No such file", "c")).endswith("'c' [system-refused]")
