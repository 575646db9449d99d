"""Models of the transformers library: published sizes, real outputs, weights in and out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from counts import counted_model, layer_counts
from paretodet.bench.candidate import Candidate, Staged, Stated
from paretodet.candidate import NetworkCandidate
from paretodet.runtimes.eager import Eager
from paretodet.sources import hub_network as hub_network_module
from paretodet.sources.hub_models import MODELS
from paretodet.sources.hub_network import build, hub_network
from paretodet.sources.published import PUBLISHED, entries

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
SIZES = torch.tensor([[120.0, 160.0]])


@pytest.fixture(scope="module")
def atto() -> NetworkCandidate:
    return opened("deimv2-atto")


def opened(name: str, precision: str = "fp32", **options: Any) -> NetworkCandidate:
    return NetworkCandidate(hub_network(f"hf:{name}", MODELS[name], **options), Eager(precision=precision))


def inner(candidate: NetworkCandidate) -> nn.Module:
    """The library's own network."""
    return candidate.session.module.network  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_published(name: str) -> None:
    """Within 3.5 %: publications count the merged network without its auxiliary heads, and round."""
    model = MODELS[name]
    backbone = transformers.AutoConfig.for_model(model.backbone, **model.backbone_options)
    options = {"backbone_config": backbone, "num_labels": 80, **model.options}
    with torch.device("meta"):
        configuration = getattr(transformers, f"{model.architecture}Config")(**options)
        network = getattr(transformers, f"{model.architecture}ForObjectDetection")(configuration)
    count = sum(p.numel() for p in network.parameters()) / 1e6
    assert count == pytest.approx(model.parameters_m, rel=0.035)


def test_every_model_has_a_published_accuracy_and_no_other() -> None:
    assert {f"hf:{name}" for name in MODELS} == set(PUBLISHED)
    assert all(known.split == "val2017" and known.ap for entry in PUBLISHED.values() for known in entry)


def test_ap50_is_given_where_the_authors_state_it_with_its_source() -> None:
    """Table 1 and the appendix of arXiv 2410.13842, Table 3 of 2509.20787, RT-DETRv2's README; nothing else."""
    known = {name.removeprefix("hf:"): entry[0] for name, entry in PUBLISHED.items()}
    assert {name: each.ap50 for name, each in known.items() if each.ap50} == {
        "d_fine-s": 65.6, "d_fine-m": 69.8, "d_fine-l": 71.6, "d_fine-x": 73.7,
        "rt_detr_v2-r18": 65.1, "rt_detr_v2-r50": 71.6,
        "deimv2-s": 68.3, "deimv2-m": 70.2, "deimv2-l": 73.4, "deimv2-x": 75.4,
    }  # fmt: skip
    assert all("README" in each.source for each in known.values())
    papers = {name: "AP50: " in each.source for name, each in known.items() if not name.startswith("rt_detr")}
    assert papers == {name: known[name].ap50 is not None for name in papers}


def test_it_is_a_candidate_whose_stages_compose_to_infer(atto: NetworkCandidate) -> None:
    assert isinstance(atto, Candidate) and isinstance(atto, Staged) and isinstance(atto, Stated)
    value = batch = atto.prepare([IMAGE])
    for _, stage in atto.stages():
        value = stage(value)
    assert all(torch.equal(a, b) for a, b in zip(value[:3], atto.infer(batch)[:3], strict=True))


def test_detections_are_the_best_pairs_of_query_and_class(atto: NetworkCandidate) -> None:
    """Against the library's own recipe written out: sigmoid, best Q of Q x K, center form to corners."""
    batch = atto.prepare([IMAGE])
    found = atto.finish(atto.infer(batch), SIZES)
    assert found.boxes.shape == (1, 100, 4) and torch.equal(found.scores, found.scores.sort(descending=True).values)
    with torch.inference_mode():
        outputs = inner(atto)(pixel_values=batch.pixels.float() / 255)
    scores = outputs.logits.sigmoid()[0]
    best = int(scores.argmax())
    x, y, w, h = outputs.pred_boxes[0, best // 80].tolist()
    assert found.scores[0, 0].item() == pytest.approx(scores.flatten()[best].item())
    assert found.labels[0, 0].item() == best % 80
    expected = [(x - w / 2) * 160, (y - h / 2) * 120, (x + w / 2) * 160, (y + h / 2) * 120]
    assert found.boxes[0, 0].tolist() == pytest.approx(expected, abs=1e-2)


def test_a_batch_of_two_is_two_of_one(atto: NetworkCandidate) -> None:
    other = IMAGE[::-1].copy()
    both = atto.finish(atto.infer(atto.prepare([IMAGE, other])), SIZES.expand(2, 2))
    for index, image in enumerate((IMAGE, other)):
        alone = atto.finish(atto.infer(atto.prepare([image])), SIZES)
        assert torch.allclose(both.scores[index], alone.scores[0], atol=1e-4)


def test_seeds_decide_the_weights_and_leave_the_callers_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build(MODELS["deimv2-atto"], seed=1)
    assert torch.equal(torch.rand(3), expected)
    again, other = build(MODELS["deimv2-atto"], seed=1), build(MODELS["deimv2-atto"], seed=2)
    name = next(iter(dict(first.named_parameters())))
    assert torch.equal(first.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), other.get_parameter(name))


