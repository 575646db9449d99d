"""Prints which requirements of this package and of the extras in argv[1] the running Python lacks, one a line."""

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
    """The names a project and its extras ask for; extras that name the project's own extras are followed."""
    asked = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    for line in asked:
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
    """Whether `import name` takes this checkout's files and not another installation's."""
    spec = find_spec(name)
    return spec is not None and spec.origin == str(ROOT / "src" / name / "__init__.py")


def missing(extras: list[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lacking = {name for name in requirements(project, extras) if not installed(name)}
    return sorted(lacking) if here(project["name"]) else [project["name"], *sorted(lacking)]


if __name__ == "__main__":
    print(*missing(sys.argv[1].split(",")), sep="\n")
