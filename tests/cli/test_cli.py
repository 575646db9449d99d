"""The command line: fields of the JSON, one message with an id for bad input, and the same options everywhere."""

import inspect
import json
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from paretodet import default_weights
from paretodet.bench.job import Job, Plan
from paretodet.cli import (
    app,
    candidate_options,
    label_options,
    main,
    measuring_options,
    options,
    parsing,
    place_options,
    training_options,
    weights_options,
)
from paretodet.loader.shapes import Shapes
from paretodet.records.columns import LONG_FIELDS
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import TYPES, with_id
from paretodet.records.store import Store
from paretodet.sweep import measuring
from paretodet.sweep.grid import DEFAULT
from paretodet.weights import files

Run = Callable[..., tuple[int, str, str]]
LIST = "name meta_architecture backbone height width output_stride proposals classes parameters buffers macs layers moved flops ap ap50 mask_ap mask_ap50 ap_split ap_source published assumption ap_estimate"  # noqa: E501
BACKBONES = "name parameters buffers parameters_paper macs side channels strides top1_published top1_source"
DOCTOR = "data format status splits classes decoded checks left_out findings box_sizes cleaned"


def bench(jobs: list[Job], *, plan: Plan, run: str = "single", on_progress: Any, **more: Any) -> Iterator[Measurement]:
    """In place of the real one: faster for earlier jobs, with intervals."""
    for place, job in enumerate(jobs, start=1):
        about = {
            "latency_ms_p50": 10.0 * place,
            "latency_ms_p50_low": 9.5 * place,
            "latency_ms_p50_high": 10.5 * place,
            "memory_infer_mib": 100.0 * place,
            "processes": plan.processes,
            "raw": ({"bursts": []},),
        }
        at = f"2030-01-01T00:00:{place:02}+00:00"
        row = Measurement(id="", run=run, at=at, name=job.name, job=job.recipe, artefact=job.name, **job.about, **about)
        yield with_id(row)


