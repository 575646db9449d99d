"""Prints the requirements of this package and of the extras in argv[1] that are not installed, one per line."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def requirements(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    """The packages that a project and its extras require; an extra may refer to other extras of the project."""
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    for line in lines:
        name, inner = re.fullmatch(r"([\w.-]+)(?:\[([\w,-]+)\])?.*", line).groups()  # type: ignore[union-attr]
        if name == project["name"]:
            yield from requirements({**project, "dependencies": []}, inner.split(","))
        else:
            yield name


def installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


def here(name: str) -> bool:
    """Whether `import name` imports this checkout and not another installation."""
    spec = find_spec(name)
    return spec is not None and spec.origin == str(ROOT / "src" / name / "__init__.py")


def missing(extras: list[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lacking = {name for name in requirements(project, extras) if not installed(name)}
    return sorted(lacking) if here(project["name"]) else [project["name"], *sorted(lacking)]


if __name__ == "__main__":
    print(*missing(sys.argv[1].split(",")), sep="\n")
