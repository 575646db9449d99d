"""A valid candidate breaks no rule of the contract, and each invalid one breaks the rule it was made to break."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from paretodet.bench.candidate import ModelInfo
from paretodet.diagnosis import RULES, check_contract, doctor, means_data
from paretodet.loader.shapes import Shapes
from paretodet.types import Detections

IMAGES = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), dtype=np.uint8) for i in range(2)]


class Healthy:
    """Two boxes an image; the scores are functions of its pixels."""

    name = "healthy"

    def prepare(self, images: Sequence[np.ndarray]) -> Tensor:
        return torch.tensor([float(image.mean()) for image in images])

    def infer(self, batch: Tensor) -> Tensor:
        return torch.stack((batch / 256, batch / 512), dim=1)

    def finish(self, outputs: Tensor, sizes: Tensor) -> Detections:
        width, height = sizes[:, 1:], sizes[:, :1]
        zero = torch.zeros_like(width)
        boxes = torch.stack(
            (torch.cat((zero, zero, width, height), 1), torch.cat((zero, zero, width / 2, height), 1)), 1
        )
        return Detections(boxes, outputs, torch.tensor([[0, 1]]).expand(len(sizes), 2))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return ("half", lambda batch: batch / 2), ("rest", lambda half: self.infer(half * 2))

    def facts(self) -> ModelInfo:
        return ModelInfo(classes=2)


def broken(candidate: Any) -> dict[str, str]:
    return {finding.rule: finding.broken for finding in check_contract(candidate, IMAGES) if finding.broken}


def spoiled(method: str, change: Callable[[Any, Any], Any]) -> Healthy:
    """A valid candidate whose method's result goes through `change(result, arguments)`."""
    candidate = Healthy()
    sound = getattr(candidate, method)
    setattr(candidate, method, lambda *args: change(sound(*args), args))
    return candidate


def changed(change: Callable[[Detections], Any]) -> Healthy:
    """A valid candidate whose detections are changed."""
    return spoiled("finish", lambda found, _: change(found))


def test_a_valid_candidate_breaks_no_rule() -> None:
    findings = list(check_contract(Healthy(), IMAGES))
    assert [finding.rule for finding in findings] == [rule for rule, _ in RULES]
    assert [finding.broken for finding in findings] == [None] * len(RULES)


def _single(found: Detections, args: Any) -> Detections:
    if len(args[1]) > 1:
        raise RuntimeError("one only")
    return found


def _paint(batch: Any, args: Any) -> Any:
    args[0][0][...] = 0
    return batch


def _leave(found: Detections, sizes: Tensor) -> Detections:
    if len(sizes) > 1:
        raise SystemExit(0)
    return found


class _Split(Healthy):
    """Finishes the outputs of its stages in another form."""

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return (("whole", lambda batch: (self.infer(batch),)),)

    def finish(self, outputs: Any, sizes: Tensor) -> Any:
        return outputs if isinstance(outputs, tuple) else super().finish(outputs, sizes)


def _noise(outputs: Tensor, args: Any) -> Tensor:
    return outputs * (1 - 0.1 * torch.rand(1))