@pytest.fixture
def measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A folder whose store holds three rows."""
    monkeypatch.setattr(measuring, "measure", bench)
    code, _, err = run("measure", "ssd-mobilenet_v1-300", "yolo_v3-darknet53-320", "hf:d_fine-n")
    assert code == 0, err
    return run


def test_list_as_json_has_the_documented_fields(run: Run) -> None:
    code, out, err = run("list", "--json")
    rows = json.loads(out)
    assert code == 0 and err == ""
    assert all(list(row) == LIST.split() for row in rows)
    named = {row["name"]: row for row in rows}
    assert {"ssd-mobilenet_v1-300", "hf:d_fine-s"} <= named.keys()
    published = named["yolo_v3-darknet53-416"]["published"]  # all of them, by split; `ap` and `ap50` are of one
    assert {split: known["ap50"] for split, known in published.items()} == {"test-dev": 55.3, "val2014-5k": 55.4}
    assert named["hf:d_fine-s"]["published"].keys() == {"val2017"} and named["ssd-vgg16-300"]["published"] == {}
    shown = {name: row["mask_ap"] for name, row in named.items() if name.startswith("tv:maskrcnn")}
    assert shown == {"tv:maskrcnn_resnet50_fpn": 34.6, "tv:maskrcnn_resnet50_fpn_v2": 41.8}


def test_list_for_people_names_everything(run: Run) -> None:
    _, out, _ = run("list")
    assert "faster_rcnn-resnet101-600-s16-p300" in out and "hf:rt_detr_v2-r18" in out and "48.1" in out
    assert re.search(r"tv:ssd300_vgg16 +300x300 +35\.6 +34\.9 +25\.1 +val2017\n", out)
    assert re.search(r"31\.2 +55\.4 +val2014-5k\n +55\.3 +test-dev\n", out)


def test_backbones_as_json_have_the_documented_fields(run: Run) -> None:
    code, out, err = run("list", "--backbones", "--json")
    rows = json.loads(out)
    assert code == 0 and err == ""
    assert all(list(row) == BACKBONES.split() for row in rows)
    assert {"vgg16", "inception_resnet_v2"} <= {row["name"] for row in rows}


def test_backbones_for_people(run: Run) -> None:
    _, out, _ = run("list", "--backbones")
    assert "mobilenet_v1" in out and "42." in out and "76.4" in out and "ssd" not in out


@pytest.mark.parametrize("more", [[], ["--backbones"]])
def test_list_imports_no_heavy_library(more: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['paretodet', 'list', *{more}];\nfrom paretodet.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print({'torch', 'torchvision', 'transformers', 'altair'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "set()"


def test_measure_as_json_has_all_but_the_long_fields_and_nothing_else_on_stdout(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    code, out, err = run("measure", "ssd-mobilenet_v1-300", "--processes", 2, "--json")
    (row,) = json.loads(out)
    assert code == 0 and row.keys() == (TYPES.keys() - {*LONG_FIELDS}) | {"floor_pct"}
    assert row["processes"] == 2 and row["name"] == "ssd-mobilenet_v1-300"
    assert "1 candidate on" in err


def test_measure_ends_in_the_table_and_the_frontier(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    code, out, err = run("measure", "ssd-mobilenet_v1-300", "hf:d_fine-n")
    assert code == 0
    table, _, frontier = out.partition("Frontier")
    for name in ("ssd-mobilenet_v1-300", "hf:d_fine-n"):
        assert name in table and name in frontier
    assert len(Store("paretodet.db").rows()) == 2


def test_what_has_no_accuracy_is_named_with_what_measures_it(run: Run, monkeypatch: Any) -> None:
    """In the answer of `measure` and of `frontier`, if others have one; else a note says that none has."""
    monkeypatch.setattr(measuring, "measure", bench)
    _, _, err = run("measure", "ssd-mobilenet_v1-300", "ssd-vgg16-300")
    (found,) = (line for line in err.splitlines() if line.startswith("Not compared"))
    assert found.count("ssd-vgg16-300") == 1 and "measure NAME --data DATA" in found
    assert found in run("frontier")[2].splitlines()
    _, _, err = run("measure", "ssd-vgg16-300", "--store", "alone.db")
    assert "Not compared" not in err and "no AP" in err
    _, _, err = run("measure", "hf:d_fine-n", "--store", "known.db")
    assert "Not compared" not in err


def test_sweeps_multiply(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    name = "faster_rcnn-resnet101-300-s16-p50"
    _, out, _ = run("measure", name, "--proposals", "10,50", "--size", "300,600", "--json")
    sides_and_counts = [(300, 10), (300, 50), (600, 10), (600, 50)]
    assert [row["name"] for row in json.loads(out)] == [
        f"faster_rcnn-resnet101-{side}-s16-p{count}" for side, count in sides_and_counts
    ]


def test_a_sweep_over_thresholds_names_its_rows_differently(run: Run, monkeypatch: Any) -> None:
    requested = []

    def spy(jobs: Any, **more: Any) -> Any:
        requested.extend((job.name, job.recipe["score"], job.make.args[0].score, job.about) for job in jobs)
        return bench(jobs, **more)

    monkeypatch.setattr(measuring, "measure", spy)
    name = "rfcn-resnet101-300-s16-p300"
    command = ("measure", name, "--proposals", "10,300", "--size", 600, "--score", "0.01,0.3")
    code, out, err = run(*command)
    assert code == 0, err
    names = [f"rfcn-resnet101-600-s16-p{count}" for count in (10, 300) for _ in range(2)]
    assert [each[:3] for each in requested] == [(n, s, s) for n, s in zip(names, (0.01, 0.3) * 2, strict=True)]
    assert all(about == {} for *_, about in requested)  # the published AP is that of the published threshold
    assert all(f"{n} · score {s}" in out for n, s, *_ in requested)
    assert "4 candidates on" in err


def test_bad_images_are_named_and_counted(run: Run, monkeypatch: Any, tmp_path: Path) -> None:
    seen: list[tuple[Path, ...]] = []

    def spy(jobs: list[Job], **rest: Any) -> Iterator[Measurement]:
        seen.extend(job.images for job in jobs)
        return bench(jobs, **rest)

    monkeypatch.setattr(measuring, "measure", spy)
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (30, 20)).save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"no")
    code, _, err = run("measure", "ssd-mobilenet_v1-300", "--images", folder)
    assert code == 0 and "Skipped" in err and "bad.png" in err and "1 image " in err
    assert seen == [(folder / "good.png",)]


def test_an_interruption_keeps_its_rows_and_says_how_to_go_on(run: Run, monkeypatch: Any) -> None:
    def stops(jobs: list[Job], **rest: Any) -> Iterator[Measurement]:
        yield from bench(jobs[:1], **rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", stops)
    code, _, err = run("measure", "ssd-mobilenet_v1-300", "hf:d_fine-n")
    assert code == 130 and "1 of 2 rows are stored" in err
    assert [row.name for row in Store("paretodet.db").rows()] == ["ssd-mobilenet_v1-300"]
    monkeypatch.setattr(measuring, "measure", bench)
    code, out, _ = run("measure", "ssd-mobilenet_v1-300", "hf:d_fine-n", "--json")
    assert [row["name"] for row in json.loads(out)] == ["ssd-mobilenet_v1-300", "hf:d_fine-n"]
    assert len(Store("paretodet.db").rows()) == 2


def test_frontier_notes_mixed_splits_and_takes_one_if_given(measured: Run) -> None:
    _, out, err = measured("frontier", "--json")
    found = json.loads(out)
    assert [member["name"] for member in found["members"]] == [
        "ssd-mobilenet_v1-300", "yolo_v3-darknet53-320", "hf:d_fine-n",
    ]  # fmt: skip
    assert found["split"] == "mixed" and "mixed" in err and found["notes"]
    _, out, _ = measured("frontier", "--json", "--split", "val2017")
    assert [member["name"] for member in json.loads(out)["members"]] == ["hf:d_fine-n"]
    _, out, _ = measured("frontier")
    assert "hf:d_fine-n" in out


@pytest.mark.parametrize("gain", ["mask_ap", "mask_ap50", "-memory_infer_mib", "-parameters", "-energy_j"])
def test_a_frontier_of_a_gain_that_one_row_lacks_names_the_row(gain: str, run: Run) -> None:
    field = gain.removeprefix("-")
    about = {"run": "r", "at": "2030-01-01", "latency_ms_p50": 10.0, "ap": 20.0, "ap_split": "val2017"}
    known: dict[str, Any] = {field: 5 if field == "parameters" else 5.0}
    for name, more in (("mask_rcnn", known), ("ssd", {})):
        Store("paretodet.db").append(with_id(Measurement(id="", name=name, artefact=name, **about, **more)))
    code, out, err = run("frontier", "--gain", gain)
    assert code == 0 and "mask_rcnn" in out and "Not compared (no known " in err and ": ssd; " in err
    assert "paretodet: " not in err


@pytest.mark.parametrize("kind", [KeyError, IndexError])
def test_a_mistake_in_the_code_is_no_bad_input(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise kind("ap")

    monkeypatch.setattr("paretodet.cli.app", fails)
    with pytest.raises(kind):
        main()


def test_recommend_answers_a_budget(measured: Run) -> None:
    code, out, err = measured("recommend", "--max-ms", 25, "--json")
    answer = json.loads(out)
    assert code == 0 and list(answer) == [
        "choice", "runners_up", "binding", "next", "relaxation",
        "probability_fits", "probability_best", "safe", "provisional", "why", "undecided", "again",
    ]  # fmt: skip
    assert answer["probability_fits"] > 0.99 and answer["safe"]["id"] == answer["choice"]["id"]
    assert answer["choice"]["name"] == "yolo_v3-darknet53-320" and "raw" not in answer["choice"]
    assert answer["binding"]["field"] == "latency_ms_p50" and "yolo" in err
    _, out, _ = measured("recommend", "--max", "memory_infer_mib=150", "--min-ap", 10)
    assert "ssd-mobilenet_v1-300" in out
    code, out, _ = measured("recommend", "--max-ms", 1, "--json")
    assert code == 1 and json.loads(out)["choice"] is None and json.loads(out)["relaxation"] is not None


def test_diff_lists_what_differs(measured: Run) -> None:
    first, second = (row.id for row in Store("paretodet.db").rows()[:2])
    code, out, _ = measured("diff", first[:8], second[:8], "--json")
    found = json.loads(out)
    assert code == 0 and found["ratio"] == pytest.approx(2.0)
    assert {"name", "artefact"} <= {change["field"] for change in found["changes"]}
    _, out, _ = measured("diff", first, second)
    assert "yolo_v3-darknet53-320" in out and "times as long" in out


def test_reproduce_measures_again_and_compares(measured: Run, monkeypatch: Any) -> None:
    first, second, _ = Store("paretodet.db").rows()
    code, out, _ = measured("reproduce", first.id, "--json")
    found = json.loads(out)
    assert code == 0 and found["inside"] is True and found["row"] == first.id
    assert Store("paretodet.db").get(found["again"]).name == first.name
    code, out, _ = measured("reproduce", second.id)  # the fake is always as fast as the first
    assert code == 1 and out.strip()


def test_reproduce_runs_code_only_if_the_user_trusts_it(run: Run, guest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    code, _, err = run("measure", guest, "--trust")
    assert code == 0, err
    (row,) = Store("paretodet.db").rows()
    code, _, err = run("reproduce", row.id)
    assert code == 2 and "--trust" in err and "[trust-needed]" in err
    code, out, _ = run("reproduce", row.id, "--trust", "--json")
    assert code == 0 and Store("paretodet.db").get(json.loads(out)["again"]).job == row.job


def test_a_row_of_a_file_is_measured_again_into_the_default_store(measured: Run) -> None:
    (first, *_) = Store("paretodet.db").rows()
    assert measured("store", "copy", "paretodet.db", "rows.jsonl")[0] == 0
    text = Path("rows.jsonl").read_text()
    for path in Path().glob("paretodet.db*"):
        path.unlink()
    code, out, err = measured("reproduce", first.id, "--store", "rows.jsonl", "--json")
    again = json.loads(out)["again"]
    assert code == 0 and f"{again}, in paretodet.db" in err
    assert [row.id for row in Store("paretodet.db").rows()] == [again] and Path("rows.jsonl").read_text() == text


def test_a_row_that_nothing_can_be_compared_with_is_not_measured_again(
    measured: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = Store("paretodet.db").rows()
    broken = with_id(replace(first, run="single", processes=1))
    Store("paretodet.db").append(broken)

    def never(*_: Any, **__: Any) -> Iterator[Measurement]:
        raise AssertionError("nothing is measured")

    monkeypatch.setattr(measuring, "measure", never)
    code, out, err = measured("reproduce", broken.id)
    assert code == 2 and out == "" and "[row-incomplete]" in err


def test_report_writes_the_page(measured: Run) -> None:
    code, out, _ = measured("report", "--out", "page.html")
    assert code == 0 and out.strip() == "page.html"
    assert "yolo_v3-darknet53-320" in Path("page.html").read_text(encoding="utf-8")


def test_the_page_of_a_large_run_shows_the_rows_that_matter(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    for name in ("MAX_ROWS", "MIN_ROWS"):
        monkeypatch.setattr(f"paretodet.report.selection.{name}", 1)
    names = ("hf:d_fine-n", "ssd-mobilenet_v1-300", "yolo_v3-darknet53-320")  # the first beats the others
    assert run("measure", *names, "--report", "page.html")[0] == 0
    shown = Path("page.html").read_text(encoding="utf-8")
    assert shown.count("<tr data-id=") == 1 and "1 of 3 rows" in shown


@pytest.fixture
def guest(tmp_path: Path) -> str:
    """A model in the working folder that detects one box; `late:make` breaks a rule of the contract."""
    (tmp_path / "fine_guest.py").write_text(
        "import torch\n"
        "from paretodet.transforms.resize_policy import Stretch\n"
        "from paretodet.sources.function import FunctionAdapter\n"
        "def find(batch):\n"
        "    n = len(batch.pixels)\n"
        "    return torch.tensor([[[0., 0., 16., 32.]]]).expand(n, 1, 4), torch.full((n, 1), 0.5), torch.zeros(n, 1)\n"
        "def make(score=None):\n"
        "    return FunctionAdapter('fine', find, fit=Stretch(height=32, width=32))\n"
        "def wild():\n"
        "    wild = lambda batch: tuple(7 * part for part in find(batch))\n"
        "    return FunctionAdapter('wild', wild, fit=Stretch(height=32, width=32))\n"
    )
    return "fine_guest:make"


def test_detect_prints_boxes_in_original_pixels(run: Run, guest: str) -> None:
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save("a.png")
    Path("cut.jpg").write_bytes(b"\xff\xd8\xff")
    Path("names.txt").write_text("thing\n")
    code, out, err = run("detect", guest, "--trust", "a.png", "cut.jpg", "--json", "--score", 0.1)
    assert code == 0 and "cut.jpg" in err and "1 of 2 files skipped" in err
    (found,) = json.loads(out)
    assert found == {
        "image": "a.png", "width": 60, "height": 40,
        "detections": [{"label": "0", "score": 0.5, "box": [0.0, 0.0, 30.0, 40.0]}],
    }  # fmt: skip
    assert not Path("detections").exists()
    code, out, _ = run("detect", guest, "--trust", "a.png", "--out", "drawn")
    assert code == 0 and out.strip() == str(Path("drawn/a.png")) and np.asarray(Image.open("drawn/a.png")).any()


def test_detect_takes_folders_and_writes_coco_results(run: Run, guest: str) -> None:
    Path("in").mkdir()
    for name in ("b.png", "a.png"):
        Image.new("RGB", (60, 40)).save(Path("in") / name)
    code, out, err = run("detect", guest, "--trust", "in", "--results-out", "r.json")
    assert (code, out) == (0, "") and "2 detections written to r.json" in err and not Path("detections").exists()
    row = json.loads(Path("r.json").read_text())[0]
    assert row.pop("bbox") == pytest.approx([0, 0, 30, 40])
    assert row == {"image_id": "a", "category_id": 0, "score": 0.5, "category": "0"}
    assert err.splitlines()[-1] == f"Next: paretodet measure {guest} --trust"
    code, out, err = run("detect", guest, "--trust", "in")
    assert code == 0 and out.split() == ["detections/a.png", "detections/b.png"]


def test_detect_names_the_images_of_a_folder_that_it_cannot_read(run: Run, guest: str) -> None:
    Path("in").mkdir()
    Image.new("RGB", (60, 40)).save("in/IMG_1.jpg")
    Path("in/IMG_1.HEIC").touch()
    code, out, err = run("detect", guest, "--trust", "in", "--results-out", "r.json", "--json")
    assert code == 0 and [each["image"] for each in json.loads(out)] == [str(Path("in/IMG_1.jpg"))]
    assert "IMG_1.HEIC" in err


def test_detect_on_labels_has_their_ids(run: Run, guest: str) -> None:
    Image.new("RGB", (60, 40)).save("a.png")
    labels = {
        "images": [{"id": 900, "file_name": "a.png", "width": 60, "height": 40}],
        "categories": [{"id": 90, "name": "thing"}],
        "annotations": [{"id": 1, "image_id": 900, "category_id": 90, "bbox": [0, 0, 30, 40], "area": 9, "iscrowd": 0}],
    }
    Path("labels.json").write_text(json.dumps(labels))
    code, out, err = run("detect", guest, "--trust", "--data", "labels.json", "--results-out", "r.json", "--json")
    assert code == 0 and json.loads(out)[0]["image"] == "a.png", err
    assert [(row["image_id"], row["category_id"]) for row in json.loads(Path("r.json").read_text())] == [(900, 90)]
    assert err.splitlines()[-1] == "Next: paretodet evaluate --results r.json --data labels.json --errors"
    code, out, _ = run("evaluate", "--results", "r.json", "--data", "labels.json", "--json")
    assert json.loads(out)["ap"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((), "[input-missing]"),
        (("a.png", "--results-out", "no/r.json"), "[output-folder]"),
        (("a.png", "--data", "nowhere.json", "--json"), "[option-conflict]"),
        (("a.png", "--data", "nowhere.json", "--results-out", "r.json"), "labels: nowhere.json: no such file"),
        (("a.png", "--data-split", "val"), "data-split: needs --data [option-conflict]"),
        (("a.png", "--results-out", "a.png"), "[output-is-input]"),
        (("a.png", "--out", "a.png"), "[output-unwritable]"),
        (("a.png", "--out", "."), "[output-is-input]"),
    ],
)
def test_what_detect_refuses(run: Run, guest: str, args: tuple[str, ...], sentence: str) -> None:
    Image.new("RGB", (20, 20)).save("a.png")
    code, out, err = run("detect", guest, "--trust", *args)
    assert code == 2 and out == "" and sentence in err and "Traceback" not in err
    assert not Path("r.json").exists()


XML = (
    "<annotation><size><width>60</width><height>40</height></size><object><name>thing</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
)


def test_a_row_carries_the_ap_measured_on_any_labels(run: Run, guest: str, monkeypatch: Any) -> None:
    """Labels in Pascal VOC's format and one split of them; the model detects its one object, nothing in the other."""
    for folder in ("voc/Annotations", "voc/JPEGImages", "voc/ImageSets/Main"):
        Path(folder).mkdir(parents=True)
    for name, split in (("a", "val"), ("b", "train")):
        Path(f"voc/Annotations/{name}.xml").write_text(XML)
        Path(f"voc/ImageSets/Main/{split}.txt").write_text(name)
        Image.new("RGB", (60, 40)).save(f"voc/JPEGImages/{name}.jpg")
    Path("names.txt").write_text("thing\n")
    monkeypatch.setattr("paretodet.sweep.measuring.measure", bench)
    line = ("measure", guest, "--trust", "--classes", "names.txt", "--data", "voc", "--data-split", "val", "--json")
    code, out, err = run(*line)
    assert code == 0, err
    (row,) = json.loads(out)
    assert row["ap"] == pytest.approx(100) and row["ap_measured"] is True
    assert row["ap_split"].startswith("voc/val@") and "1 candidate on 1 image " in err
    following = err.splitlines()[-1].removeprefix("Next: paretodet ")
    assert following == f"recommend --split measured:{row['ap_split']} --max-ms 10.0"
    code, out, err = run(*shlex.split(following))
    assert code == 0 and out.startswith("fine_guest:make (AP 100)")
    assert err.splitlines()[-1] == f"Next: paretodet report --split measured:{row['ap_split']}"
    code, out, _ = run("frontier", "--split", "measured", "--json")
    assert json.loads(out)["members"][0]["ap"] == pytest.approx(100)
    for more in (("--data", "voc", "--images", "voc"), ("--data-split", "val"), ("--image-root", "voc")):
        code, out, err = run("measure", guest, "--trust", *more)
        assert (code, out) == (2, "") and "[option-conflict]" in err


