"""The benchmark of the page: it is weighed, and opened in the browser that is there."""

from pathlib import Path
from types import ModuleType

import pytest
from test_imports import ROOT, loaded

from paretodet.extras import MissingExtra
from paretodet.runtimes.chromium import PATH, program


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("vl_convert")
    module = loaded(ROOT / "benchmarks" / "frontier.py", monkeypatch)
    monkeypatch.setattr(module, "PAGE_ROWS", 12)
    monkeypatch.setattr(module, "MACHINES", 2)
    return module


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, prints: str) -> None:
    """A browser that prints this document."""
    program = folder / "chromium"
    program.write_text(f"#!/bin/sh\necho '{prints}'\n")
    program.chmod(0o755)
    monkeypatch.setenv(PATH, str(program))


def test_the_page_is_weighed_and_the_time_of_its_load_event_is_read(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(tmp_path, monkeypatch, prints="<html><head><title>1250.5</title></head></html>")
    benchmark.time_page()
    out = capsys.readouterr().out
    assert out.startswith("page of 12 rows on 2 machines: 0.") and out.endswith("opened in 1.25 s\n")


def test_without_a_browser_the_page_is_weighed_alone(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PATH, "/none")
    benchmark.time_page()
    assert "not opened: " in capsys.readouterr().out


def test_a_browser_that_opens_nothing_is_an_error(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, prints="<html></html>")
    with pytest.raises(RuntimeError, match="did not open"):
        benchmark.opening_s("<html></html>")


def test_the_page_opens_in_chromium(benchmark: ModuleType) -> None:
    try:
        program()
    except MissingExtra as error:
        pytest.skip(str(error))
    from paretodet.report.page import page

    text = page(benchmark.page_rows())
    assert text.count('<div class="view"') == 2 and benchmark.opening_s(text) > 0