@pytest.mark.parametrize(
    ("rule", "sentence", "candidate"),
    [
        ("change its input", "changed the pixels", spoiled("prepare", _paint)),
        ("returns Detections", "finish returned tuple, not Detections", spoiled("finish", lambda d, _: tuple(d))),
        ("returns Detections", "labels is torch.int32", changed(lambda d: d._replace(labels=d.labels.int()))),
        ("returns Detections", "scores contains NaN", changed(lambda d: d._replace(scores=d.scores * torch.nan))),
        ("returns Detections", "infer raised RuntimeError: no", spoiled("infer", lambda o, _: _fail())),
        ("Scores are in", "range from", spoiled("finish", lambda d, _: d._replace(scores=d.scores * 100))),
        ("Scores are in", "not sorted", spoiled("finish", lambda d, _: d._replace(scores=d.scores.flip(1)))),
        ("Boxes are", "x1, y1, x2, y2", spoiled("finish", lambda d, _: d._replace(boxes=d.boxes.flip(2)))),
        ("Boxes are", "outside of the 60x40 image", spoiled("finish", lambda d, _: d._replace(boxes=d.boxes * 2))),
        ("Labels count", "they must be 0..1", spoiled("finish", lambda d, _: d._replace(labels=d.labels + 1))),
        ("number of slots", "1 slots, not 2", spoiled("finish", lambda d, args: _fewer(d, args[1]))),
        ("same image gives", "differ by", spoiled("infer", _noise)),
        ("batch of two", "finish raised RuntimeError: one only", spoiled("finish", _single)),
        ("batch of two", "differ by", spoiled("infer", lambda o, _: o / len(o))),
        ("stages", "differ by", spoiled("stages", lambda s, _: s[:1] + (("rest", Healthy().infer),))),
        ("facts", "classes = 0", spoiled("facts", lambda f, _: ModelInfo(classes=0))),
        ("facts", "load = 'half'", spoiled("facts", lambda f, _: ModelInfo(load="half"))),
        ("facts", "AttributeError", spoiled("facts", lambda f, _: {"classes": 2})),
        ("facts", "TypeError", spoiled("facts", lambda f, _: ModelInfo(classes="2"))),
        ("stages", "ValueError", spoiled("stages", lambda s, _: {"half": len, "rest": len})),
        ("stages", "AttributeError", _Split()),
        ("batch of two", "SystemExit", spoiled("finish", lambda d, args: _leave(d, args[1]))),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named(rule: str, sentence: str, candidate: Healthy) -> None:
    findings = broken(candidate)
    assert any(rule in name and sentence in how for name, how in findings.items()), findings


def _fail() -> None:
    raise RuntimeError("no")


def _fewer(found: Detections, sizes: Tensor) -> Detections:
    return found if sizes[0, 0] == 40 else Detections(*(field[:, :1] for field in found if field is not None))


def test_a_candidate_without_a_slot_is_checked_to_the_end() -> None:
    none = changed(lambda d: Detections(d.boxes[:, :0], d.scores[:, :0], d.labels[:, :0]))
    assert [finding.broken for finding in check_contract(none, IMAGES)] == [None] * len(RULES)


def test_an_incomplete_candidate_is_not_run() -> None:
    (only,) = check_contract(object(), IMAGES)
    assert only.broken == "object has no name and no prepare and no infer and no finish"


def test_work_after_finish_is_caught() -> None:
    def late(found: Detections, _: Any) -> Detections:
        scores = found.scores.clone()

        def finish_it() -> None:
            time.sleep(0.01)
            scores.mul_(0.5)

        threading.Thread(target=finish_it).start()
        return found._replace(scores=scores)

    findings = broken(spoiled("finish", late))
    assert "returned before its work was done" in findings["No work is left when finish returns."]


def test_a_path_of_labels_is_not_a_candidate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    data = ["set", str(tmp_path), "instances.json", "no/data.YAML", "no/such/folder", "set.zip", "a.odgt"]
    names = ["ssd-mobilenet_v1-300", "hf:org/name", "module:make", "net.onnx", "models/net.onnx", "cfg/yolov3.cfg"]
    assert [name for name in data + names if means_data(name)] == data


def test_doctor_checks_a_candidate_or_labels(tmp_path):
    assert [check.broken for check in doctor(Healthy())] == [None] * len(RULES)
    assert [check.rule for check in doctor(object(), images=IMAGES)] == [RULES[0][0]]
    Shapes(count=1, height=32, width=32, seed=0).write(tmp_path)
    assert doctor(tmp_path / "instances.json", quick=True).decoded is False
    with pytest.raises(ValueError, match="nowhere"):
        doctor(tmp_path / "nowhere.json")
