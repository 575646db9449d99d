"""The way of a new user from labels to a choice: every command prints the next one, which is then run."""

import shlex

import pytest

from paretodet.loader.shapes import Shapes

NAME = "ssd-mobilenet_v1-300"
LEARN = "--width 0.125 --steps 2 --batch 2 --val va/instances.json --out run"
QUICK = {"measure": ["--processes", "2"]}  # to a command that a new user may leave as it is
TRIES = 3  # of a bench that refuses a machine too unsteady to be believed, as it should


@pytest.fixture
def typed(run, monkeypatch):
    """Runs a line; returns the next line that it prints, and its output."""
    monkeypatch.setenv("COLUMNS", "400")

    def type_(line):
        words = shlex.split(line)
        for _ in range(TRIES):
            code, out, err = run(*words[1:], *QUICK.get(words[1], []))
            if not code or "the machine is too unsteady now" not in err:
                break
        else:
            pytest.skip(err.splitlines()[-1])
        assert not code, f"{words}: {err}"
        nexts = [each.removeprefix("Next: ") for each in err.splitlines() if each.startswith("Next: ")]
        assert nexts, f"{words} prints no next command: {err}"
        return nexts[0], out

    return type_


@pytest.mark.full
@pytest.mark.quiet
def test_doctor_train_evaluate_detect_measure_recommend(typed, tmp_path):
    for seed, folder in ((1, "tr"), (2, "va")):
        Shapes(count=6, height=64, width=64, seed=seed).write(tmp_path / folder)
    line, _ = typed("paretodet doctor tr/instances.json")
    assert line == f"paretodet train {NAME} --data tr/instances.json"
    line, out = typed(f"{line} {LEARN}")
    assert "run/weights.safetensors" in out and line.startswith("paretodet evaluate run/weights.safetensors")
    line, out = typed(line)
    assert "6 images" in out and line == "paretodet detect run/weights.safetensors --data va/instances.json"
    line, out = typed(line)
    assert len(list((tmp_path / "detections").glob("*.png"))) == 6
    assert line == "paretodet measure run/weights.safetensors --data va/instances.json"
    line, out = typed(line)
    assert f"{NAME} at width 0.125" in out and line.startswith("paretodet recommend --split measured:instances.json@")
    line, out = typed(line)
    assert line.startswith("paretodet report") and f"{NAME} at width 0.125" in out
