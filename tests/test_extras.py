"""The versions of libraries, however they were installed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from paretodet import extras
from paretodet.bench.machine import versions
from paretodet.extras import version_of

PACKAGE = Path(extras.__file__).parent


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of libraries on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    extras._providers.cache_clear()
    yield tmp_path
    extras._providers.cache_clear()


def distribution(folder: Path, name: str, *, metadata: str, provides: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes(metadata.encode("latin-1"))
    (info / "top_level.txt").write_text(f"{provides}\n")


def test_a_library_has_the_version_of_its_distribution() -> None:
    assert version_of("numpy") == np.__version__


def test_a_distribution_of_another_name_provides_a_library(installed: Path) -> None:
    """As onnxruntime-gpu provides onnxruntime."""
    assert version_of("made_runtime") == "unknown" and "made_runtime" not in versions(("made_runtime",))
    extras._providers.cache_clear()
    distribution(
        installed, "made-runtime-gpu", metadata="Name: made-runtime-gpu\nVersion: 1.2.3\n", provides="made_runtime"
    )
    assert version_of("made_runtime") == "1.2.3" == versions(("made_runtime",))["made_runtime"]


def test_a_library_without_a_distribution_states_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_runtime")
    module.__version__ = "7.8"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_runtime", module)
    assert version_of("made_runtime") == "7.8"


@pytest.mark.parametrize("metadata", ["", "Version: 1\n", "\xff"])
def test_damaged_metadata_is_no_error(installed: Path, metadata: str) -> None:
    distribution(installed, "made-runtime-gpu", metadata=metadata, provides="made_runtime")
    assert isinstance(version_of("made_runtime"), str)


def test_nothing_else_asks_for_the_version_of_a_distribution() -> None:
    """It would fail where a library has another distribution."""
    asking = [path.name for path in PACKAGE.rglob("*.py") if "importlib.metadata" in path.read_text("utf-8")]
    assert asking == ["extras.py"]
