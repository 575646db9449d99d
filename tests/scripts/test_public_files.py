"""The list of public detector files: its page, its counts, and its check of files at hand."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import public_files
from made_onnx import SIDE, center, rows, write
from paretodet.layouts.files import read_layout
from paretodet.reading import sha256
from public_files import PublicFile, checked, entries

FOLDER = os.environ.get("PARETODET_PUBLIC_FILES", "")


def test_the_page_shows_the_list() -> None:
    page = public_files.PAGE.read_text("utf-8")
    assert page == public_files.filled(page, entries()), "run `python scripts/public_files.py`"


def test_enough_files_of_enough_exporters_are_used() -> None:
    listed = entries()
    assert len(listed) >= 40 and len({each.sha256 for each in listed}) == len(listed)
    assert len({each.exporter for each in listed if each.used}) >= 15
    assert sum(each.used for each in listed) >= 34
    assert all(each.compared and each.found for each in listed if each.used)
    assert all(each.id and each.reason for each in listed if not each.used)


@pytest.mark.parametrize("path", sorted(public_files.LAYOUTS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_layouts_of_the_docs_are_read(path: Path) -> None:
    assert read_layout(path).outputs.columns


def made(tmp_path: Path) -> PublicFile:
    """A file that is read as listed."""
    head = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
    path = write(tmp_path / "v8.onnx", {"output0": head})
    return PublicFile(
        file="v8.onnx",
        source="here",
        exporter="tests",
        sha256=sha256(path)[: public_files.SHOWN],
        read_as="YOLOv8 or later",
        compared="nothing",
        threshold=0.5,
        boxes=((60, 90, 120, 150, 0.9, 1),),
    )


def test_a_file_that_is_as_listed_passes_and_others_do_not(tmp_path: Path) -> None:
    listed = made(tmp_path)
    ((x1, *sides),) = listed.boxes
    assert x1 is not None
    changed = {
        "is as listed": listed,
        "found": replace(listed, boxes=((x1 + 2, *sides),)),
        "not YOLOX": replace(listed, read_as="YOLOX"),
        "listed is nothing": replace(listed, boxes=()),
        "to be refused": replace(listed, read_as="", id="onnx-layout"),
        "it is from here": replace(listed, sha256="0" * public_files.SHOWN),
    }
    (passed, *others) = checked(tmp_path, changed.values())
    assert passed.endswith("as listed")
    assert [word for word, sentence in zip(list(changed)[1:], others, strict=True) if word not in sentence] == []


def test_a_listed_box_is_compared_where_it_is_inside_the_canvas(tmp_path: Path) -> None:
    """Detections end at the image; the code of some projects lets boxes leave it."""
    box = (-6.0, 90.0, 120.0, SIDE + 5.0)
    path = write(tmp_path / "edge.onnx", {"output0": rows([*center(box), 0.1, 0.9]).transpose(0, 2, 1).copy()})
    listed = replace(made(tmp_path), sha256=sha256(path)[: public_files.SHOWN], boxes=((*box, 0.9, 1),))
    moved = replace(listed, boxes=((-6, 92, 120, SIDE + 5, 0.9, 1),))
    (right, wrong) = checked(tmp_path, [listed, moved])
    assert right.endswith("as listed") and "found" in wrong


def test_a_refused_file_needs_the_listed_id(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.onnx", {"out": np.zeros((1, SIDE), np.float32)})
    listed = replace(made(tmp_path), sha256=sha256(path)[: public_files.SHOWN], read_as="", id="onnx-task")
    (right, wrong) = checked(tmp_path, [listed, replace(listed, id="onnx-layout")])
    assert right.endswith("as listed") and "is refused" in wrong


@pytest.mark.full
@pytest.mark.skipif(not FOLDER, reason="PARETODET_PUBLIC_FILES names no folder with the listed files")
def test_the_files_at_hand_are_as_listed() -> None:
    sentences = [each for each in checked(Path(FOLDER), entries()) if "it is from" not in each]
    assert sentences and [each for each in sentences if not each.endswith("as listed")] == []