def test_a_row_without_ap_is_followed_by_a_question_that_finds_it(run: Run, guest: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    _, _, err = run("measure", guest, "--trust")
    assert err.splitlines()[-1] == "Next: paretodet recommend --goal latency_ms_p50"
    code, out, _ = run(*shlex.split(err.splitlines()[-1].removeprefix("Next: paretodet ")))
    assert code == 0 and out.startswith("fine_guest:make (latency p50 10 ms) is the only row")


def test_disturbed_rows_give_a_provisional_answer(run: Run, guest: str, monkeypatch: Any) -> None:
    def busy(*args: Any, **rest: Any) -> Iterator[Measurement]:
        about = {"id": "", "validity": "contended", "ap": 30.0, "disturbed_pct": 20.0}
        return (with_id(replace(row, **about)) for row in bench(*args, **rest))

    monkeypatch.setattr(measuring, "measure", busy)
    code, out, err = run("measure", guest, "--trust")
    assert code == 0 and "Provisional frontier" in out and "Provisional: 1 of 1 rows were disturbed" in err
    settle = f"To decide it: paretodet measure {guest} --trust --patience 10m"
    assert settle in err.splitlines()
    assert re.fullmatch(r"Next: paretodet recommend --max-ms 10.0 --run \w+", err.splitlines()[-1])
    question = shlex.split(err.splitlines()[-1].removeprefix("Next: paretodet "))
    code, out, err = run(*question)
    assert code == 0 and out.startswith("Provisional: 1 of 1 rows were disturbed") and "fine_guest:make (AP 30)" in out
    assert settle in err.splitlines()
    assert run(*shlex.split(err.splitlines()[-1].removeprefix("Next: paretodet ")))[0] == 0
    assert not re.search("No row (has|knows|that has)", Path("report.html").read_text(encoding="utf-8"))
    code, out, _ = run(*question, "--strict", "--json")
    assert code == 1 and json.loads(out)["choice"] is None
    code, out, _ = run("frontier", "--json")
    assert code == 0 and json.loads(out)["provisional"] and json.loads(out)["again"].endswith("--patience 10m")
    code, out, _ = run("frontier", "--strict", "--json")
    assert code == 1 and json.loads(out)["members"] == [] and json.loads(out)["left_out"] == 1


def test_measure_ends_in_choices_for_budgets_and_what_is_open(measured: Run) -> None:
    _, out, err = measured("measure", "ssd-mobilenet_v1-300", "hf:d_fine-n", "--columns", "cold")
    first, second = (line for line in out.splitlines() if line.startswith("under "))
    assert first.startswith("under 12 ms: ssd-mobilenet_v1-300, AP 18.8, 10.0 ms, fits with probability ")
    assert second.startswith("under 25 ms: hf:d_fine-n, AP 42.8, 20.0 ms, fits with probability ")
    assert "First call" in out and "Undecided" not in err


def test_if_everything_failed_only_the_errors_are_shown(run: Run, guest: str, monkeypatch: Any) -> None:
    def broken(*args: Any, **rest: Any) -> Iterator[Measurement]:
        about = {"id": "", "validity": "error", "error": "find raised RuntimeError: no"}
        return (with_id(replace(row, latency_ms_p50=None, **about)) for row in bench(*args, **rest))

    monkeypatch.setattr(measuring, "measure", broken)
    code, out, err = run("measure", guest, "--trust", "--report", "page.html")
    assert code == 1 and out == "" and not Path("page.html").exists()
    assert err.splitlines()[-2:] == ["Nothing could be measured.", "fine_guest:make: find raised RuntimeError: no"]
    code, out, _ = run("measure", guest, "--trust", "--json")
    assert code == 1 and json.loads(out)[0]["validity"] == "error"


def test_a_short_lived_job_is_a_cost(run: Run, guest: str, monkeypatch: Any) -> None:
    def cold(*args: Any, **rest: Any) -> Iterator[Measurement]:
        cost = {"load_ms": 1000.0, "first_ms": 50.0, "ap": 30.0}
        return (with_id(replace(row, id="", **cost)) for row in bench(*args, **rest))

    monkeypatch.setattr(measuring, "measure", cold)
    assert run("measure", guest, "--trust")[0] == 0
    code, out, _ = run("frontier", "--cost", "job_ms", "--calls", 3, "--json")
    assert code == 0 and json.loads(out)["members"][0]["job_ms:3"] == 1080
    assert run("recommend", "--calls", 3, "--max-ms", 1100)[0] == 0
    assert run("recommend", "--calls", 9, "--max-ms", 1100)[0] == 1
    code, out, _ = run("recommend", "--calls", 3, "--goal", "job_ms")
    assert code == 0 and out.startswith("fine_guest:make (job time (3 calls) 1,080 ms) is the only row")
    code, _, err = run("recommend", "--calls", 3, "--min-ap", 20)
    assert code == 2 and "calls: " in err


@pytest.mark.parametrize("command", ["frontier", "recommend"])
def test_questions_import_no_torch(measured: Run, command: str) -> None:
    code = (
        f"import sys; sys.argv = ['paretodet', {command!r}]\nfrom paretodet.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hf:d_fine-n" in done.stdout and done.stderr.splitlines()[-1] == "False"


def test_options_of_suppression_are_in_the_rows(run: Run, monkeypatch: Any) -> None:
    jobs = []

    def spy(requested: Any, **more: Any) -> Any:
        jobs.extend(requested)
        return bench(requested, **more)

    monkeypatch.setattr(measuring, "measure", spy)
    assert run("measure", "ssd-mobilenet_v1-300", "--nms", 0.4)[0] == 0
    (job,) = jobs
    assert (job.recipe["nms"], job.make.args[0].nms, job.about) == (0.4, 0.4, {})
    assert run("measure", "ssd-mobilenet_v1-300")[0] == 0 and jobs[1].about["ap"]
    Image.new("RGB", (20, 20)).save("a.png")
    code, _, err = run("detect", "ssd-mobilenet_v1-300", "--untrained", "--nms", 0.4, "a.png")
    assert code == 0 and err.splitlines()[-1] == "Next: paretodet measure ssd-mobilenet_v1-300 --nms 0.4"


def test_the_default_set_has_a_row_of_trained_weights_that_are_at_hand(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is the only one whose AP is measured; with a name or an option of candidates there is none."""

    def scored(job: Job, labels: Any, **more: Any) -> Job:
        return replace(job, about={"ap": 30.0, "ap_split": "few@0", "ap_measured": True})

    monkeypatch.setattr(measuring, "measure", bench)
    monkeypatch.setattr("paretodet.measuring.score_job", scored)
    path = tmp_path / "w.safetensors"
    files.save({"any": torch.zeros(1)}, path, files.WeightsMetadata(name="ssd-mobilenet_v1-300", width=0.75))
    trained = default_weights.DefaultWeights((path,), Shapes(count=2, height=32, width=32, seed=0).write(tmp_path))
    monkeypatch.setattr(default_weights, "default_weights", lambda notify: trained)
    code, out, err = run("measure", "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert [row["name"] for row in rows[:-1]] == list(DEFAULT) and rows[-1]["name"].endswith("at width 0.75")
    assert [row["ap_measured"] for row in rows] == [False] * 6 + [True]
    for more in (["ssd-mobilenet_v1-300"], ["--nms", 0.4]):
        _, out, _ = run("measure", *more, "--json")
        assert not any(row["ap_measured"] for row in json.loads(out))
    _, _, err = run("measure")
    assert "is measured on few@0; that of other rows is published" in err


def test_classes_name_the_labels(run: Run, guest: str) -> None:
    Image.new("RGB", (20, 20)).save("a.png")
    Path("names.txt").write_text("thing\n")
    code, out, err = run("detect", guest, "--trust", "a.png", "--json", "--classes", "names.txt")
    assert code == 0, err
    assert json.loads(out)[0]["detections"][0]["label"] == "thing"


def test_doctor_names_the_broken_rule(run: Run, guest: str) -> None:
    code, out, _ = run("doctor", guest, "--trust")
    assert code == 0 and out.count("ok ") >= 10 and "broken" not in out
    code, out, _ = run("doctor", "fine_guest:wild", "--trust")
    assert code == 1 and "broken  Scores are in 0..1" in out
    code, out, _ = run("doctor", "fine_guest:wild", "--trust", "--json")
    assert [finding["rule"] for finding in json.loads(out) if finding["broken"]]


def labeled(folder: Path, box: str = "0 0.5 0.5 0.5 0.5") -> Path:
    """One image with one box in YOLO's format."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(folder / "images" / "a.jpg")
    (folder / "labels" / "a.txt").write_text(box)
    (folder / "data.yaml").write_text("train: images\nnames: [thing]\n")
    return folder


def test_doctor_examines_labeled_images(run: Run) -> None:
    labeled(Path("good"))
    code, out, err = run("doctor", "good")
    assert (
        code == 0
        and "good: YOLO, 1 image, 1 box, 1 class" in out
        and "Next: paretodet train ssd-mobilenet_v1-300" in err
    )
    labeled(Path("bad"), "0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5")
    code, out, err = run("doctor", "bad/data.yaml")
    assert code == 1 and "labels/a.txt line 2: class 7" in out and "--fix data-clean" in err
    code, out, _ = run("doctor", "bad", "--fix", "clean")
    assert code == 1 and "clean: 1 image, 1 box" in out
    assert run("doctor", "clean")[0] == 0


def test_what_doctor_prints_next_can_be_typed(run: Run) -> None:
    labeled(Path("my (bad) set"), "0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5")
    _, _, err = run("doctor", "my (bad) set")
    fix, train = (shlex.split(line.removeprefix("Next: ")) for line in err.splitlines() if line.startswith("Next: "))
    assert fix == ["paretodet", "doctor", "my (bad) set", "--fix", "my (bad) set-clean"]
    assert train == ["paretodet", "train", "ssd-mobilenet_v1-300", "--data", "my (bad) set"]
    assert err.splitlines()[-1].startswith("Training on these labels")
    _, _, err = run(*fix[1:])
    assert err.splitlines()[-1] == "Next: paretodet train ssd-mobilenet_v1-300 --data 'my (bad) set-clean'"


@pytest.mark.parametrize(
    ("subject", "option"),
    [
        ("good", ("--device", "cpu")),
        ("good", ("--images", ".")),
        ("fine_guest:make", ("--quick",)),
        ("fine_guest:make", ("--image-root", ".")),
    ],
)
def test_doctor_refuses_what_its_subject_does_not_have(run: Run, subject: str, option: tuple[str, ...]) -> None:
    labeled(Path("good"))
    code, out, err = run("doctor", subject, *option)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"paretodet: {option[0][2:]}: .* \[option-conflict\]\n", err)


def test_doctor_of_data_as_json(run: Run) -> None:
    labeled(Path("bad"), "0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5")
    code, out, err = run("doctor", "bad", "--json", "--fix", "clean")
    document = json.loads(out)
    assert code == 1 == document["status"] and "Next" not in err
    assert list(document) == DOCTOR.split()
    assert (document["data"], document["format"], document["decoded"], document["classes"]) == (
        "bad",
        "yolo",
        True,
        ["thing"],
    )
    assert document["splits"] == [{"split": "train", "images": 1, "boxes": 1}]
    assert {"box-empty", "image-copied"} <= set(document["checks"]) and document["left_out"] == []
    assert list(document["findings"][0]) == ["check", "level", "count", "fix", "places"]
    cleaned = ["folder", "files", "images", "boxes", "boxes_cut", "left_out", "not_carried"]
    assert list(document["cleaned"]) == cleaned and document["cleaned"]["files"] == [
        "clean/annotations/instances_train.json"
    ]
    assert [each["place"] for each in document["findings"][0]["places"]] == ["line 2"]
    assert document["cleaned"]["boxes"] == 1 and document["box_sizes"]["boxes"] == 1
    code, out, _ = run("doctor", "bad", "--quick", "--json")
    assert code == 1 and json.loads(out)["left_out"]


def test_doctor_of_data_that_cannot_be_examined_whole_exits_with_2(run: Run) -> None:
    labeled(Path("set"))
    settings = Path("set/data.yaml")
    settings.write_text(settings.read_text() + "val: nowhere\n")
    code, out, _ = run("doctor", "set")
    assert code == 2 and "labels-unreadable" in out


@pytest.mark.parametrize("name", ["nowhere.json", "no/such/folder"])
def test_doctor_takes_a_path_for_data_though_it_is_not_there(run: Run, name: str) -> None:
    code, out, err = run("doctor", name)
    assert code == 2 and out == "" and f"paretodet: labels: {name} is no such file or folder; known are" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--fix", "full"), "fix: full holds something already"),
        (("--fix", "full/data.yaml/clean"), "fix: .*full/data.yaml cannot be written"),
        (("--fix", "bad/clean"), "fix: bad/clean lies inside of bad"),
        (("--fix", "new", "--quick"), "fix: images must be decoded"),
    ],
)
def test_doctor_refuses_a_copy_before_it_examines(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    def unasked(*_: Any, **__: Any) -> Any:
        raise AssertionError("examined in vain")

    labeled(Path("bad"))
    labeled(Path("full"))
    monkeypatch.setattr("paretodet.labels.lint.examine.examine", unasked)
    code, out, err = run("doctor", "bad", *options)
    assert (code, out) == (2, "") and re.match(f"paretodet: {says}", err) and err.count("\n") == 1
    assert not Path("new").exists()


@pytest.mark.parametrize("json_", [False, True])
def test_doctor_prints_its_findings_though_no_copy_can_be_made(run: Run, json_: bool) -> None:
    labeled(Path("bad"))
    whole = Path("bad/images/a.jpg").read_bytes()
    Path("bad/images/a.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = run("doctor", "bad", "--fix", "clean", *["--json"] * json_)
    assert code == 2 and err.startswith("paretodet: fix: no image of bad is sound") and err.endswith("[labels-none]\n")
    assert not Path("clean").exists() and "image-unreadable" in out
    if json_:
        document = json.loads(out)
        assert document["status"] == 1 and "cleaned" not in document


def test_the_page_reads_the_output_of_doctor(measured: Run) -> None:
    labeled(Path("set"))
    _, out, _ = measured("doctor", "set", "--json")
    Path("doctor.json").write_text(out)
    code, _, err = measured("report", "--data-doctor", "doctor.json")
    assert code == 0, err
    assert "1 box of set" in Path("report.html").read_text()
    code, _, err = measured("report", "--data-doctor", "set/data.yaml")
    assert code == 2 and "set/data.yaml is not what `paretodet doctor DATA --json` prints" in err


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("measure", "ssd-mobilnet"), "ssd-mobilenet_v1-300"),
        (("measure", "hf:dfine"), "hf:d_fine"),
        (("measure", "none.onnx"), "no such file"),
        (("measure", "ssd-mobilenet_v1-300", "--size", "big"), "size: got 'big'"),
        (("measure", "ssd-mobilenet_v1-300", "--proposals", "10"), "proposals: none of"),
        (("measure", "ssd-mobilenet_v1-300", "--score", "0.3,1.5"), "score: got '1.5'"),
        (("measure", "ssd-mobilenet_v1-300", "--score", "high"), "score: got 'high'"),
        (("measure", "ssd-mobilenet_v1-300", "--images", "nowhere"), "nowhere"),
        (("measure", "ssd-mobilenet_v1-300", "--store", "no/such/folder/rows.db"), "unable to open database file"),
        (("detect", "ssd-mobilenet_v1-300", "a.jpg"), "--untrained"),
        (("detect", "ssd-mobilnet-300", "a.jpg"), "ssd-mobilenet_v1-300"),
        (("detect", "hf:dfine", "a.jpg"), "hf:d_fine"),
        (("evaluate", "ssd-mobilnet-300", "--data", "labels.json"), "ssd-mobilenet_v1-300"),
        (("detect", "ssd-mobilenet_v1-300", "a.jpg", "--untrained"), "[images-none]"),
        (("frontier",), "paretodet.db: no such store"),
        (("recommend", "--max", "speed=3", "--store", "x.db"), "'speed' is not a field that rows can be compared by"),
        (("recommend", "--max-ms", "-3"), "must be a number that is at least 0"),
        (("recommend", "--calls", "2", "--max-mib", "9"), "[option-conflict]"),
        (("recommend", "--max", "ap"), "[option-value]"),
        (("frontier", "--columns", "warm"), "columns: got 'warm', allowed cold"),
        (("report",), "no such store"),
        (("diff", "a", "b"), "no such store"),
        (("doctor", "ssd-mobilnet"), "ssd-mobilenet_v1-300"),
        (("doctor", "nowhere:make"), "there is no module 'nowhere'"),
    ],
)
def test_bad_input_is_one_message(run: Run, args: tuple[str, ...], sentence: str) -> None:
    code, out, err = run(*args)
    assert code == 2 and out == "" and sentence in err
    assert err.splitlines()[-1].startswith("paretodet: ") and "Traceback" not in err