def test_facts_and_bf16(atto: NetworkCandidate) -> None:
    facts = atto.facts()
    assert (facts.height, facts.width, facts.classes, facts.weights) == (320, 320, 80, "random")
    assert facts.parameters == sum(p.numel() for p in inner(atto).parameters())
    assert facts.macs == pytest.approx(0.4e9, rel=0.1)  # 0.8 GFLOPs as published, two per multiply-add
    half = opened("deimv2-atto", precision="bf16")
    found = half.finish(half.infer(half.prepare([IMAGE])), SIZES)
    assert found.boxes.dtype == torch.float32 and found.boxes.isfinite().all()
    assert half.facts().precision == "bf16" and half.facts().artefact != facts.artefact


class SomeDeformableAttention(nn.Module):
    """Samples a map as those of the library do."""

    def forward(self, value: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return nn.functional.grid_sample(value, places, align_corners=False)


def test_maps_are_sampled_in_float32() -> None:
    """In bfloat16, torch 2.13 computes where in 8 bits."""
    network = nn.Sequential(SomeDeformableAttention())
    hub_network_module.sample_in_float(network)
    generator = torch.Generator().manual_seed(0)
    value = torch.rand(1, 4, 40, 40, generator=generator).bfloat16()
    places = (torch.rand(1, 50, 6, 2, generator=generator) * 2 - 1).bfloat16()
    wanted = nn.functional.grid_sample(value.float(), places.float(), align_corners=False)
    assert torch.equal(network[0](value, places), wanted.bfloat16())
    assert torch.equal(network[0](value.float(), places.float()), wanted)
    assert not torch.equal(SomeDeformableAttention()(value, places), wanted.bfloat16())


@pytest.mark.full
@pytest.mark.parametrize("name", ["d_fine-n", "rt_detr_v2-r18"])
def test_bf16_finds_about_the_scores_of_float32(name: str) -> None:
    found, wanted = (
        each.finish(each.infer(each.prepare([IMAGE])), SIZES) for each in (opened(name, "bf16"), opened(name))
    )
    assert found.boxes.isfinite().all()
    torch.testing.assert_close(found.scores, wanted.scores, atol=0.1, rtol=0)


@pytest.mark.parametrize(("field", "options"), [("precision", {"precision": "int3"}), ("size", {"size": (100, 320)})])
def test_bad_options_are_named(field: str, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{field}:"):
        opened("deimv2-atto", **options)  # type: ignore[arg-type]


def test_another_size_and_a_score_threshold() -> None:
    guest = opened("deimv2-atto", size=(256, 352), score=0.99)
    batch = guest.prepare([IMAGE])
    assert batch.pixels.shape == (1, 3, 256, 352)
    assert not guest.finish(guest.infer(batch), SIZES).scores.any()


@pytest.mark.full
def test_weights_of_the_librarys_own_files_are_taken_whole_or_refused(tmp_path: Path) -> None:
    saved = build(MODELS["d_fine-n"], seed=3)
    saved.save_pretrained(tmp_path)
    loaded = build(MODELS["d_fine-n"], 0, tmp_path / "model.safetensors")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in saved.state_dict().items())
    with pytest.raises(ValueError, match=r"weights: .*model\.safetensors does not fill this model"):
        build(MODELS["d_fine-s"], 0, tmp_path / "model.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"bad\.safetensors: not a readable safetensors file"):
        build(MODELS["d_fine-n"], 0, tmp_path / "bad.safetensors")


@pytest.mark.full
@pytest.mark.parametrize("name", ["d_fine-n", "d_fine-s", "rt_detr_v2-r18", "deimv2-s"])
def test_larger_models_detect(name: str) -> None:
    guest = opened(name)
    found = guest.finish(guest.infer(guest.prepare([IMAGE])), SIZES)
    assert found.boxes.shape == (1, 300, 4) and found.boxes.isfinite().all()
    assert found.boxes[..., 2].max() <= 160 and found.boxes[..., 3].max() <= 120


def test_labels_decide_how_many_classes_the_network_has() -> None:
    guest = opened("deimv2-atto", labels=("cat", "dog"))
    found = guest.finish(guest.infer(guest.prepare([IMAGE])), SIZES)
    assert found.labels.max() <= 1 and guest.facts().classes == 2


@pytest.mark.parametrize("name", ["deimv2-atto", *(pytest.param(name, marks=pytest.mark.full) for name in MODELS)])
def test_the_committed_counts_are_those_of_the_built_networks(name: str) -> None:
    (entry,) = (entry for entry in entries() if entry.name == f"hf:{name}")
    facts = opened(name).facts()
    counts = {"parameters": facts.parameters, "buffers": facts.buffers, "macs": facts.macs}
    counts |= layer_counts(facts.layers)
    assert {name: getattr(entry, name) for name in counts} == counts == counted_model(f"hf:{name}")
    assert (entry.height, entry.width, entry.flops) == (facts.height, facts.width, 2 * entry.macs)
