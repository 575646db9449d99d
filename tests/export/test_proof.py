"""The rules of a proof: equal in float32, AP on labels or agreement in other precisions, and images without objects."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from paretodet.evaluation.ground_truth import GroundTruth, read_ground_truth
from paretodet.export.proof import MIN_BOXES, Pair, Proof, ProofImages, prove
from paretodet.types import Detections

NAMES = ("a", "b")
SIDE = 80


class Painted:
    """Detects the squares of an image: one for each quarter that is not black, its score the brightness."""

    labels = NAMES

    def __init__(self, shift: float = 0.0, drop: float = 0.0, seed: int = 0, name: str = "painted") -> None:
        self.name, self.shift, self.drop, self.random = name, shift, drop, np.random.default_rng(seed)
        self.sizes: list[int] = []

    def prepare(self, images: Any) -> Any:
        return images

    def infer(self, images: Any) -> Any:
        self.sizes.append(len(images))
        return [self._found(image) for image in images]

    def finish(self, outputs: Any, sizes: torch.Tensor) -> Detections:
        padded = [rows + [(0.0,) * 6] * (4 - len(rows)) for rows in outputs]
        columns = torch.tensor(padded, dtype=torch.float32).reshape(len(outputs), 4, 6)
        return Detections(columns[..., :4], columns[..., 4], columns[..., 5].long())

    def _found(self, image: np.ndarray) -> list[tuple[float, ...]]:
        half, rows = SIDE // 2, list[tuple[float, ...]]()
        for y in (0, half) if image.shape[:2] == (SIDE, SIDE) else ():
            for x in (0, half):
                level = float(image[y + 8, x + 8, 0]) / 255
                if level and self.random.random() >= self.drop:
                    rows.append((x + self.shift, y, x + half + self.shift, y + half, level, float(x > 0)))
        return sorted(rows, key=lambda row: -row[4])


def painted(seed: int) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(100, 256, (2, 2, 1), np.uint8)
    return np.broadcast_to(np.kron(levels, np.ones((SIDE // 2, SIDE // 2, 1), np.uint8)), (SIDE, SIDE, 3)).copy()


IMAGES = ProofImages(tuple(map(painted, range(20))), tuple(map(str, range(20))), "painted", "0" * 64)


def proof(artifact: Any, labels: GroundTruth | None = None, **options: Any) -> Proof:
    pair = Pair(reference=Painted(), artifact=artifact, **({"precision": "fp32", "runtime": "test"} | options))
    return prove(pair, IMAGES, labels)[0]


def labeled(folder: Path, count: int) -> GroundTruth:
    """Images whose squares are labeled, two a class."""
    images, annotations = [], []
    half = SIDE // 2
    for n in range(count):
        Image.fromarray(painted(n)).save(folder / f"{n}.png")
        images.append({"id": n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE})
        for place, (y, x) in enumerate([(0, 0), (0, half), (half, 0), (half, half)]):
            box = {"bbox": [x, y, half, half], "area": half * half, "iscrowd": 0}
            annotations.append({"id": 4 * n + place + 1, "image_id": n, "category_id": 1 + (x > 0), **box})
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return read_ground_truth(path)


def test_an_equal_artifact_passes_on_images_with_and_without_objects() -> None:
    found = proof(artifact := Painted(), batch=4)
    assert (found.verdict, found.criterion) == ("passed", "equal")
    assert (found.images, found.detections, found.missing, found.extra) == (22, 80, 0, 0)
    assert artifact.sizes == [4, 4, 4, 4, 4, 2]


@pytest.mark.parametrize(("artifact", "fields"), [(Painted(shift=1.0), "max_box"), (Painted(drop=0.1), "missing")])
def test_float32_fails_where_a_box_is_moved_or_lost(artifact: Painted, fields: str) -> None:
    found = proof(artifact)
    assert found.verdict == "failed" and getattr(found, fields) > 0


def test_labels_at_one_size_do_not_prove_another(tmp_path: Path) -> None:
    truth = labeled(tmp_path, MIN_BOXES // 4)
    sizes: dict[str, Any] = {"precision": "bf16", "sizes": ("80x80", "40x40")}
    for shift, verdict in ((0.0, "passed"), (30.0, "failed")):
        other = Pair(reference=Painted(), artifact=Painted(shift=shift), precision="bf16", runtime="test")
        found = proof(Painted(), truth, others=(other,), **sizes)
        assert (found.verdict, found.sizes) == (verdict, sizes["sizes"])
        assert found.criterion == ("ap-ratio" if verdict == "passed" else "agreement")


class Ties(Painted):
    """As many boxes as there is room for, all of one score, anywhere."""

    def _found(self, image: np.ndarray) -> list[tuple[float, ...]]:
        return [(place, 0.0, place + 5.0, 5.0, 0.5, 0.0) for place in self.random.uniform(0, SIDE, 4)]


def test_lists_that_end_among_equal_scores_leave_it_open() -> None:
    pair = Pair(reference=Ties(seed=1), artifact=Ties(seed=2), precision="fp32", runtime="test")
    found = prove(pair, IMAGES)[0]
    assert (found.verdict, found.missing, found.extra) == ("undecided", 0, 0) and found.at_cutoff > 100


def test_nothing_is_proved_where_nothing_is_detected() -> None:
    black = IMAGES._replace(images=(np.zeros((SIDE, SIDE, 3), np.uint8),), names=("black",))
    pair = Pair(reference=Painted(), artifact=Painted(), precision="fp32", runtime="test")
    found = prove(pair, black)[0]
    assert (found.verdict, found.criterion, found.detections) == ("undecided", "equal", 0)


@pytest.mark.parametrize(
    ("artifact", "verdict"),
    [(Painted(shift=1.0), "passed"), (Painted(drop=0.2), "failed"), (Painted(shift=9.0), "failed")],
)
def test_other_precisions_without_labels_agree_or_fail(artifact: Painted, verdict: str) -> None:
    found = proof(artifact, precision="int8")
    assert (found.verdict, found.criterion) == (verdict, "agreement")
    assert found.agreement is not None


class Outlined(Painted):
    """With a mask of one level in every box."""

    def __init__(self, level: float = 1.0) -> None:
        super().__init__()
        self.level = level

    def finish(self, outputs: Any, sizes: torch.Tensor) -> Detections:
        found = super().finish(outputs, sizes)
        return found._replace(masks=torch.full((*found.scores.shape, 4, 4), self.level))


@pytest.mark.parametrize(("level", "verdict", "share"), [(0.7, "passed", 1), (0.2, "failed", 0), (np.nan, "failed", 0)])
def test_other_precisions_fail_where_masks_are_lost(level: float, verdict: str, share: float) -> None:
    pair = Pair(reference=Outlined(), artifact=Outlined(level), precision="bf16", runtime="test")
    found = prove(pair, IMAGES)[0]
    assert (found.verdict, found.agreement, found.mask_agreement) == (verdict, 1.0, share)
    assert prove(replace(pair, is_trained=False), IMAGES)[0].verdict == "passed"


def test_too_few_likely_boxes_leave_the_agreement_open() -> None:
    few = IMAGES._replace(images=IMAGES.images[:5], names=IMAGES.names[:5])
    pair = Pair(reference=Painted(), artifact=Painted(), precision="int8", runtime="test")
    found = prove(pair, few)[0]
    assert (found.verdict, found.agreement) == ("undecided", 1.0)


@pytest.mark.parametrize(
    ("images", "drop", "verdict"),
    [(MIN_BOXES // 4, 0.0, "passed"), (MIN_BOXES // 4 - 1, 0.0, "undecided"), (MIN_BOXES // 4, 0.2, "failed")],
)
def test_on_labels_the_ap_decides(tmp_path: Path, images: int, drop: float, verdict: str) -> None:
    found = proof(Painted(drop=drop), labeled(tmp_path, images), precision="int8")
    assert (found.verdict, found.criterion, found.boxes) == (verdict, "ap-ratio", 4 * images)
    assert found.ap is not None and found.fp32_ap == pytest.approx(100)
    assert set(found.ratios) == {"all", "medium"} and found.ratios["all"].ratio == pytest.approx(found.ap / 100)
    assert found.labels == "labels.json" and found.images == images + 2


def test_an_interval_around_the_limit_leaves_it_open(tmp_path: Path) -> None:
    found = proof(Painted(drop=0.03, seed=3), labeled(tmp_path, MIN_BOXES // 4), precision="int8")
    assert found.ratios["all"].lower < 0.97 < found.ratios["all"].upper
    assert found.verdict == "undecided"


def test_labeled_images_that_are_left_out_are_named(tmp_path: Path) -> None:
    truth, said = labeled(tmp_path, 4), list[str]()
    (tmp_path / "2.png").write_bytes(b"no image")
    pair = Pair(reference=Painted(), artifact=Painted(), precision="int8", runtime="test")
    found = prove(pair, IMAGES, replace(truth, skipped=("of its labels",)), notify=said.append)[0]
    assert [each.startswith("Skipped: ") for each in said] == [True, True]
    assert "of its labels" in said[0] and "2.png" in said[1] and (found.images, found.boxes) == (5, 12)


def test_untrained_weights_are_not_judged_by_labels(tmp_path: Path) -> None:
    found = proof(Painted(), labeled(tmp_path, 30), precision="int8", is_trained=False)
    assert (found.criterion, found.verdict) == ("agreement", "passed")


class Taken(Sequence[np.ndarray]):
    """Images that exist only while they are used."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError(index)
        self.events.append("read")
        return painted(index)


class Seeing(Painted):
    """Notes when it detects."""

    events: list[str]

    def infer(self, images: Any) -> Any:
        self.events.append(f"detects {len(images)}")
        return super().infer(images)


def test_no_more_images_are_in_memory_than_a_call_takes() -> None:
    artifact = Seeing()
    artifact.events = events = list[str]()
    images = ProofImages(Taken(events), ("a", "b", "c", "d"), "painted", "0" * 64)
    pair = Pair(reference=Painted(), artifact=artifact, precision="fp32", runtime="test", batch=2)
    assert prove(pair, images)[0].images == 6
    assert events == [*2 * ("read", "read", "detects 2"), "detects 2"]
