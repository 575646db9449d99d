"""Bundles of every form: with any file cut, altered, missing or from another bundle, none is opened by its runtime."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from made_bundles import manifest
from paretodet.errors import InputError
from paretodet.export import ncnn_target, openvino_target
from paretodet.export.bundle import BUNDLE, entries, write_manifest
from paretodet.export.table import TARGETS
from paretodet.opening import open_candidate
from paretodet.runtimes.table import RUNTIMES
from paretodet.sources.table import check

FILES = {  # of each form, the artifact first
    "onnx": ("detector.onnx",),
    "openvino": (openvino_target.MODEL, openvino_target.WEIGHTS),
    "torch": ("detector.pt2",),
    "aotinductor": ("detector.pt2",),
    "litert": ("detector.tflite",),
    "executorch": ("detector.pte",),
    "ncnn": (ncnn_target.ARTIFACT, ncnn_target.WEIGHTS, ncnn_target.SHAPES),
}
PLACES = [(form, name) for form, names in FILES.items() for name in (*names, BUNDLE)]


@pytest.fixture(autouse=True)
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """No runtime and no check of a form's content may see what was altered."""
    for kind in RUNTIMES:
        monkeypatch.setattr(kind, "build", lambda *_: pytest.fail("built"))
    for target in TARGETS:
        monkeypatch.setattr(type(target), "inspect", lambda *_: pytest.fail("inspected"))


def write(folder: Path, form: str, seed: int = 0) -> Path:
    """A bundle whose files all have one size: what is in them does not matter here."""
    folder.mkdir()
    for number, name in enumerate(FILES[form]):
        (folder / name).write_bytes(bytes([seed, number, *range(250)]) * 8)
    stated = {"target": form, "artifact": FILES[form][0], "files": entries(folder, FILES[form]), "precision": "fp32"}
    write_manifest(folder, manifest(folder, **stated, name=f"yolo_v3_tiny-{96 + 32 * seed}"))
    return folder


def bytes_flipped(path: Path) -> Iterator[bytes]:
    """One byte of the first, of one in the middle and of the last."""
    content = path.read_bytes()
    for place in (0, len(content) // 2, len(content) - 1):
        yield content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def uses(name: str) -> tuple[Callable[[], Any], ...]:
    """What commands do with a name before anything is measured."""
    return (lambda: check(name), lambda: open_candidate(name, trust=True))


def assert_refused(folder: Path) -> None:
    for use in uses(str(folder)):
        with pytest.raises(InputError) as refused:
            use()
        assert refused.value.id in ("bundle-altered", "json-invalid") and str(folder) in refused.value.message


def test_every_form_is_tested() -> None:
    assert FILES.keys() == {target.name for target in TARGETS}


@pytest.mark.parametrize(("form", "name"), PLACES)
def test_one_altered_byte_is_refused(form: str, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bundle", form) / name
    for content in list(bytes_flipped(path)):
        path.write_bytes(content)
        assert_refused(path.parent)


@pytest.mark.parametrize(("form", "name"), PLACES)
def test_a_file_that_is_cut_or_of_another_bundle_is_refused(form: str, name: str, tmp_path: Path) -> None:
    path, other = write(tmp_path / "bundle", form) / name, write(tmp_path / "other", form, seed=1)
    for content in (path.read_bytes()[:-2], b"", (other / name).read_bytes()):
        path.write_bytes(content)
        assert_refused(path.parent)


@pytest.mark.parametrize(("form", "name"), [each for each in PLACES if each[1] != BUNDLE])
def test_a_missing_file_is_refused(form: str, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle", form)
    (folder / name).unlink()
    assert_refused(folder)


@pytest.mark.parametrize("form", [form for form, names in FILES.items() if len(names) > 1])
def test_files_that_have_changed_places_are_refused(form: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle", form)
    first, second, *_ = (folder / name for name in FILES[form])
    shutil.move(first, folder / "between")
    shutil.move(second, first)
    shutil.move(folder / "between", second)
    assert_refused(folder)


def test_a_folder_without_its_description_is_no_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle", "onnx")
    (folder / BUNDLE).unlink()
    with pytest.raises(InputError, match=r"is a folder without bundle\.json, .*name-unknown"):
        check(str(folder))
