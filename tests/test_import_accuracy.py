"""The published accuracy of imported weights: that of the file in the detector that it was published for, or none."""

import json
from pathlib import Path

import pytest

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.importing import ImportedWeights, import_weights
from paretodet.opening import job
from paretodet.reading import sha256
from paretodet.weights import darknet, published
from paretodet.weights.files import WeightsMetadata, read_metadata

NAME, LARGER = "yolo_v3_tiny-416", "yolo_v3_tiny-608"
LABELS = ("cell", "dog")
STATED = {"ap": 37.0, "ap50": 59.0, "split": "val2014-5k", "source": "a table"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    darknet.save(build(spec(NAME, Override(labels=LABELS)), seed=3), path := tmp_path / "theirs.weights")
    return path


@pytest.fixture
def listed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is published, with an accuracy in the smaller of two detectors."""
    known = published.WeightsAccuracy(detector=NAME, **STATED)
    origin = published.entries()[0].origin
    entry = published.PublishedWeights(
        name="w", origin=origin, file="w", sha256=sha256(source), accuracy=(known,), trained_on="COCO"
    )
    monkeypatch.setattr(published, "entries", lambda: (entry,))


def imported(path: Path, /, out: str = "ours", name: str = NAME, **given: object) -> ImportedWeights:
    metadata = WeightsMetadata(name=name, labels=LABELS, **given)  # type: ignore[arg-type]
    return import_weights(path, metadata, path.with_name(f"{out}.safetensors"))


def in_rows(done: ImportedWeights) -> object:
    return job(CandidateConfig(name=done.out)).about.get("ap")


@pytest.mark.usefixtures("listed")
def test_it_is_that_of_the_listed_detector_alone(source: Path) -> None:
    done, other = imported(source), imported(source, "other", LARGER)
    assert (done.ap, done.ap50, done.ap_split, in_rows(done)) == (37.0, 59.0, "val2014-5k", 37.0)
    assert (other.ap, other.ap50, other.ap_split, other.ap_source, in_rows(other)) == (None,) * 5
    assert other.license == done.license is not None


OTHER_OPTIONS: list[dict[str, object]] = [
    {"fit": "stretch"},
    {"fit": "letterbox-darknet"},
    {"score": 0.3},
    {"nms": 0.4},
    {"norm_eps": 0.1},
    {"sampling": "antialiased"},
]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("option", OTHER_OPTIONS, ids=str)
@pytest.mark.parametrize("given", [{}, STATED], ids=["listed", "given"])
def test_an_option_that_changes_detections_leaves_none(
    source: Path, option: dict[str, object], given: dict[str, object]
) -> None:
    done = imported(source, **option, **given)
    assert (done.ap, done.ap50, done.ap_split, done.ap_source, in_rows(done)) == (None,) * 5
    kept = read_metadata(Path(done.out))
    assert kept is not None and kept.rounding is None


@pytest.mark.usefixtures("listed")
def test_an_option_with_the_detectors_own_value_leaves_it(source: Path) -> None:
    made = spec(NAME)
    own = {"fit": "letterbox", "sampling": made.fit.sampling, "norm_eps": made.backbone.norm.eps}
    done = imported(source, **own)
    assert (done.ap, done.fit, in_rows(done)) == (37.0, "letterbox", 37.0)


@pytest.mark.usefixtures("listed")
def test_an_imported_file_keeps_it_as_the_same_detector_alone(source: Path) -> None:
    first = Path(imported(source).out)
    again = imported(first, "again")
    kept = read_metadata(Path(again.out))
    assert kept is not None and (kept.ap, kept.ap50, kept.split, kept.rounding) == (37.0, 59.0, "val2014-5k", 0.05)
    assert imported(first, "larger", LARGER).ap is None
    for index, option in enumerate(OTHER_OPTIONS):
        assert imported(first, f"other{index}", **option).ap is None, option


@pytest.mark.usefixtures("listed")
def test_an_imported_file_never_mixes_two_sources(source: Path) -> None:
    first = Path(imported(source).out)
    done = imported(first, "again", ap=40.0, split="val2017")
    assert (done.ap, done.ap50, done.ap_split, done.ap_source) == (40.0, None, "val2017", None)
    larger = imported(first, "larger", LARGER, ap=40.0, split="val2017")
    assert (larger.ap, larger.ap_split, larger.license) == (40.0, "val2017", done.license)


def run(monkeypatch: pytest.MonkeyPatch, source: Path, *arguments: str) -> int:
    from paretodet.cli import main

    (source.parent / "names").write_text("\n".join(LABELS))
    command = ["import", source, "--as", NAME, "--classes", source.parent / "names", "--json", *arguments]
    monkeypatch.setattr("sys.argv", ["paretodet", *map(str, command), "--out", f"{source.parent}/o.safetensors"])
    with pytest.raises(SystemExit) as left:
        main()
        raise SystemExit(0)
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("numbers", "rounding"),
    [(["--ap", "37"], 0.5), (["--ap", "37.0"], 0.05), (["--ap", "37.0", "--ap50", "59.12"], 0.05)],
)
def test_the_digits_of_an_option_say_how_it_is_rounded(
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    numbers: list[str],
    rounding: float,
) -> None:
    assert run(monkeypatch, source, *numbers) == 0
    assert json.loads(capsys.readouterr().out)["ap"] == 37.0
    about = job(CandidateConfig(name=f"{source.parent}/o.safetensors")).about
    assert (about["ap"], about["ap_rounding"]) == (37.0, rounding)


@pytest.mark.parametrize("text", ["much", "nan", "1e400", ""])
def test_a_text_that_is_no_number_is_refused(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert run(monkeypatch, source, "--ap", text) == 2
    assert capsys.readouterr().err.rstrip().endswith("[option-value]")
