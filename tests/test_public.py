"""The public surface: its names, and that asking for none of them costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import paretodet

PUBLIC = [
    "Candidate",
    "Detections",
    "Detector",
    "DetectorSpec",
    "Frontier",
    "Images",
    "Job",
    "Measurement",
    "ModelInfo",
    "Override",
    "Plan",
    "Recommendation",
    "StageSpec",
    "Staged",
    "Store",
    "__version__",
    "catalogue",
    "detector_names",
    "measure",
    "open_candidate",
    "pareto_frontier",
    "recommend",
    "spec",
    "write_page",
]
FOLDER = Path(paretodet.__file__).parent


def test_the_list_is_sorted_and_as_published():
    assert paretodet.__all__ == PUBLIC == sorted(PUBLIC)
    assert dir(paretodet) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_resolves_and_is_documented(name):
    value = getattr(paretodet, name)
    assert name == "__version__" or value.__doc__
    assert vars(paretodet)[name] is value


def test_the_type_checker_sees_the_same_homes():
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {a.asname or a.name: f"{node.module}:{a.name}" for node in block.body for a in node.names}
    assert typed == paretodet._HOMES
    assert {*typed, "__version__"} == set(PUBLIC)


def test_no_name_hides_a_room():
    rooms = {path.stem for path in FOLDER.iterdir()}
    assert rooms.isdisjoint(PUBLIC)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fastest'"):
        paretodet.fastest  # noqa: B018
    assert not hasattr(paretodet, "fastest")


def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, paretodet; print(*{'torch', 'numpy', 'PIL', 'rich', 'sqlalchemy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
