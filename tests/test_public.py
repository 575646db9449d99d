"""The public API: its names, the examples in its docstrings, and that an import is fast."""

import ast
import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import paretodet
from paretodet.loader.shapes import Shapes
from paretodet.records.row_id import with_id
from toy_bench import ToyBench

PUBLIC = [
    "Budget",
    "Candidate",
    "CandidateConfig",
    "Detections",
    "Detector",
    "DetectorSpec",
    "Evaluation",
    "Frontier",
    "Images",
    "InputError",
    "Job",
    "LabeledBox",
    "Measurement",
    "ModelInfo",
    "Override",
    "Plan",
    "Recommendation",
    "RunOptions",
    "StageSpec",
    "Staged",
    "Store",
    "TrainConfig",
    "TrainResult",
    "__version__",
    "catalogue",
    "detect",
    "detector_names",
    "doctor",
    "evaluate",
    "measure",
    "open",
    "open_candidate",
    "pareto_frontier",
    "read_rows",
    "recommend",
    "search",
    "spec",
    "train",
    "training_recipe",
    "write_bundle",
    "write_page",
]
FOLDER = Path(paretodet.__file__).parent
RESULTS = Path(__file__).parents[1] / "results"


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


def test_no_name_is_a_module_too():
    """Importing a submodule sets it as an attribute of the package, in place of a function of the same name."""
    modules = {path.stem for path in FOLDER.iterdir()}
    assert modules.isdisjoint(PUBLIC)


FUNCTIONS = (
    "detect",
    "doctor",
    "evaluate",
    "measure",
    "open",
    "pareto_frontier",
    "recommend",
    "search",
    "train",
    "write_bundle",
    "write_page",
)


@pytest.fixture
def example_files(tmp_path, monkeypatch):
    """The files that the examples name, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)).save("photo.jpg")
    labels = {
        "images": [{"id": 1, "file_name": "photo.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 32, 32], "area": 1024, "iscrowd": 0}],
    }
    Path("labels.json").write_text(json.dumps(labels))
    Path("results.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 1, "bbox": [8, 8, 32, 32], "score": 0.9}])
    )
    shutil.copy(RESULTS / "2026-11-21-amd-epyc-2-cores.jsonl", "rows.jsonl")
    Shapes(count=2, height=64, width=64, seed=0).write("shapes")


def bench(jobs, *, run, **_):
    """A row of each job in place of the bench, which takes seconds per candidate."""
    for job in jobs:
        about = {"latency_ms_p50": 12.5, "job": job.recipe} | job.about
        yield with_id(paretodet.Measurement(id="", run=run, at="2030-01-01", name=job.name, **about))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] * (name == "write_bundle")) for name in FUNCTIONS]
)
def test_the_example_in_the_docstring_runs(name, example_files, monkeypatch):
    monkeypatch.setattr("paretodet.sweep.measuring.measure", bench)
    monkeypatch.setattr("paretodet.searching.OneByOne", ToyBench)
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(paretodet, name), name)
    assert example.examples, "no example"
    report = []
    assert doctest.DocTestRunner().run(example, out=report.append, clear_globs=True).failed == 0, "".join(report)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fastest'"):
        paretodet.fastest  # noqa: B018
    assert not hasattr(paretodet, "fastest")


def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, paretodet; print(*{'torch', 'numpy', 'PIL', 'rich', 'sqlalchemy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
