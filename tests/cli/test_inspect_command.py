"""`paretodet inspect`: what was recognized, why, and a layout file."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_onnx import BOX, center, rows, separate, write
from paretodet.layouts.files import read_layout
from paretodet.media import fonts

Run = Callable[..., tuple[int, str, str]]


def test_the_output_is_a_layout_file_with_the_reasons(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "one.onnx", {"output0": rows([*center(), 0.95, 0.99])})
    code, out, err = run("inspect", path)
    assert code == 0 and "# read as YOLOX" in out and "Next: paretodet doctor" in err
    assert "756 rows" in out and "but " in out  # why, and what speaks against the others
    (tmp_path / "layout.toml").write_text(out, encoding="utf-8")
    assert read_layout(tmp_path / "layout.toml").outputs.columns == (("output0", ("box", "objectness", "classes")),)
    code, out, _ = run("detect", path, tmp_path / "photo.png", "--layout", "layout.toml", "--json")
    assert code == 2 and not out


def test_a_refused_file_gives_a_layout_to_edit_that_works(run: Run, tmp_path: Path) -> None:
    boxes, scores, labels = separate(BOX, label=2)
    path = write(tmp_path / "mm.onnx", {"dets": np.concatenate((boxes, scores[..., None]), axis=2), "labels": labels})
    Image.new("RGB", (192, 192), (51, 51, 51)).save(tmp_path / "photo.png")
    code, out, _ = run("inspect", path)
    assert code == 1 and "# refused: " in out and tomllib.loads(out)["outputs"][0]["name"] == "dets"
    (tmp_path / "layout.toml").write_text(out, encoding="utf-8")
    code, out, err = run("detect", path, "photo.png", "--layout", "layout.toml", "--json", "--score", 0.3)
    assert code == 0 and json.loads(out)[0]["detections"][0]["box"] == list(BOX) and "read as MMDeploy" in err


def test_boxes_are_drawn_and_printed_as_json(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "one.onnx", {"output0": rows([*center(), 0.95, 0.99])})
    code, out, _ = run("inspect", path, "--json", "--out", "boxes.png")
    document = json.loads(out)
    assert code == 0 and document["read_as"].startswith("read as YOLOX") and document["refused"] is None
    assert document["outputs"] == {"output0": [1, 756, 6]} and len(document["readings"]) == 4
    with Image.open(tmp_path / "boxes.png") as image:
        assert image.size == (384, 384)


def test_a_name_without_a_font_is_explained(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_others", lambda: ())
    fonts._font.cache_clear()
    path = write(tmp_path / "one.onnx", {"output0": rows([*center(), 0.95, 0.99])})
    (tmp_path / "names.txt").write_text("猫\n", encoding="utf-8")
    _, _, err = run("inspect", path, "--classes", tmp_path / "names.txt", "--out", "boxes.png")
    fonts._font.cache_clear()
    assert err.count("0 = 猫") == 1


def test_another_file_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("inspect", "ssd-mobilenet_v1-300")
    assert code == 2 and "[name-unknown]" in err
    assert run("inspect", tmp_path / "none.onnx")[0] == 2


def test_a_refused_file_whose_layout_reads_nothing_yet_is_not_drawn(run: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    widths = {"a": 9, "b": 3, "c": 5}
    outputs = {name: random.uniform(2, 9, (1, 40, width)).astype(np.float32) for name, width in widths.items()}
    path = write(tmp_path / "odd.onnx", outputs)
    code, out, err = run("inspect", path, "--out", "boxes.png")
    assert code == 1 and [each["name"] for each in tomllib.loads(out)["outputs"]] == ["a", "b", "c"]
    assert "boxes.png is not written" in err and not (tmp_path / "boxes.png").exists()
