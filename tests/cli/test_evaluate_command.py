"""`paretodet evaluate`: the keys of its JSON, and one sentence with exit status 2 for what it cannot use."""

import json
import subprocess
import sys

import pytest
from PIL import Image

KEYS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100"]
TRUTH = {
    "images": [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}],
    "categories": [{"id": 3, "name": "car"}],
    "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "area": 200, "iscrowd": 0}],
}
ROW = {"image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "score": 0.5}


@pytest.fixture
def run(run):
    return lambda *args: run("evaluate", *args)


@pytest.fixture
def files(tmp_path):
    labels, found = tmp_path / "labels.json", tmp_path / "results.json"
    labels.write_text(json.dumps(TRUTH))
    found.write_text(json.dumps([ROW]))
    return found, labels


@pytest.mark.parametrize("as_json", [True, False])
def test_scores_are_printed_even_if_the_plot_cannot_be_written(run, files, monkeypatch, tmp_path, as_json):
    def full(*args, **choices):
        raise OSError(28, "No space left on device", "lost.png")

    monkeypatch.setattr("paretodet.report.evaluated.plot_errors", full)
    arguments = ["--results", files[0], "--data", files[1], "--plot", "lost.png", *(["--json"] if as_json else [])]
    code, out, err = run(*arguments)
    assert code == 2 and "lost.png" in err and "No space left" in err
    assert json.loads(out)["ap"] == pytest.approx(100) if as_json else "100" in out


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_official_fixture(run, data_folder, kind):
    folder = data_folder / "coco_eval_fixture"
    found = folder / f"instances_val2014_fake{kind}100_results.json"
    code, out, _ = run("--results", found, "--data", folder / "instances_val2014_100.json", "--json")
    document = json.loads(out)
    assert code == 0 and list(document)[:9] == KEYS
    expected = {
        "bbox": {
            "ap": 50.45806987, "ap50": 69.69727247, "ap75": 57.29816670, "ap_small": 58.56257209,
            "ap_medium": 51.93996948, "ap_large": 50.13978986, "ar1": 38.68127796, "ar10": 59.36795763,
            "ar100": 59.53529829,
        },
        "segm": {"mask_ap": 31.95452759, "mask_ap50": 56.22883973, "mask_ap75": 29.89264341},
    }[kind]  # fmt: skip
    assert {key: document[key] for key in expected} == pytest.approx(expected, abs=2e-8 if kind == "bbox" else 2e-5)
    assert ("mask_ap" in document) == (kind == "segm")


def test_a_table_for_the_console(run, files):
    code, out, err = run("--results", files[0], "--data", files[1], "--errors")
    assert code == 0 and "100.0" in out and "car" in out and "duplicate" in out
    assert "A segment is the AP50" in err


def test_a_finished_file_needs_no_torch(files):
    call = "app(sys.argv[1:], standalone_mode=False)"
    code = f"import sys\nfrom paretodet.cli import app\n{call}\nprint('torch' in sys.modules)"
    line = [sys.executable, "-c", code, "evaluate", "--results", files[0], "--data", files[1], "--json"]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True)
    assert done.stdout.strip().endswith("False"), done.stderr


def test_a_plot_is_written(run, files, tmp_path):
    for ending, begins in ((".png", b"\x89PNG"), (".svg", b"<svg")):
        path = tmp_path / f"lost{ending}"
        assert run("--results", files[0], "--data", files[1], "--plot", path)[0] == 0
        assert path.read_bytes().startswith(begins)
    code, _, err = run("--results", files[0], "--data", files[1], "--plot", tmp_path / "lost.gif")
    assert code == 2 and "plot: got 'lost.gif'" in err


BAD = {
    "no such file": None,
    "cannot be read as JSON": "{",
    "holds no list": "{}",
    "an object is needed": "[5]",
    "5 of the results": json.dumps([ROW | {"category_id": 5}]),
    "77 of the results": json.dumps([ROW | {"image_id": 77}]),
    "got nan": json.dumps([ROW | {"bbox": [1, 2, float("nan"), 4]}]),
    "got 'high'": json.dumps([ROW | {"score": "high"}]),
    "has no bbox": json.dumps([{"image_id": 5, "category_id": 3, "score": 0.5}]),
    "polygons of at least 3 corners": json.dumps([ROW | {"segmentation": [[1, 2]]}]),
}


