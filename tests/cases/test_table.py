"""Every kind of fault in what people bring has tests of the reported input and of others."""

import ast
from pathlib import Path

import pytest

from cases.table import KINDS, MEMBERS

TESTS = Path(__file__).parents[1]


def members(test: str) -> int:
    """How many sets of parameters a test has at least; 0 if there is no such test."""
    path, _, name = test.partition("::")
    functions = ast.parse((TESTS / path).read_text("utf-8")).body if (TESTS / path).is_file() else []
    found = [each for each in functions if isinstance(each, ast.FunctionDef) and each.name == name]
    return _sets(found[0]) if found else 0


def _sets(function: ast.FunctionDef) -> int:
    """The product over its `parametrize`; a list that is made elsewhere counts as two."""
    count = 1
    for each in function.decorator_list:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "parametrize":
            listed = each.args[1]
            count *= len(listed.elts) if isinstance(listed, ast.List | ast.Tuple) else 2
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_tests_of_several_inputs(kind: str) -> None:
    counts = {test: members(test) for test in KINDS[kind]}
    assert all(counts.values()), [test for test, count in counts.items() if not count]
    assert sum(counts.values()) >= MEMBERS


def test_a_test_that_is_not_there_is_none() -> None:
    assert members("readings/test_recognize.py::test_nothing") == members("nowhere.py::test_a") == 0
    assert members("cases/test_table.py::test_a_kind_has_tests_of_several_inputs") == 2
