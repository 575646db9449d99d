import gc
import json

import pytest

from paretodet.evaluation.files import read_json, read_results


def test_a_file_reads_back_and_the_collector_goes_on(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"score": 0.5}]))
    assert read_results(path) == [{"score": 0.5}] and gc.isenabled()


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"nope"])
def test_no_json_is_one_sentence(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"results: .*r\.json cannot be read as JSON") as caught:
        read_results(path)
    assert "\n" not in str(caught.value) and gc.isenabled()


def test_missing_too_large_or_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"results: .*no\.json: no such file"):
        read_results(tmp_path / "no.json")
    (tmp_path / "r.json").write_text("[1, 2, 3]")
    with pytest.raises(ValueError, match="it is larger than"):
        read_json(tmp_path / "r.json", what="results", max_bytes=5)
    with pytest.raises(ValueError, match="results: .* is a folder"):
        read_results(tmp_path)


def test_results_are_a_list(tmp_path):
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no list"):
        read_results(tmp_path / "r.json")


@pytest.mark.parametrize("text", ['{"image_id": 1}\n{"image_id": 2}\n', "image_id,score\n1,0.5\n"])
def test_what_is_no_json_is_refused_with_what_is_needed(tmp_path, text):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ValueError, match="cannot be read as JSON.*; COCO results are one JSON list") as caught:
        read_results(tmp_path / "r.csv")
    assert caught.value.id == "json-invalid"