def test_a_bug_is_not_shown_as_bad_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*args: Any, **kwargs: Any) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(measuring, "measure", fault)
    with pytest.raises(TypeError, match="a bug"):
        run("measure", "ssd-mobilenet_v1-300")


def test_every_option_is_one_of_the_shared_ones_under_one_name() -> None:
    modules = (
        options,
        candidate_options,
        label_options,
        measuring_options,
        place_options,
        training_options,
        weights_options,
    )
    every = {name: hint for module in modules for name, hint in vars(module).items()}
    shared = {name: hint for name, hint in every.items() if typing.get_origin(hint) is typing.Annotated}
    flags: dict[str, set[str]] = {}
    for command in app.registered_commands:
        assert command.callback is not None
        for parameter in inspect.signature(command.callback).parameters.values():
            names = [name for name, hint in shared.items() if hint == parameter.annotation]
            assert names, f"{command.name}: {parameter.name} is no shared option"
            flags.setdefault(names[0], set()).add(parameter.name)
    assert all(len(names) == 1 for names in flags.values()), flags


def test_commands_and_their_help(run: Run) -> None:
    commands = [command.name for command in app.registered_commands]
    assert commands == [
        "list",
        "measure",
        "search",
        "profile",
        "frontier",
        "recommend",
        "report",
        "detect",
        "train",
        "evaluate",
        "export",
        "import",
        "doctor",
        "inspect",
        "convert",
        "split",
        "reproduce",
        "diff",
        "bugreport",
    ]
    for command in commands:
        code, out, _ = run(command, "--help")
        assert code == 0 and "--json" in out


