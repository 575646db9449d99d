"""`paretodet detect`: nothing that was detected is lost, and names are readable."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet import writing
from paretodet.media import fonts

Run = Callable[..., tuple[int, str, str]]

GUEST = """
import os, signal, torch
from paretodet.sources.function import FunctionAdapter
from paretodet.transforms.resize_policy import Stretch

def make():
    calls = []

    def find(batch):
        calls.append(batch)
        if len(calls) > {whole}:
            os.kill(os.getpid(), signal.SIGTERM)
        n = len(batch.pixels)
        return torch.tensor([[[0., 0., 16., 32.]]]).expand(n, 1, 4), torch.full((n, 1), 0.5), torch.zeros(n, 1)

    return FunctionAdapter("guest", find, fit=Stretch(height=32, width=32))
"""


@pytest.fixture
def detect(run: Run) -> Callable[..., tuple[int, str, str]]:
    """`detect(..., whole=n)` is terminated after n of three images."""

    def call(*arguments: object, whole: int = 3) -> tuple[int, str, str]:
        Path("in").mkdir(exist_ok=True)
        for name in "abc":
            Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(f"in/{name}.png")
        Path(f"guest_of_{whole}.py").write_text(GUEST.format(whole=whole))
        return run("detect", f"guest_of_{whole}:make", "--trust", "in", *arguments)

    return call


def ids() -> list[str]:
    return [row["image_id"] for row in json.loads(Path("r.json").read_text())]


@pytest.fixture
def full_disk(detect: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`detect` on a disk with space for one image."""
    save, saved = Image.Image.save, list[Path]()

    def limited(image: Image.Image, path: Path, **how: object) -> None:
        if Path(path).parent.name == "drawn":
            saved.append(path)
        if len(saved) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, path, **how)

    monkeypatch.setattr(Image.Image, "save", limited)
    return detect


def test_a_full_disk_loses_no_detections(full_disk: Run) -> None:
    code, out, err = full_disk("--out", "drawn", "--results-out", "r.json", "--json")
    assert code == 2 and err.endswith("[output-unwritable]\n") and str(Path("drawn/b.png")) in err
    assert ids() == ["a", "b"] and [Path(each["image"]).name for each in json.loads(out)] == ["a.png", "b.png"]
    assert "2 of 3" in err and sorted(path.name for path in Path("drawn").glob("[!.]*")) == ["a.png"]


def test_results_that_cannot_be_written_hide_no_error(full_disk: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("paretodet.writing.write_text", full)
    code, out, err = full_disk("--out", "drawn", "--results-out", "r.json")
    assert (code, out) == (2, "") and not Path("r.json").exists()
    assert "r.json" in err and err.endswith("[output-unwritable]\n") and str(Path("drawn/b.png")) in err


def test_a_termination_loses_no_detections(detect: Run) -> None:
    code, out, err = detect("--results-out", "r.json", "--json", whole=2)
    assert code == 130 and ids() == ["a", "b"] and len(json.loads(out)) == 2 and "2 of 3" in err


def test_a_termination_before_the_first_image_replaces_no_results(detect: Run) -> None:
    Path("r.json").write_text("[]")
    code, out, _ = detect("--results-out", "r.json", "--json", whole=0)
    assert (code, out) == (130, "") and Path("r.json").read_text() == "[]"


def test_a_name_without_a_font_is_explained_once(detect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_others", lambda: ())
    Path("names.txt").write_text("猫\n", encoding="utf-8")
    fonts._font.cache_clear()
    code, _, err = detect("--classes", "names.txt", "--out", "drawn")
    fonts._font.cache_clear()
    assert code == 0 and err.count("0 = 猫") == 1
    Path("names.txt").write_text("cat\n", encoding="utf-8")
    code, _, err = detect("--classes", "names.txt", "--out", "drawn")
    assert code == 0 and "cat" not in err and "font" not in err


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("error", "code"), [(FULL, 2), (KeyboardInterrupt(), 130)])
def test_nothing_is_lost_while_the_results_are_written(
    detect: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """At the first attempt it ends as a full disk, or a scheduler, ends it."""
    write, errors = writing.write_text, [error]

    def interrupted(path: Path, text: str) -> None:
        if errors:
            raise errors.pop()
        write(path, text)

    monkeypatch.setattr(writing, "write_text", interrupted)
    found, out, _ = detect("--results-out", "r.json", "--json")
    assert found == code and ids() == ["a", "b", "c"] and len(json.loads(out)) == 3


def test_a_full_disk_at_the_end_leaves_what_is_printed(detect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise FULL

    monkeypatch.setattr(writing, "write_text", full)
    code, out, err = detect("--results-out", "r.json", "--json")
    assert code == 2 and len(json.loads(out)) == 3 and "r.json" in err and not Path("r.json").exists()
