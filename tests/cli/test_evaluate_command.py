"""`paretodet evaluate`: the keys of its JSON, and one sentence with exit status 2 for what it cannot use."""

import json
import subprocess
import sys

import pytest

from paretodet.cli import main

KEYS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100"]
TRUTH = {
    "images": [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}],
    "categories": [{"id": 3, "name": "car"}],
    "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "area": 200, "iscrowd": 0}],
}
ROW = {"image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "score": 0.5}


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["paretodet", "evaluate", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
            raise SystemExit(0)
        return int(left.value.code or 0), *capsys.readouterr()

    return call


@pytest.fixture
def files(tmp_path):
    labels, found = tmp_path / "labels.json", tmp_path / "results.json"
    labels.write_text(json.dumps(TRUTH))
    found.write_text(json.dumps([ROW]))
    return found, labels


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_official_fixture(run, data_folder, kind):
    folder = data_folder / "coco_eval_fixture"
    found = folder / f"instances_val2014_fake{kind}100_results.json"
    code, out, _ = run("--results", found, "--data", folder / "instances_val2014_100.json", "--json")
    told = json.loads(out)
    assert code == 0 and list(told)[:9] == KEYS
    expected = {
        "bbox": {
            "ap": 50.45806987, "ap50": 69.69727247, "ap75": 57.29816670, "ap_small": 58.56257209,
            "ap_medium": 51.93996948, "ap_large": 50.13978986, "ar1": 38.68127796, "ar10": 59.36795763,
            "ar100": 59.53529829,
        },
        "segm": {"mask_ap": 31.95452759, "mask_ap50": 56.22883973, "mask_ap75": 29.89264341},
    }[kind]  # fmt: skip
    assert {key: told[key] for key in expected} == pytest.approx(expected, abs=2e-8 if kind == "bbox" else 2e-5)
    assert ("mask_ap" in told) == (kind == "segm")


def test_a_table_for_a_person(run, files):
    code, out, err = run("--results", files[0], "--data", files[1], "--lost")
    assert code == 0 and "100.0" in out and "car" in out and "duplicate" in out
    assert "Overlap 0.5" in err


def test_a_finished_file_needs_no_torch(files):
    call = "app(sys.argv[1:], standalone_mode=False)"
    code = f"import sys\nfrom paretodet.cli import app\n{call}\nprint('torch' in sys.modules)"
    line = [sys.executable, "-c", code, "evaluate", "--results", files[0], "--data", files[1], "--json"]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True)
    assert done.stdout.strip().endswith("False"), done.stderr


def test_a_picture(run, files, tmp_path):
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
