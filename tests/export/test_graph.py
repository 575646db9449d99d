"""What is said where another process cannot export a detector."""

from pathlib import Path

import pytest

from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.errors import InputError
from paretodet.export import cache, graph


def test_a_failed_export_names_the_detector_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(call: object) -> None:
        raise InputError("no such operator", "graph-failed")

    monkeypatch.setattr(graph, "run_apart", fail)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    with pytest.raises(InputError) as refused:
        graph.exported_graph(build(spec("yolo_v3_tiny-96")), batch=1)
    assert refused.value.id == "export-failed"
    assert str(refused.value) == "runtime: yolo_v3_tiny-96 cannot be exported (no such operator) [export-failed]"
    assert not [each for each in tmp_path.iterdir() if each.is_dir()]


def test_an_error_that_is_not_of_the_network_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(call: object) -> None:
        raise InputError("a: no such library", "extra-missing")

    monkeypatch.setattr(graph, "run_apart", fail)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    with pytest.raises(InputError) as refused:
        graph.exported_graph(build(spec("yolo_v3_tiny-96")), batch=1)
    assert str(refused.value) == "a: no such library [extra-missing]"
