"""Detectors of transformers by a configuration in a file: tiny random ones of every known kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.image_utils import get_image_size_for_max_height_width

from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detectors.labels import COCO_80
from paretodet.diagnosis import check_contract, means_data
from paretodet.errors import InputError
from paretodet.opening import job, open_candidate, require_weights
from paretodet.sources.hub_config import RULES, read_config
from paretodet.sources.hub_models import MODELS
from paretodet.transforms.resize_policy import Letterbox, PaddedSides, ShortSide, Stretch
from paretodet.transforms.short_side import transformers as short_side
from paretodet.weights import safe

IMAGES = [np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8) for seed in (0, 1)]
SIZES = torch.tensor([[60.0, 80.0], [60.0, 80.0]])
SMALL = {"shortest_edge": 64, "longest_edge": 96}
RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}
DETR = {
    "backbone_config": RESNET,
    "use_timm_backbone": False,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 12,
}
YOLOS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "image_size": [64, 96],
    "num_detection_tokens": 12,
}
RT_DETR = {
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_indices": [2, 3, 4],
    },
    "encoder_in_channels": [16, 24, 32],
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "d_model": 32,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_layers": 1,
    "num_queries": 12,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}
VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 64, "out_indices": [1, 2, 3]}
DECODER = {
    "d_model": 32,
    "decoder_layers": 2,
    "decoder_ffn_dim": 32,
    "decoder_self_attention_heads": 4,
    "decoder_cross_attention_heads": 4,
    "num_queries": 12,
}
TINY: dict[str, dict[str, Any]] = {
    "detr": DETR,
    "table-transformer": DETR,
    "conditional_detr": DETR,
    "dab-detr": {**DETR, "hidden_size": 32},
    "deformable_detr": {**DETR, "decoder_layers": 2},  # whose heads share weights
    "yolos": YOLOS,
    "rt_detr": RT_DETR,
    "rt_detr_v2": {**RT_DETR, "decoder_layers": 2},
    "lw_detr": {
        **DECODER,
        "backbone_config": {"model_type": "lw_detr_vit", "num_windows": 4, **VIT},
        "projector_scale_factors": [1.0],
    },
    "rf_detr": {
        **DECODER,
        "backbone_config": {"model_type": "rf_detr_dinov2", "num_windows": 1, "patch_size": 16, **VIT},
    },
}
SQUARE = ("rt_detr", "rt_detr_v2", "lw_detr", "rf_detr", "d_fine", "deimv2")
NAMES = {"0": "N/A", "1": "cat", "2": "dog"}


def written(folder: Path, kind: str, *, processor: dict[str, Any] | None = None, **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    size = {"height": 64, "width": 64} if kind in SQUARE else SMALL
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size} | (processor or {})))
    path = folder / "config.json"
    path.write_text(json.dumps({"model_type": kind, "id2label": NAMES, **TINY.get(kind, {}), **options}))
    return path


def opened(path: Path, **options: Any) -> NetworkCandidate:
    candidate = open_candidate(str(path), **options)
    assert isinstance(candidate, NetworkCandidate)
    return candidate


def inner(candidate: NetworkCandidate) -> Any:
    return candidate.session.module.network  # type: ignore[attr-defined]


def theirs(kind: str, candidate: NetworkCandidate, threshold: float = 0.0) -> list[dict[str, torch.Tensor]]:
    """What the library's image processor makes of its network's outputs, for our pixels."""
    processors = {
        "detr": transformers.DetrImageProcessorPil,
        "conditional_detr": transformers.ConditionalDetrImageProcessorPil,
        "deformable_detr": transformers.DeformableDetrImageProcessorPil,
        "yolos": transformers.YolosImageProcessorPil,
        "rt_detr": transformers.RTDetrImageProcessorPil,
    }
    batch = candidate.prepare(IMAGES)
    values = candidate.session.module.values(batch.pixels)  # type: ignore[attr-defined]
    with torch.inference_mode():
        outputs = inner(candidate)(pixel_values=values)
    processor = processors[kind](size=SMALL)
    return processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=SIZES)


@pytest.mark.parametrize("kind", TINY)
def test_a_detector_of_every_kind_opens(kind: str, tmp_path: Path) -> None:
    candidate = opened(written(tmp_path / "mine", kind))
    assert candidate.name == "mine" and candidate.labels == (None, "cat", "dog")
    checks = list(check_contract(candidate, IMAGES))
    assert [check.broken for check in checks if check.broken] == []
    facts = candidate.facts()
    assert facts.parameters == sum(p.numel() for p in inner(candidate).parameters()) and facts.macs
    assert facts.classes == 3 and facts.load == "capacity"


@pytest.mark.parametrize("kind", ["detr", "conditional_detr", "deformable_detr", "yolos", "rt_detr"])
def test_detections_are_those_of_the_image_processor(kind: str, tmp_path: Path) -> None:
    candidate = opened(written(tmp_path, kind))
    found = candidate.finish(candidate.infer(candidate.prepare(IMAGES)), SIZES)
    for index, rows in enumerate(theirs(kind, candidate)):
        scores, order = rows["scores"].sort(descending=True, stable=True)
        count = len(scores)
        limit = torch.tensor([80.0, 60.0, 80.0, 60.0])
        torch.testing.assert_close(found.scores[index, :count], scores)
        assert torch.equal(found.labels[index, :count], rows["labels"][order])
        boxes = rows["boxes"][order].clamp(min=0).minimum(limit)
        torch.testing.assert_close(found.boxes[index, :count], boxes, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["deimv2-atto", "d_fine-n"])
def test_a_model_of_the_hub_opens_by_its_configuration_too(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    backbone = {"model_type": model.backbone, **model.backbone_options}
    kind = "deimv2" if model.architecture == "Deimv2" else "d_fine"
    path = written(
        tmp_path,
        kind,
        processor={"do_normalize": False, "size": {"height": 320, "width": 320}},
        backbone_config=backbone,
        id2label={str(index): label for index, label in enumerate(COCO_80)},
        **model.options,
    )
    candidate, known = opened(path), open_candidate(f"hf:{name}", height=320)
    assert candidate.labels == COCO_80 == known.labels
    assert candidate.session.fit == known.session.fit
    for found, wanted in zip(
        candidate.infer(candidate.prepare(IMAGES))[:3], known.infer(known.prepare(IMAGES)), strict=False
    ):
        assert torch.equal(found, wanted)


def test_images_of_two_sizes_share_a_batch_with_a_mask(tmp_path: Path) -> None:
    candidate = opened(written(tmp_path, "detr"))
    images = [IMAGES[0], IMAGES[1][:, :60].copy()]
    sizes = torch.tensor([[60.0, 80.0], [60.0, 60.0]])
    both = candidate.finish(candidate.infer(candidate.prepare(images)), sizes)
    alone = candidate.finish(candidate.infer(candidate.prepare(images[1:])), sizes[1:])
    assert both.scores.shape == (2, 12)
    torch.testing.assert_close(both.scores[1], alone.scores[0], atol=0.05, rtol=0)  # convolutions see the padding


def test_weights_are_those_of_a_file(tmp_path: Path) -> None:
    path, other = written(tmp_path, "detr"), tmp_path / "model.safetensors"
    state = {name: tensor + 0.5 for name, tensor in inner(opened(path)).state_dict().items()}
    safe.save({name: tensor.contiguous() for name, tensor in state.items()}, other)
    candidate = opened(path, weights=other)
    assert torch.equal(
        inner(candidate).state_dict()["class_labels_classifier.bias"], state["class_labels_classifier.bias"]
    )
    data = job(CandidateConfig(name=str(path), weights=other)).recipe
    assert data["name"] == "config.json" and data["cfg"] and data["weights"] and str(tmp_path) not in str(data)
    safe.save({"any": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="weights-shape"):
        opened(path, weights=other)
    with pytest.raises(InputError, match="weights-needed"):
        require_weights(str(path), None)


def test_the_fit_is_that_of_the_image_processor(tmp_path: Path) -> None:
    path = written(tmp_path, "detr")
    assert opened(path).session.fit == ShortSide(short=64, long=96, whole="transformers")
    assert opened(path, height=64).session.fit == Stretch(height=64, width=64)
    assert opened(path, height=64, fit="letterbox").session.fit == Letterbox(height=64, width=64)
    with pytest.raises(InputError, match="option-conflict"):
        opened(path, fit="letterbox")
    old = written(tmp_path / "old", "detr", processor={"size": 64, "max_size": 90, "do_normalize": False})
    found = read_config(old)
    assert (found.fit.short, found.fit.long) == (64, 90) and found.std == (1, 1, 1)  # type: ignore[attr-defined]
    (old.parent / "preprocessor_config.json").unlink()
    assert read_config(old).fit == ShortSide(short=800, long=1333, whole="transformers")
    assert read_config(old).mean == (0.485, 0.456, 0.406)
    square = written(tmp_path / "square", "rt_detr")
    (square.parent / "preprocessor_config.json").unlink()
    assert read_config(square).fit == Stretch(height=640, width=640) and read_config(square).std == (1, 1, 1)


def test_sides_are_those_of_the_library() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        height, width = map(int, random.integers(20, 1500, 2))
        assert short_side((height, width), 800, 1333) == get_size_with_aspect_ratio((height, width), 800, 1333)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "bert"}, r"is of 'bert' .*known detectors are detr.*cfg-unsupported"),
        ({"architectures": ["DetrForSegmentation"]}, "DetrForSegmentation.*cfg-unsupported"),
        ({"backbone_config": None, "backbone": "org/resnet"}, "backbone 'org/resnet' is only named.*cfg-unsupported"),
        ({"d_model": "wide"}, "transformers refuses it.*cfg-malformed"),
    ],
)
def test_what_is_not_known_is_named(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "detr", **changed)
    with pytest.raises(InputError, match=rf"config\.json: .*{message}"):
        opened(path)


def test_a_kind_that_the_library_runs_in_fp32_only_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "dab-detr")
    assert opened(path, precision="fp32").facts().precision == "fp32"
    with pytest.raises(InputError, match="precision: dab-detr runs in fp32 only, got bf16"):
        opened(path, precision="bf16")
    assert opened(written(tmp_path, "detr"), precision="bf16").facts().precision == "bf16"


GUIDE = {"size": {"max_height": 64, "max_width": 64}, "do_pad": True, "pad_size": {"height": 64, "width": 64}}


@pytest.mark.parametrize("kind", ["detr", "conditional_detr", "yolos", "rt_detr"])
def test_images_are_padded_as_the_guide_of_the_library_says(kind: str, tmp_path: Path) -> None:
    """Pixels outside are 0 once normalized, and boxes are shares of the canvas, as those that a network learns."""
    more = {"image_size": [64, 64]} if kind == "yolos" else {}
    candidate = opened(written(tmp_path, kind, processor=GUIDE, **more))
    assert candidate.session.fit == PaddedSides(height=64, width=64, max_height=64, max_width=64)
    processors = {
        "detr": transformers.DetrImageProcessorPil,
        "conditional_detr": transformers.ConditionalDetrImageProcessorPil,
        "yolos": transformers.YolosImageProcessorPil,
        "rt_detr": transformers.RTDetrImageProcessorPil,
    }
    normal = {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    processor, seen = processors[kind](**GUIDE, **normal), dict[str, torch.Tensor]()
    inner(candidate).register_forward_pre_hook(lambda _, args, given: seen.update(given), with_kwargs=True)
    found = candidate.finish(candidate.infer(candidate.prepare(IMAGES[:1])), SIZES[:1])
    expected = processor([IMAGES[0]], return_tensors="pt")
    torch.testing.assert_close(seen["pixel_values"], expected["pixel_values"], atol=0.02, rtol=0, check_dtype=False)
    assert seen["pixel_values"][:, :, :48].all() and not seen["pixel_values"][:, :, 48:].any()
    assert "pixel_mask" not in seen or torch.equal(seen["pixel_mask"], expected["pixel_mask"])
    with torch.inference_mode():
        outputs = inner(candidate)(**seen)
    canvas = torch.tensor([[80.0, 80.0]])  # in pixels of the image, which fills 80 x 60 of it
    (rows,) = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=canvas)
    scores, order = rows["scores"].sort(descending=True, stable=True)
    boxes = rows["boxes"][order].clamp(min=0).minimum(torch.tensor([80.0, 60.0, 80.0, 60.0]))
    torch.testing.assert_close(found.boxes[0, : len(scores)], boxes, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(427, 640), (333, 500), (500, 49), (61, 61), (1, 900)])
def test_padded_sides_are_those_of_the_library(height: int, width: int) -> None:
    policy = PaddedSides(height=500, width=490, max_height=480, max_width=481)
    resized = policy.layout((height, width)).resized
    assert resized == tuple(max(1, side) for side in get_image_size_for_max_height_width((height, width), 480, 481))


def test_options_replace_a_fit_that_is_not_known(tmp_path: Path) -> None:
    """Which is refused with them."""
    path = written(tmp_path, "detr", processor={"size": {"max_height": 64, "max_width": 64}})
    with pytest.raises(InputError, match=r"preprocessor_config\.json: size: .*--size.*--fit.*cfg-unsupported"):
        opened(path)
    with pytest.raises(InputError, match="cfg-unsupported"):
        opened(path, fit="letterbox")
    with pytest.raises(InputError, match="cfg-unsupported"):  # before anything is measured
        job(CandidateConfig(name=str(path)))
    assert job(CandidateConfig(name=str(path), height=64)).recipe["height"] == 64
    assert opened(path, height=64).session.fit == Stretch(height=64, width=64)
    assert opened(path, height=64, fit="letterbox").session.fit == Letterbox(height=64, width=64)


@pytest.mark.parametrize(
    "changed",
    [
        {"do_resize": False},
        {"do_pad": False},
        {"pad_size": {"height": 32, "width": 32}},
        {"pad_size": {"height": 64}},
        {"pad_size": 64},
        {"size": SMALL},
        {"size": {"height": 32, "width": 32}},
        {"size": [64, 64]},
    ],
)
def test_a_padding_that_is_not_known_is_named(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preprocessor_config\.json: .*--size.*cfg-unsupported"):
        opened(written(tmp_path, "detr", processor=GUIDE | changed))


@pytest.mark.parametrize("processor", [{"size": {"longest_edge": 5}}, {"image_std": [0, 1, 1]}, {"do_rescale": False}])
def test_an_unknown_image_processor_is_named(processor: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preprocessor_config\.json: .*cfg-unsupported"):
        opened(written(tmp_path, "detr", processor=processor))


def test_a_file_that_is_no_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text, id in (("no json", "json-invalid"), ("[]", "cfg-malformed")):
        path.write_text(text)
        with pytest.raises(InputError, match=id):
            opened(path)
    with pytest.raises(InputError, match="labels: got 1 names"):
        opened(written(tmp_path, "detr"), labels=("cat",))
    assert not means_data(str(path)) and means_data(str(tmp_path / "labels.json"))


def test_every_kind_that_the_library_has_is_known_or_reads_documents() -> None:
    names = transformers.models.auto.modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES
    assert {name for name in names if not name.startswith("pp_")} == set(RULES)
