"""Layouts as files that a user edits."""

from pathlib import Path

import pytest

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.layouts.files import from_data, read_layout, to_data, to_toml
from paretodet.layouts.layout import BGR_BYTES, IMAGENET, FileLayout, OutputLayout
from paretodet.transforms.resize_policy import CornerLetterbox, Letterbox, Stretch

YOLOX = FileLayout(
    family="YOLOX",
    outputs=OutputLayout(
        columns=(("output", ("box", "objectness", "classes")),),
        box="cxcywh",
        coding="grid",
        strides=(8, 16, 32),
        offset=0.0,
        suppressed=False,
    ),
    pixels=BGR_BYTES,
    fit="letterbox-corner",
    sampling="opencv",
)
FACES = FileLayout(
    family="RetinaFace",
    outputs=OutputLayout(
        columns=(("loc", ("box",)), ("conf", ("classes",)), ("landms", ("other",))),
        coding="priors",
        strides=(8, 16),
        priors=((16.0, 32.0), (64.0,)),
        background="first",
        suppressed=False,
        overlap=0.4,
    ),
    pixels=IMAGENET,
)

MAPS = FileLayout(
    family="maps of TensorFlow",
    outputs=OutputLayout(
        columns=(("Identity", ("box", "classes")),), coding="distances", strides=(8,), map_axes="nhwc", suppressed=False
    ),
)


@pytest.mark.parametrize("layout", [YOLOX, FACES, MAPS])
def test_a_layout_comes_back_from_its_file_and_from_a_row(tmp_path: Path, layout: FileLayout) -> None:
    path = tmp_path / "layout.toml"
    path.write_text(to_toml(layout), encoding="utf-8")
    assert read_layout(path) == layout == from_data(to_data(layout))
    (tmp_path / "a.onnx").write_bytes(b"any")
    config = CandidateConfig(name=str(tmp_path / "a.onnx"), layout=path)  # type: ignore[arg-type]
    assert config.layout == layout and config.to_json()["layout"] == to_data(layout)


def test_a_row_states_the_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.onnx").write_bytes(b"any")
    config = CandidateConfig(name="a.onnx", layout=YOLOX)
    assert CandidateConfig.from_json(config.to_json()) == config
    assert "layout" not in CandidateConfig(name="a.onnx").to_json()


def test_a_field_that_was_added_later_is_stored_only_if_it_is_set() -> None:
    """Rows have a layout in their jobs, and its hash: those of files that do not need the field stay as they were."""
    assert "map_axes" not in to_data(YOLOX)["meaning"] and "map_axes" not in repr(YOLOX)
    assert to_data(MAPS)["meaning"]["map_axes"] == "nhwc" and "transposed=False, map_axes='nhwc', box=" in repr(MAPS)
    assert 'map_axes = "nchw"' in to_toml(YOLOX)


def test_the_line_says_what_decides_the_boxes() -> None:
    assert str(YOLOX) == (
        "YOLOX, 3 strides, boxes coded as grid, objectness, suppression ours, letterbox-corner 114, BGR 0..255"
    )


def test_the_fit_of_a_layout() -> None:
    assert YOLOX.policy(64, 96) == CornerLetterbox(height=64, width=96, fill=114, sampling="opencv")
    assert FACES.policy(64, 96) == Stretch(height=64, width=96)
    centered = FileLayout(family="", outputs=YOLOX.outputs, fit="letterbox", fill=0)
    assert centered.policy(64, 64) == Letterbox(height=64, width=64, fill=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("= 3", "not a TOML file"),
        ("family = 3", "family: expected str, got int"),
        ("[pixels]\nmeans = [0, 0, 0]", "pixels"),
        ('[[outputs]]\nname = "a"\ncolumns = ["box", "depth"]', "columns: got 'depth'"),
        ('[[outputs]]\nname = "a"\ncolumns = ["box", "score"]\n[canvas]\nfit = "crop"', "canvas.fit: got 'crop'"),
        ('[[outputs]]\nname = "a"\ncolumns = ["box", "score"]\n[meaning]\nmap_axes = "hwc"', "map_axes: got 'hwc'"),
        ('[[outputs]]\nname = "a"\ncolumns = ["box", "score"]\n[pixels]\nstd = [0, 1, 1]', "std not 0"),
        ("", "outputs"),
    ],
)
def test_a_wrong_field_is_named_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "layout.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        read_layout(path)
    assert caught.value.message.startswith(str(path)) and caught.value.id == "layout-malformed"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such file \[file-missing\]"):
        read_layout(tmp_path / "none.toml")
