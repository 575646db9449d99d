"""Names and lists of values give every combination once."""

from dataclasses import replace
from pathlib import Path

import pytest

from paretodet.config import CandidateConfig
from paretodet.detectors import catalogue
from paretodet.sources.published import PUBLISHED
from paretodet.sweep.grid import DEFAULT, all_candidates, grid


def of(*names: str) -> list[CandidateConfig]:
    return [CandidateConfig(name=name) for name in names]


def names(configs: tuple[CandidateConfig, ...]) -> list[str]:
    return [config.name for config in configs]


def test_without_lists_duplicates_are_removed() -> None:
    assert names(grid(of("ssd-mobilenet_v1-300", "a.onnx", "ssd-mobilenet_v1-300"))) == [
        "ssd-mobilenet_v1-300",
        "a.onnx",
    ]


def test_sizes_and_proposals_multiply_if_they_apply() -> None:
    bases = of("faster_rcnn-resnet101-300-s16-p50", "ssd-mobilenet_v1-300")
    result = grid(bases, proposals=[10, 20], sizes=[(300, 300), (600, 800)])
    assert names(result) == [
        "faster_rcnn-resnet101-300-s16-p10",
        "faster_rcnn-resnet101-300-s16-p20",
        "faster_rcnn-resnet101-600x800-s16-p10",
        "faster_rcnn-resnet101-600x800-s16-p20",
        "ssd-mobilenet_v1-300",
        "ssd-mobilenet_v1-600x800",
    ]


def test_a_third_party_model_keeps_its_name_and_gets_the_canvas() -> None:
    assert grid(of("hf:d_fine-n", "my:make"), sizes=[(320, 352)]) == (
        CandidateConfig(name="hf:d_fine-n", height=320, width=352),
        CandidateConfig(name="my:make", height=320, width=352),
    )


def test_without_sizes_a_canvas_that_is_set_stays() -> None:
    configs = [CandidateConfig(name=name, height=320, width=352) for name in ("hf:d_fine-n", "ssd-mobilenet_v1-300")]
    assert grid(configs, scores=[0.1]) == tuple(replace(config, score=0.1) for config in configs)


def test_configs_keep_the_weights_of_their_candidate() -> None:
    seeds = [CandidateConfig(name="rfcn-resnet101-300-s16-p50", weights=Path(f"{seed}.safetensors")) for seed in (0, 1)]
    result = grid(seeds, proposals=[10, 20])
    assert [(config.name[-3:], str(config.weights)) for config in result] == [
        ("p10", "0.safetensors"),
        ("p20", "0.safetensors"),
        ("p10", "1.safetensors"),
        ("p20", "1.safetensors"),
    ]


def test_score_thresholds_multiply_for_every_candidate() -> None:
    result = grid(of("faster_rcnn-resnet101-300-s16-p50", "hf:d_fine-n"), proposals=[10, 20], scores=[0.01, 0.3])
    assert [(config.name, config.score) for config in result] == [
        ("faster_rcnn-resnet101-300-s16-p10", 0.01),
        ("faster_rcnn-resnet101-300-s16-p10", 0.3),
        ("faster_rcnn-resnet101-300-s16-p20", 0.01),
        ("faster_rcnn-resnet101-300-s16-p20", 0.3),
        ("hf:d_fine-n", 0.01),
        ("hf:d_fine-n", 0.3),
    ]


def test_options_that_are_not_listed_stay() -> None:
    config = CandidateConfig(name="hf:d_fine-n", score=0.2, precision="bf16", threads=1)
    assert grid([config]) == (config,)


def test_proposals_without_a_detector_that_has_them_are_an_error() -> None:
    with pytest.raises(ValueError, match="proposals: .*ssd-mobilenet_v1-300, hf:d_fine-n"):
        grid(of("ssd-mobilenet_v1-300", "hf:d_fine-n"), proposals=[10])


def test_the_default_set_is_a_subset_of_all_candidates() -> None:
    assert set(DEFAULT) <= set(all_candidates()) == {*catalogue.names(), *PUBLISHED}
    assert [name.startswith("hf:") for name in DEFAULT[-3:]] == [False, True, True]
