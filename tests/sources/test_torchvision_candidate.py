"""torchvision's models: what its metadata state, and the boxes that it returns itself."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from counts import counted_torchvision
from paretodet.config import CandidateConfig
from paretodet.detectors.families import UnknownName
from paretodet.diagnosis import doctor
from paretodet.errors import InputError
from paretodet.opening import job, open_candidate, require_weights
from paretodet.sources.published import entries
from paretodet.sources.table import published_accuracy
from paretodet.sources.torchvision_models import MODELS
from paretodet.types import Detections

torchvision = pytest.importorskip("torchvision")
detection = torchvision.models.detection

LITE = "ssdlite320_mobilenet_v3_large"
QUICK = (LITE, "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn")
IMAGES = [np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8) for seed in (0, 1)]
SIZES = torch.tensor([[90.0, 120.0], [90.0, 120.0]])


def opened(name: str, **options: Any) -> Any:
    return open_candidate(f"tv:{name}", **options)


def detected(candidate: Any) -> Detections:
    return candidate.finish(candidate.infer(candidate.prepare(IMAGES)), SIZES)


def direct(name: str, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Any:
    """torchvision's model as it builds it for published weights, with other ones in their place."""
    enum = getattr(detection, MODELS[name].weights)
    monkeypatch.setattr(enum, "get_state_dict", lambda self, **options: state)
    threshold = "box_score_thresh" if "rcnn" in name else "score_thresh"
    return torchvision.models.get_model(name, weights=enum.COCO_V1, **{threshold: 0.0}).eval()


def small(transform: Any) -> None:
    if transform.fixed_size is None:
        transform.min_size, transform.max_size = (64,), 96


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in MODELS]
)
def test_boxes_equal_those_of_torchvision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = opened(name, score=0.0)
    network = direct(name, candidate.network.state_dict(), monkeypatch)
    assert [str(module) for module in network.backbone.modules()] == [
        str(module) for module in candidate.network.backbone.modules()
    ]
    small(candidate.transform)
    small(network.transform)
    found = detected(candidate)
    with torch.inference_mode():
        pixels = [torchvision.transforms.functional.to_tensor(image) for image in IMAGES]
        wanted = network(pixels)
    for index, rows in enumerate(wanted):
        count = len(rows["scores"])
        assert count and torch.equal(found.boxes[index, :count], rows["boxes"])
        assert torch.equal(found.scores[index, :count], rows["scores"])
        assert torch.equal(found.labels[index, :count], rows["labels"])
        assert not found.scores[index, count:].any()
    assert (found.masks is None) == ("masks" not in wanted[0])


@pytest.mark.parametrize("name", MODELS)
def test_the_listed_numbers_are_those_of_the_built_model(name: str) -> None:
    (entry,) = (entry for entry in entries() if entry.name == f"tv:{name}")
    counts = counted_torchvision(entry.name)
    assert counts == {field: getattr(entry, field) for field in counts}
    assert entry.meta_architecture.replace("_", "") in name and entry.backbone in name


@pytest.mark.parametrize("name", MODELS)
def test_accuracy_and_parameters_are_those_that_torchvision_states(name: str) -> None:
    meta = getattr(detection, MODELS[name].weights).COCO_V1.meta
    stated, shown = meta["_metrics"]["COCO-val2017"], published_accuracy(f"tv:{name}")
    assert (shown["ap"], shown["mask_ap"]) == (stated["box_map"], stated.get("mask_map"))
    assert shown["ap_split"] == "val2017"


def test_every_detector_of_torchvision_is_known_but_those_of_keypoints() -> None:
    names = torchvision.models.list_models(module=detection)
    assert set(MODELS) == {name for name in names if "keypoint" not in name}


@pytest.mark.parametrize("name", ["ssd300_vgg16", LITE])
def test_counts_are_those_that_torchvision_states(name: str) -> None:
    info, meta = opened(name).facts(), getattr(detection, MODELS[name].weights).COCO_V1.meta
    assert info.parameters == meta["num_params"]
    assert info.macs / 1e9 == pytest.approx(meta["_ops"], rel=0.01)


def test_counts_are_of_the_largest_canvas_and_all_regions() -> None:
    info = opened("fasterrcnn_mobilenet_v3_large_320_fpn").facts()
    assert (info.height, info.width, info.proposals) == (320, 640, 150)
    (head,) = {layer.macs for layer in info.layers if layer.name.endswith("box_head.fc6")}
    assert head == 150 * 256 * 7 * 7 * 1024


def test_it_keeps_the_contract() -> None:
    checks = doctor(opened(LITE), images=IMAGES)
    assert [check.broken for check in checks if check.broken] == []


def test_weights_are_read_from_a_file_without_code(tmp_path: Path) -> None:
    path, other = tmp_path / "w.pth", opened(LITE, labels=("cat", "dog")).network
    torch.save({"model": {f"module.{name}": tensor + 1 for name, tensor in other.state_dict().items()}}, path)
    candidate = opened(LITE, weights=path, labels=("cat", "dog"))
    assert candidate.labels == (None, "cat", "dog") and candidate.facts().classes == 3
    name, value = next(iter(other.state_dict().items()))
    assert torch.equal(candidate.network.state_dict()[name], value + 1)
    with pytest.raises(InputError, match=r"w\.pth: .*weights-shape") as error:
        opened(LITE, weights=path)
    assert error.value.id == "weights-shape"
    path.write_bytes(pickle.dumps(pytest.fail))
    with pytest.raises(InputError, match=r"w\.pth.*weights-format"):
        opened(LITE, weights=path)
    with pytest.raises(InputError, match="file-unreadable"):
        opened(LITE, weights=tmp_path / "none.pth")


def test_other_weights_have_no_published_accuracy(tmp_path: Path) -> None:
    torch.save({}, path := tmp_path / "w.pth")
    assert job(CandidateConfig(name=f"tv:{LITE}")).about["ap"] == 21.3
    assert job(CandidateConfig(name=f"tv:{LITE}", weights=path)).about == {}
    with pytest.raises(InputError, match="weights-needed"):
        require_weights(f"tv:{LITE}", None)


@pytest.mark.parametrize("options", [{"runtime": "onnxruntime"}, {"precision": "bf16"}, {"fit": "letterbox"}])
def test_what_torchvision_decides_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))}: tv:{LITE} .*option-unsupported"):
        opened(LITE, **options)


def test_an_unknown_name_suggests_the_nearest_of_torchvision() -> None:
    with pytest.raises(UnknownName, match="tv:fasterrcnn_resnet50_fpn"):
        opened("faster_rcnn_resnet50")
