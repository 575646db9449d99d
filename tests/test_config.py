"""The config of a candidate: what it refuses, and its way through a row's `job`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.reading import sha256
from paretodet.records.lines import read_lines
from paretodet.sources.table import resolved
from paretodet.weights import files

ROOT = Path(__file__).resolve().parents[1]
SSD = "ssd-mobilenet_v1-300"
MODEL = "hf:deimv2-atto"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": 1.5}, r"score: got 1.5, it must be in 0\.\.1"),
        ({"nms": -1}, "nms: got -1"),
        ({"fit": "squash"}, "fit: got 'squash', it must be one of stretch, letterbox, letterbox-darknet"),
        ({"sampling": "cubic"}, "sampling: got 'cubic', it must be one of antialiased, opencv, corners, tf1, torch"),
        ({"width": 300}, "width: needs a height"),
        ({"calibration": Path("images")}, "calibration: needs precision int8"),
        ({"calibration": Path("images"), "precision": "bf16"}, "calibration: needs precision int8"),
        *(({name: 0}, f"{name}: got 0, it must be at least 1") for name in ("height", "proposals", "batch", "threads")),
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CandidateConfig(name=SSD, **options)


def test_text_is_a_path_and_a_list_are_labels() -> None:
    config = CandidateConfig(name=SSD, weights="w.safetensors", labels=["a", None])  # type: ignore[arg-type]
    assert config == CandidateConfig(name=SSD, weights=Path("w.safetensors"), labels=("a", None))
    assert hash(config)  # in a grid


def test_one_side_means_a_square() -> None:
    assert CandidateConfig(name=MODEL, height=256).size == (256, 256)
    assert CandidateConfig(name=MODEL, height=256, width=320).size == (256, 320)
    assert CandidateConfig(name=MODEL).size is None


def test_options_are_what_is_set_beside_conditions() -> None:
    config = CandidateConfig(name=SSD, score=0.0, precision="bf16", batch=2, threads=1)
    assert config.options == {"score": 0.0, "precision": "bf16"}
    assert replace(config, score=None).as_published and not config.as_published


def test_an_option_of_another_version_is_named() -> None:
    with pytest.raises(ValueError, match="job: this version has no option 'magic'"):
        CandidateConfig.from_json({"name": SSD, "magic": 1})


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("20*.jsonl")), ids=lambda path: path.stem)
def test_jobs_of_committed_rows_come_back_as_they_are(path: Path) -> None:
    """The keys that they lack were added later and were not set."""
    for row in read_lines(path):
        job = {key: value for key, value in (row.get("job") or {}).items() if key != "scored_on"}
        if not job or job["weights"]:
            continue
        written = CandidateConfig.from_json(job).to_json()
        assert {key: written[key] for key in job} == job
        assert all(written[key] is None for key in written.keys() - job.keys())


def test_an_onnx_file_is_searched_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"any")
    data = CandidateConfig(name=str(path)).to_json()
    assert data["name"] == "mine.onnx" and data["weights"] == sha256(path) and str(tmp_path) not in str(data)
    monkeypatch.chdir(tmp_path)
    assert CandidateConfig.from_json(data).name == "mine.onnx"
    path.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"mine\.onnx: needed with SHA-256"):
        CandidateConfig.from_json(data)


@pytest.mark.parametrize("module", ["mine", "folder.mine", "folder"])
def test_the_job_of_a_python_function_has_the_hash_of_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("mine.py", "folder/mine.py", "folder/__init__.py"):
        (tmp_path / name).write_text(f"raise SystemExit({name!r})")  # is not imported
    config = CandidateConfig(name=f"{module}:make")
    file = tmp_path / (f"{module.replace('.', '/')}.py" if module != "folder" else "folder/__init__.py")
    data = config.to_json()
    assert data["module"] == sha256(file) and CandidateConfig.from_json(data) == config
    file.write_text("SCORE = 0.3")
    with pytest.raises(InputError, match=r"\.py: needed with SHA-256 .*file-changed"):
        CandidateConfig.from_json(data)
    older = {key: value for key, value in data.items() if key != "module"}
    assert CandidateConfig.from_json(older) == config


@pytest.mark.parametrize("name", ["absent_module:make", "folder:make", "hf:make", "tv:make", "paretodet.opening:job"])
def test_a_job_without_a_module_file_has_no_hash_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()  # of a namespace
    for other in ("hf", "tv"):
        (tmp_path / f"{other}.py").touch()
    assert "module" not in CandidateConfig(name=name).to_json()


def test_a_config_comes_back_from_its_row() -> None:
    config = CandidateConfig(name=MODEL, height=256, width=320, threads=2)
    assert CandidateConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="job: this row does not state"):
        CandidateConfig.from_json({})


def test_a_job_names_its_file_and_of_a_training_the_folder_but_no_path(tmp_path: Path) -> None:
    for folder in ("home", "seed 3"):
        (tmp_path / folder).mkdir()
        files.save({}, tmp_path / folder / "best.safetensors", files.WeightsMetadata(name=SSD))
    (tmp_path / "seed 3/run.json").write_text("{}")
    paths = [tmp_path / each / "best.safetensors" for each in ("home", "seed 3")]
    configs = [resolved(CandidateConfig(name=str(path))) for path in paths]
    jobs = [config.to_json() for config in configs]
    assert [each["file"] for each in jobs] == ["best.safetensors", "seed 3/best.safetensors"]
    assert str(tmp_path) not in str(jobs)
    assert CandidateConfig.from_json(jobs[1], weights=configs[1].weights) == configs[1]
    assert "file" not in CandidateConfig(name=SSD).to_json()


def test_a_job_of_before_an_option_was_there_comes_back() -> None:
    config = CandidateConfig(name=SSD, nms=0.4)
    assert CandidateConfig.from_json(config.to_json()) == config
    old = {key: value for key, value in config.to_json().items() if key != "nms"}
    assert CandidateConfig.from_json(old) == CandidateConfig(name=SSD)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_text(name)
    return folder


def test_a_job_of_int8_has_count_and_digest_of_its_images(images: Path) -> None:
    config = CandidateConfig(name=SSD, precision="int8", calibration=images)
    data = config.to_json()
    assert data["calibration"]["images"] == 2 and len(data["calibration"]["sha256"]) == 64
    assert (
        str(images) not in str(data)
        and "calibration" not in replace(config, precision=None, calibration=None).to_json()
    )
    assert CandidateConfig.from_json(data, calibration=images) == config


def test_a_row_of_int8_needs_its_images_again(images: Path) -> None:
    data = CandidateConfig(name=SSD, precision="int8", calibration=images).to_json()
    (images / "2.png").write_text("another")
    with pytest.raises(ValueError, match="calibration: needed are 2 images with SHA-256 .*--calibrate DIR"):
        CandidateConfig.from_json(data, calibration=images)