@pytest.mark.parametrize("text", ["10,x", "0", "1.5", "-3"])
def test_lists_of_numbers_are_checked(text: str) -> None:
    with pytest.raises(ValueError, match="proposals: "):
        parsing.numbers(text)


def test_lists_and_limits_are_read() -> None:
    assert parsing.numbers("10,50") == (10, 50) and parsing.numbers(None) == ()
    assert parsing.sizes("300,480x640") == ((300, 300), (480, 640)) and parsing.sizes(None) == ()
    assert (parsing.batch("4"), parsing.batch("dynamic")) == (4, None)
    assert (parsing.size("300x400"), parsing.size("dynamic"), parsing.size(None)) == ((300, 400), None, None)
    assert parsing.limits(["ap=3e1"], latency_ms_p50=5.0, memory_infer_mib=None) == {"latency_ms_p50": 5.0, "ap": 30.0}


def test_the_second_of_two_limits_does_not_replace_the_first(measured: Run) -> None:
    code, out, err = measured("recommend", "--max-ms", 1, "--max", "latency=1e6")
    assert (code, out) == (2, "") and "[option-conflict]" in err


def test_a_page_never_replaces_the_store(measured: Run) -> None:
    code, out, err = measured("report", "--out", "paretodet.db")
    assert (code, out) == (2, "") and "[output-is-input]" in err
    assert measured("frontier")[0] == 0


def test_rows_are_not_measured_into_a_file_of_lines(run: Run) -> None:
    code, _, err = run("measure", "ssd-mobilenet_v1-300", "--store", "rows.jsonl")
    assert code == 2 and "store copy" in err and "[store-format]" in err and not Path("rows.jsonl").exists()
