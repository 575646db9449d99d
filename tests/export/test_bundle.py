"""A bundle's description, and every way in which a bundle is refused before anything of it runs."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from made_bundles import ARTIFACT, PROOF, WEIGHTS, manifest
from paretodet.errors import InputError
from paretodet.export.bundle import (
    VERSION,
    Bundle,
    Counts,
    TensorInfo,
    fit_from_json,
    fit_to_json,
    read_bundle,
    read_manifest,
    write_manifest,
)
from paretodet.transforms.resize_policy import Letterbox, ShortSide, ShortSideCrop, Stretch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    (made / "parts").mkdir(parents=True)
    (made / ARTIFACT).write_bytes(b"a" * 1000)
    (made / WEIGHTS).write_bytes(b"w" * 3000)
    write_manifest(made, manifest(made))
    return made


def rewritten(folder: Path, **changed: Any) -> None:
    """The manifest with other fields and a digest that fits them."""
    bundle = read_manifest(folder)
    write_manifest(folder, replace(bundle.manifest, **changed))


def test_what_is_written_is_read_again(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle == Bundle(folder=folder, manifest=manifest(folder))
    assert bundle.artifact == folder / ARTIFACT and bundle.proof == PROOF
    assert bundle.fit == Letterbox(height=96, width=128, sampling="opencv")


def test_the_description_is_json_for_any_reader(folder: Path) -> None:
    document = json.loads((folder / "bundle.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert (document["format"], document["version"]) == ("paretodet-bundle", VERSION)
    assert document["labels"] == ["a", None, "naïve"]
    assert document["fit"] == {
        "kind": "letterbox", "height": 96, "width": 128, "fill": 128, "undo": "exact", "sampling": "opencv"
    }  # fmt: skip
    assert document["files"].keys() == {ARTIFACT, WEIGHTS}


@pytest.mark.parametrize(
    "fit", [Stretch(height=3, width=4), Letterbox(height=3, width=4, fill=0), ShortSideCrop(height=3, width=4)], ids=str
)
def test_a_fit_of_a_fixed_canvas_survives(fit: Any) -> None:
    assert fit_from_json(json.loads(json.dumps(fit_to_json(fit))), what="it") == fit


def test_a_fit_without_a_fixed_canvas_is_refused() -> None:
    with pytest.raises(ValueError, match="no fixed canvas"):
        fit_to_json(ShortSide(short=3, long=4))
    for data in ({"kind": "short-side"}, {"kind": "stretch", "height": 0, "width": 1}, {"kind": "stretch", "sides": 2}):
        with pytest.raises(InputError, match="it: fit"):
            fit_from_json(data, what="it")


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", [ARTIFACT, WEIGHTS, "bundle.json"])
@pytest.mark.parametrize("damage", [altered, truncated, emptied, Path.unlink], ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_refused(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(folder / name)
    with pytest.raises(InputError, match=name) as refused:
        read_bundle(folder)
    assert refused.value.id == "bundle-altered"


@pytest.mark.parametrize("field", ["labels", "score", "fit", "precision", "spec", "weights"])
def test_an_altered_description_is_refused(folder: Path, field: str) -> None:
    path = folder / "bundle.json"
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document | {field: read_manifest(folder).manifest.name}), "utf-8")
    with pytest.raises(InputError, match=r"SHA-256.*bundle-altered"):
        read_bundle(folder)


def test_a_newer_version_is_one_sentence(folder: Path) -> None:
    path = folder / "bundle.json"
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document | {"version": VERSION + 1, "more": []}), "utf-8")
    with pytest.raises(InputError, match=r"update paretodet \[bundle-newer\]"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "document", ["[]", "{}", '{"format": "other", "version": 1}', '{"format": "paretodet-bundle"}']
)
def test_another_document_is_no_bundle(folder: Path, document: str) -> None:
    (folder / "bundle.json").write_text(document)
    with pytest.raises(InputError, match="bundle-altered"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "parts/../../secret", "a\\b", "c:a", ".", "parts/./a", "", "a\0b"]
)
def test_a_file_outside_of_the_folder_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"s")
    files = read_manifest(folder).manifest.files
    rewritten(folder, files=files | {name: files[ARTIFACT]})
    with pytest.raises(InputError) as refused:
        read_bundle(folder)
    assert refused.value.id == "bundle-unsafe"


@pytest.mark.parametrize("name", [ARTIFACT, WEIGHTS, "parts", "bundle.json"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    outside = shutil.move(folder / name, folder.parent / "outside")
    os.symlink(outside, folder / name)
    with pytest.raises(InputError, match="link") as refused:
        read_bundle(folder)
    assert refused.value.id == "bundle-unsafe"


def test_a_link_to_the_folder_itself_is_followed(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert read_bundle(link).manifest == read_bundle(folder).manifest


@pytest.mark.parametrize(
    "changed",
    [
        {"artifact": "other.onnx"},
        {"height": 97},
        {"batch": 0},
        {"height": 2**20},
        {"load": "much"},
        {"labels": (1,)},
        {"labels": ()},
        {"spec": "no JSON"},
        {"counts": Counts(parameters=-1)},
    ],
    ids=str,
)
def test_fields_that_do_not_fit_are_refused(folder: Path, changed: dict[str, Any]) -> None:
    rewritten(folder, **changed)
    with pytest.raises(InputError, match="bundle"):
        read_bundle(folder)


def test_other_files_in_the_folder_do_not_matter(folder: Path) -> None:
    (folder / "README.txt").write_text("mine")
    assert "README.txt" not in asdict(read_bundle(folder).manifest)["files"]


def test_a_tensor_may_have_more_boxes_than_a_canvas_has_pixels_along_a_side(folder: Path) -> None:
    """YOLO v3 at 608 px has 22,743."""
    boxes = TensorInfo(name="boxes", type="float32", shape=(1, 22_743, 4), meaning="")
    rewritten(folder, outputs=(boxes,))
    assert read_bundle(folder).manifest.outputs == (boxes,)
