"""Prints the bearings of the code base: sizes, repetition, names, tests and import cycles.

They are guidelines; only an import cycle makes the exit status 1. Lines of code exclude blank lines, comments and
docstrings; the lines of a file are all of its lines.
"""

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WINDOW = 8
MAX_LINES = 400  # of a file
FAMILIES = {  # "yolo" is a detector there
    "report/theme.py", "report/families.py", "sources/darknet_layers.py", "readings/conventions/ultralytics.py",
}  # fmt: skip
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import(NamedTuple):
    """An import of the package by itself."""

    line: int
    target: str  # module, such as "paretodet.ops.nms"
    names: tuple[str, ...]  # imported from it
    type_only: bool  # under `if TYPE_CHECKING:`, so not executed


def code_lines(source: str) -> list[int]:
    """Numbers of the lines that contain code."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    spans = [(token.start[0], token.end[0]) for token in tokens if token.type not in SILENT]
    lines = {line for start, end in spans for line in range(start, end + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return sorted(lines)


def function_lengths(source: str) -> dict[str, int]:
    """Lines of code of every function and method, by "name:line"."""
    lines = code_lines(source)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTIONS)]
    return {
        f"{node.name}:{node.lineno}": sum(node.lineno <= line <= (node.end_lineno or 0) for line in lines)
        for node in functions
    }


def repeated_share(sources: list[str]) -> float:
    """Share of code lines that are in a window of `WINDOW` lines that occurs more than once."""
    texts = [
        [lines[n - 1].strip() for n in code_lines(source)] for source in sources for lines in [source.splitlines()]
    ]
    windows = [[tuple(text[i : i + WINDOW]) for i in range(len(text) - WINDOW + 1)] for text in texts]
    seen = Counter(window for file in windows for window in file)
    repeated = sum(len({i + k for i, w in enumerate(file) if seen[w] > 1 for k in range(WINDOW)}) for file in windows)
    return repeated / max(1, sum(map(len, texts)))


def module_name(path: Path, package: Path) -> str:
    """`paretodet.ops.nms` for its file; a package's name for its `__init__.py`."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def type_only_lines(tree: ast.Module) -> set[int]:
    """Lines under `if TYPE_CHECKING:`."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {line for block in blocks for n in block.body for line in range(n.lineno, (n.end_lineno or 0) + 1)}


def imports(path: Path, package: Path) -> Iterator[Import]:
    """Every absolute import of `package` in the file, at any depth."""
    tree = ast.parse(path.read_text())
    silent = type_only_lines(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets: list[tuple[str, tuple[str, ...]]] = [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            targets = [resolve(node.module, alias.name, package) for alias in node.names]
        else:
            continue
        for target, names in targets:
            if target.split(".")[0] == package.name:
                yield Import(node.lineno, target, names, node.lineno in silent)


def resolve(module: str, name: str, package: Path) -> tuple[str, tuple[str, ...]]:
    """`from module import name`: the submodule if there is one, else the module and the name."""
    place = package.parent.joinpath(*module.split("."), name)
    if place.with_suffix(".py").exists() or (place / "__init__.py").exists():
        return f"{module}.{name}", ()
    return module, (name,)


def import_graph(package: Path, *, typed: bool = False) -> dict[str, set[str]]:
    """The modules that every module imports when it is executed; with `typed` also for type checking only."""
    return {
        module_name(path, package): {each.target for each in imports(path, package) if typed or not each.type_only}
        for path in sorted(package.rglob("*.py"))
    }


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The cycles of the graph, one for every edge that closes one; empty if there are none."""
    closed: list[list[str]] = []
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> None:
        if node in trail:
            closed.append([*trail[trail.index(node) :], node])
        elif node not in done:
            for target in sorted(graph.get(node, ())):
                visit(target, [*trail, node])
            done.add(node)

    for start in sorted(graph):
        visit(start, [])
    return closed


def sources(package: Path) -> dict[str, str]:
    """The text of every file, by its path inside the package."""
    return {path.relative_to(package).as_posix(): path.read_text() for path in sorted(package.rglob("*.py"))}


def repeated_classes(texts: dict[str, str]) -> dict[str, list[str]]:
    """The class names that are defined more than once, with their files."""
    files: dict[str, list[str]] = {}
    for name, source in texts.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                files.setdefault(node.name, []).append(name)
    return {name: places for name, places in files.items() if len(places) > 1}


def format_names(package: Path) -> set[str]:
    """The names of the label formats: the `name` of every `Format(...)` in `labels/formats`."""
    trees = [ast.parse(path.read_text()) for path in (package / "labels/formats").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    words = [word for call in calls if ast.unparse(call.func) == "Format" for word in call.keywords]
    return {ast.literal_eval(word.value) for word in words if word.arg == "name"}


def files_that_name_a_format(package: Path) -> list[str]:
    """The files outside `labels/formats` that contain the name of a label format as a string."""
    names, found = format_names(package), list[str]()
    for name, source in sources(package).items():
        texts = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
        if names & texts and name not in FAMILIES and not name.startswith("labels/formats/"):
            found.append(name)
    return found


def percentile(values: list[int], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else float(sum(values))


def counted(names: Iterable[str]) -> str:
    """How many there are, and which."""
    listed = list(names)
    return "  ".join([str(len(listed)), *listed])


def bearings(package: Path, tests: Path) -> list[tuple[str, str, str]]:
    """(name, value, target) of every bearing except the cycles."""
    texts = sources(package)
    sizes = {name: len(code_lines(source)) for name, source in texts.items()}
    lengths = {f"{name} {fn}": n for name, source in texts.items() for fn, n in function_lengths(source).items()}
    values, lines = list(lengths.values()), {name: len(source.splitlines()) for name, source in texts.items()}
    longest, largest = max(lengths, key=lengths.__getitem__), max(lines, key=lines.__getitem__)
    tested = sum(len(code_lines(path.read_text())) for path in tests.rglob("*.py"))
    return [
        ("code", f"{sum(sizes.values())} lines, {len(sizes)} files, {len(values)} functions", ""),
        ("function, median", f"{median(values):g}", "<= 8"),
        ("function, p90", f"{percentile(values, 90):g}", "<= 30"),
        ("function, longest", f"{lengths[longest]}  {longest}", "<= 60"),
        ("file, largest", f"{lines[largest]}  {largest}", f"<= {MAX_LINES}"),
        (f"files over {MAX_LINES} lines", counted(name for name in lines if lines[name] > MAX_LINES), "0"),
        (f"repeated in windows of {WINDOW}", f"{100 * repeated_share(list(texts.values())):.1f} %", "<= 3 %"),
        ("class names defined twice", counted(repeated_classes(texts)), "0"),
        ("files naming a label format", counted(files_that_name_a_format(package)), "0"),
        ("tests / code", f"{tested / sum(sizes.values()):.2f}", ">= 1"),
    ]


def main() -> int:
    package = ROOT / "src" / "paretodet"
    executed, closed = (cycles(import_graph(package, typed=typed)) for typed in (False, True))
    rows = [
        *bearings(package, ROOT / "tests"),
        ("import cycles", str(len(executed)), "0"),
        ("... with TYPE_CHECKING", str(len(closed)), "0"),
    ]
    for name, value, target in rows:
        print(f"{name:<27} {target:>7}   {value}")
    for cycle in closed:
        print("cycle: " + " -> ".join(cycle))
    return 1 if closed else 0


if __name__ == "__main__":
    raise SystemExit(main())
