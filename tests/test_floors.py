"""The floors of ARCHITECTURE.md: a floor imports only lower ones, rooms of a floor not each other, no cycles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from bearings import cycles, import_graph, imports, module_name, repeated_classes, sources

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "paretodet"

FLOORS = (
    {"errors", "version"},
    {"types", "images", "reading", "writing", "extras", "reports"},
    {"archives", "darknet_file", "fetching", "flatbuffer", "flexbuffer", "labels", "onnx_references", "ops", "schema"},
    {"layers", "rules", "transforms", "media", "evaluation", "records"},
    {"backbones", "necks", "heads", "layouts", "loader", "bench"},
    {"detectors", "frontier", "config"},
    {"weights", "training", "network"},
    {"export", "readings"},
    {"runtimes", "sources"},
    {"candidate"},
    {
        "detection",
        "diagnosis",
        "downloading",
        "ensembles",
        "exporting",
        "importing",
        "opening",
        "report",
        "scoring",
        "sweep",
        "training_run",
    },
    {"default_weights", "inspecting", "measuring", "profiling"},
    {"places", "searching"},
    {""},  # paretodet/__init__.py: the public names
    {"cli"},
    {"__main__"},
)
WITHOUT_TORCH = (
    "backbones.catalogue",
    "cli",
    "detectors.names",
    "detectors.spec",
    "frontier",
    "labels",
    "records",
    "report",
    "runtimes.onnx_session",
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room(module: str) -> str:
    """ "paretodet.ops.nms" -> "ops"; the package itself is ""."""
    return (module.split(".") + [""])[1]


def violations(package: Path) -> list[str]:
    """One sentence for every import that the floors forbid."""
    files = sorted(package.rglob("*.py"))
    return [fault for path in files for fault in (*form_faults(path, package), *floor_faults(path, package))]


def form_faults(path: Path, package: Path) -> list[str]:
    place = path.relative_to(package)
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    relative = [f"{place}:{node.lineno} imports relatively" for node in found if node.level]
    return relative + [f"{place}:{n.lineno} imports *" for n in found if any(alias.name == "*" for alias in n.names)]


def floor_faults(path: Path, package: Path) -> list[str]:
    own, place = room(module_name(path, package)), path.relative_to(package)
    if own not in FLOOR_OF:
        return [f"{place} is in no room of the table"]
    faults = []
    for line, target, _, _ in imports(path, package):
        other = room(target)
        if other != own and FLOOR_OF.get(other, len(FLOORS)) >= FLOOR_OF[own]:
            faults.append(f"{place}:{line} imports {target}, which is not below {own or 'the package'}")
    return faults


def test_no_import_breaks_the_floors():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize("typed", [False, True], ids=["executed", "for types too"])
def test_no_import_closes_a_cycle(typed):
    assert cycles(import_graph(PACKAGE, typed=typed)) == []


def test_no_class_name_is_defined_twice():
    assert repeated_classes(sources(PACKAGE)) == {}


def test_what_only_reads_needs_no_torch():
    modules = [
        module_name(path, PACKAGE)
        for place in WITHOUT_TORCH
        for base in [PACKAGE.joinpath(*place.split("."))]
        for path in (sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")])
    ]
    code = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


SHARED = {
    "cv2": {"media/video.py", "runtimes/opencv.py", "transforms/opencv.py"},  # its videos, networks and resize
    "ai_edge_litert": {f"{each}.py" for each in ("export/litert_int8", "export/litert_target", "runtimes/litert")},
    "executorch": {"export/executorch.py", "export/executorch_int8.py", "runtimes/executorch.py"},
    "hotcoco": {"evaluation/evaluator.py", "labels/rle.py"},  # its evaluator, and its drawing of outlines
    "openvino": {"export/openvino_model.py", "export/openvino_top.py"},  # its models, and the order in its TopK
    "onnxruntime": {"export/onnx_int8.py", "runtimes/onnx_session.py"},  # its quantization, and its sessions
    "sqlalchemy": {f"records/{each}.py" for each in ("postgresql", "store", "tables")},
}
LIBRARIES = {
    "ai_edge_litert", "cv2", "executorch", "filelock", "hotcoco", "jinja2", "litert_torch", "mlflow", "msgspec", "ncnn",
    "nncf", "onnxruntime", "onnxscript", "openvino", "pnnx", "ray", "simplejpeg", "sqlalchemy", "tensorboardX", "timm",
    "torchvision", "transformers", "vl_convert", "wandb",
}  # fmt: skip


def test_each_heavy_or_optional_library_is_imported_by_one_file():
    files: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in LIBRARIES & {each.partition(".")[0] for each in names}:
                files.setdefault(name, set()).add(path.relative_to(PACKAGE).as_posix())
    assert files.keys() == LIBRARIES
    assert {name: found for name, found in files.items() if len(found) > 1} == SHARED


def house(folder: Path, **files: str) -> Path:
    """A small package: `ops__nms="..."` writes paretodet/ops/nms.py."""
    package = folder / "paretodet"
    for name, source in files.items():
        path = package.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)
    return package


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import paretodet.heads.dense", "ops/nms.py:1 imports paretodet.heads.dense, which is not below ops"),
        ("from paretodet.heads import dense", "ops/nms.py:1 imports paretodet.heads.dense, which is not below ops"),
        (
            "def f():\n    from paretodet.heads import dense",
            "ops/nms.py:2 imports paretodet.heads.dense, which is not below",
        ),
        ("if TYPE_CHECKING:\n    import paretodet.cli", "ops/nms.py:2 imports paretodet.cli, which is not below ops"),
        ("from paretodet import Store", "ops/nms.py:1 imports paretodet, which is not below ops"),
        ("from paretodet.ops.roi import *", "ops/nms.py:1 imports *"),
        ("from . import roi", "ops/nms.py:1 imports relatively"),
    ],
)
def test_a_forbidden_import_is_named(tmp_path, source, fault):
    package = house(tmp_path, ops__nms=source, ops__roi="", heads__dense="", cli="")
    (found,) = violations(package)
    assert found.startswith(fault)


def test_rooms_of_one_floor_do_not_import_each_other(tmp_path):
    package = house(tmp_path, heads__dense="import paretodet.necks.top_down", necks__top_down="")
    assert violations(package) == ["heads/dense.py:1 imports paretodet.necks.top_down, which is not below heads"]


def test_a_room_outside_the_table_is_named(tmp_path):
    assert violations(house(tmp_path, utils__misc="")) == [
        "utils/__init__.py is in no room of the table",
        "utils/misc.py is in no room of the table",
    ]


def test_allowed_imports_pass(tmp_path):
    package = house(
        tmp_path,
        types="from paretodet.errors import InputError",
        errors="",
        ops__nms="from paretodet.ops import roi\nimport torch\nimport paretodetails",
        ops__roi="from paretodet.types import Images",
        cli="from paretodet import Store",
    )
    assert violations(package) == []
    assert cycles(import_graph(package)) == []


def test_a_cycle_is_reported_unless_it_is_for_types_only(tmp_path):
    closed = house(tmp_path / "a", ops__a="import paretodet.ops.b", ops__b="def f():\n    import paretodet.ops.a")
    assert cycles(import_graph(closed)) == [["paretodet.ops.a", "paretodet.ops.b", "paretodet.ops.a"]]
    typed = house(
        tmp_path / "b", ops__a="import paretodet.ops.b", ops__b="if TYPE_CHECKING:\n    import paretodet.ops.a"
    )
    assert cycles(import_graph(typed)) == []
    assert cycles(import_graph(typed, typed=True)) == [["paretodet.ops.a", "paretodet.ops.b", "paretodet.ops.a"]]


def test_no_two_test_files_share_a_name():
    """pytest imports them by their bare names, and one would hide the other."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_architecture_md_names_files_that_exist():
    rooms = (PACKAGE.parents[1] / "ARCHITECTURE.md").read_text().split("```")[1]
    files = {path.name for path in PACKAGE.rglob("*.py")}
    named = {word.strip("(),;:") for word in rooms.split() if word.strip("(),;:").endswith(".py")}
    assert named - files == set()