@pytest.mark.parametrize("says", BAD)
def test_bad_results_are_one_sentence(run, files, says):
    files[0].unlink()
    if BAD[says] is not None:
        files[0].write_text(BAD[says])
    code, out, err = run("--results", files[0], "--data", files[1], "--json")
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1 and "Traceback" not in err


def test_bad_labels_and_questions_are_one_sentence(run, files):
    for args in (["--results", files[0], "--data", "no.json"], ["--data", files[1]],
                 ["ssd-mobilenet_v1-300", "--results", files[0], "--data", files[1]],
                 ["ssd-mobilenet_v1-300", "--data", files[1]]):  # fmt: skip
        code, out, err = run(*args)
        assert (code, out) == (2, "") and err.count("\n") == 1


def test_options_that_finished_results_do_not_use_are_refused(run, files):
    line = ("--results", files[0], "--data", files[1])
    code, out, err = run(*line, "--weights", "w.pt", "--results-out", "o.json", "--score", 0.3)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "takes no --results-out, --weights, --score" in err and "[option-conflict]" in err
    for option, value in (("--nms", 0.5), ("--fit", "stretch"), ("--classes", "c.txt"), ("--device", "cpu"),
                          ("--precision", "fp32"), ("--score", 0)):  # fmt: skip
        code, _, err = run(*line, option, value)
        assert code == 2 and f"takes no {option}" in err
    assert "--untrained" in run(*line, "--untrained")[2]


def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_read(run, files, tmp_path):
    for path, says in ((tmp_path / "no" / "a.png", "[output-folder]"), ("a.gif", "[output-ending]"),
                       (tmp_path, "[output-ending]")):  # fmt: skip
        code, _, err = run("--results", "nowhere.json", "--data", "nowhere.json", "--plot", path)
        assert code == 2 and says in err and err.startswith("paretodet: plot: ")
    code, _, err = run("guest:make", "--data", files[1], "--results-out", tmp_path / "no" / "r.json")
    assert code == 2 and "results-out: " in err and "[output-folder]" in err


def test_a_category_without_a_name_is_one_sentence(run, files):
    files[1].write_text(json.dumps(TRUTH | {"categories": [TRUTH["categories"][0] | {"name": {}}]}))
    for args in (("--results", files[0]), ("guest:make",)):
        code, out, err = run(*args, "--data", files[1])
        assert (code, out) == (2, "") and err.count("\n") == 1 and "Traceback" not in err
    assert "labels.json categories[0]: name is {}" in run("--results", files[0], "--data", files[1])[2]


GUEST = """
import torch
from paretodet.transforms.resize_policy import Stretch
from paretodet.sources.function import FunctionAdapter

def find(batch):
    box = torch.tensor([[[1.6, 3.2, 17.6, 13.86666]]])  # of 32 x 32: x 2 to 22 of 40, y 3 to 13 of 30
    return box, torch.full((1, 1), 0.5), torch.zeros(1, 1)

def make(score=None):
    return FunctionAdapter("fine", find, fit=Stretch(height=32, width=32))
"""


def test_results_without_the_left_out_images_are_said_to_score_lower(run, files, tmp_path):
    (tmp_path / "leaving_guest.py").write_text(GUEST)
    for name, size in (("a.png", (40, 30)), ("b.png", (30, 40))):
        Image.new("RGB", size).save(tmp_path / name)
    images = [*TRUTH["images"], TRUTH["images"][0] | {"id": 6, "file_name": "b.png"}]
    rows = [*TRUTH["annotations"], TRUTH["annotations"][0] | {"id": 2, "image_id": 6}]
    files[1].write_text(json.dumps(TRUTH | {"images": images, "annotations": rows}))
    _, out, err = run("leaving_guest:make", "--trust", "--data", files[1], "--json", "--results-out", "r.json")
    assert json.loads(out)["ap"] == pytest.approx(100)
    assert "A later evaluation of r.json gives a lower AP: 1 image is left out" in err
    assert json.loads(run("--results", "r.json", "--data", files[1], "--json")[1])["ap"] < 51
    assert "A later evaluation" not in run("leaving_guest:make", "--trust", "--data", files[1], "--json")[2]


