"""Benchmarks, scripts and examples use names that exist, and each benchmark prints its help.

They run in no other test, so a renamed module, class or function would break them unnoticed.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from paretodet.records.lines import read_lines

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("benchmarks", "scripts", "examples") for path in sorted((ROOT / folder).glob("*.py"))]
BENCHMARKS = [path for path in FILES if path.parent.name == "benchmarks" and path.stem not in ("rows", "tables")]


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each module of this repository that the file imports, at any depth, and the name taken from it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def defined(path: Path) -> set[str]:
    """The names that a file defines or imports at its top, found without running it."""
    names = set[str]()
    for node in ast.parse(path.read_text("utf-8")).body:
        names |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        names |= {getattr(node, "name", "")}
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def exists(module: str, name: str | None) -> bool:
    try:
        found = importlib.import_module(module)
        return name is None or hasattr(found, name) or bool(importlib.import_module(f"{module}.{name}"))
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] == "paretodet":
            return False
        pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_imported_name_exists(path: Path) -> None:
    names = list(imported(path))
    own = [(module, name) for module, name in names if module.split(".")[0] == "paretodet"]
    assert [each for each in own if not exists(*each)] == []
    files = {file.stem: file for file in FILES if file.parent.name in (path.parent.name, "scripts")}
    beside = [(module, name) for module, name in names if module in files and name]
    assert [(module, name) for module, name in beside if name not in defined(files[module])] == []


def loaded(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.delitem(sys.modules, "rows", raising=False)
    spec = spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        pytest.skip("needs torchvision")
    return module


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_has_help(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = loaded(path, monkeypatch)
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 0 and f"usage: {path.name}" in capsys.readouterr().out


def test_the_rows_of_the_store_benchmark_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = loaded(ROOT / "benchmarks" / "store.py", monkeypatch)
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(f"{benchmark.canonical(row)}\n" for row in benchmark.random_rows(21)))
    assert len(list(read_lines(lines))) == 21