def test_a_detector_on_a_folder_of_labels_and_what_to_type_next(run, files, tmp_path):
    (tmp_path / "judged_guest.py").write_text(GUEST)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    files[0].unlink()
    guest = ("judged_guest:make", "--trust", "--data")
    code, out, err = run(*guest, tmp_path, "--voc", "--json", "--results-out", "r.json")
    assert code == 0, err
    document = json.loads(out)
    assert document["ap"] == pytest.approx(100) and document["voc_ap50"] == document["voc_ap50_11"] == pytest.approx(
        100
    )
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert (row["image_id"], row["category_id"]) == (5, 3)
    assert err.splitlines()[-1] == f"Next: paretodet evaluate --results r.json --data {tmp_path} --errors"
    code, out, err = run(*guest, files[1], "--score", 0.1)
    following = f"judged_guest:make --score 0.1 --trust --data {files[1]} --errors"
    assert err.splitlines()[-1] == f"Next: paretodet evaluate {following}"
    code, out, err = run(*guest, files[1], "--errors", "--voc")
    assert code == 0 and "Pascal VOC" in out and "missed" in out
    assert err.splitlines()[-1] == f"Next: paretodet detect judged_guest:make --trust --data {files[1]}"
    assert run("--results", "r.json", "--data", files[1])[2].splitlines()[-1].endswith("--errors")
    assert run("--results", "r.json", "--data", files[1], "--errors")[2].splitlines()[-1].endswith("--plot errors.png")


def test_results_take_the_folder_of_the_images(run, files, tmp_path):
    (tmp_path / "labels.csv").write_text("filename,class,xmin,ymin,xmax,ymax\na.png,car,2,3,22,13\n")
    (tmp_path / "elsewhere/photos").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "elsewhere/photos/a.png")
    files[0].write_text(json.dumps([{"file_name": "a.png", "category_id": 0, "bbox": [2, 3, 20, 10], "score": 0.5}]))
    (tmp_path / "set").mkdir()
    (tmp_path / "labels.csv").rename(tmp_path / "set/labels.csv")
    line = ("--results", files[0], "--data", "set/labels.csv")
    assert "[labels-none]" in run(*line)[2]
    code, out, err = run(*line, "--image-root", "elsewhere", "--json")
    assert code == 0 and json.loads(out)["ap"] == pytest.approx(100), err
    _, _, err = run(*line, "--image-root", "elsewhere")
    assert err.splitlines()[-1].endswith("--data set/labels.csv --image-root elsewhere --errors")
    (tmp_path / "data.yaml").write_text("train: set\nnames: [car]\n")
    assert "[option-conflict]" in run("--results", files[0], "--data", "data.yaml", "--image-root", "elsewhere")[2]


def test_a_termination_loses_no_detections(run, tmp_path):
    for name in "ab":
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
    images = [
        {"id": number, "file_name": f"{name}.png", "width": 40, "height": 30} for number, name in ((5, "a"), (6, "b"))
    ]
    (tmp_path / "labels.json").write_text(json.dumps(TRUTH | {"images": images}))
    (tmp_path / "ending_guest.py").write_text(
        "import os, signal, torch\n"
        "from paretodet.sources.function import FunctionAdapter\n"
        "from paretodet.transforms.resize_policy import Stretch\n"
        "calls = []\n"
        "def find(batch):\n"
        "    calls.append(batch)\n"
        "    if len(calls) > 1:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return torch.tensor([[[0., 0., 16., 32.]]]), torch.full((1, 1), 0.5), torch.zeros(1, 1)\n"
        "def make():\n"
        "    return FunctionAdapter('guest', find, fit=Stretch(height=32, width=32))\n"
    )
    (tmp_path / "names.txt").write_text("car\n")
    options = ("--trust", "--classes", "names.txt", "--data", "labels.json", "--results-out", "r.json")
    code, out, err = run("ending_guest:make", *options)
    assert (code, out) == (130, "") and "1 of 2" in err
    assert [row["image_id"] for row in json.loads((tmp_path / "r.json").read_text())] == [5]
