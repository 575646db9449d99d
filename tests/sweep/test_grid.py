"""Names and lists of values become every combination, once."""

from pathlib import Path

import pytest

from paretodet.config import CandidateConfig
from paretodet.detectors import catalogue
from paretodet.sources.published import PUBLISHED
from paretodet.sweep.grid import DEFAULT, everything, grid


def of(*names: str) -> list[CandidateConfig]:
    return [CandidateConfig(name=name) for name in names]


def names(configs: tuple[CandidateConfig, ...]) -> list[str]:
    return [config.name for config in configs]


def test_without_lists_names_stay_as_they_are_each_once() -> None:
    assert names(grid(of("ssd-mobilenet_v1-300", "a.onnx", "ssd-mobilenet_v1-300"))) == [
        "ssd-mobilenet_v1-300",
        "a.onnx",
    ]


def test_sizes_and_proposals_multiply_where_they_apply() -> None:
    asked = of("faster_rcnn-resnet101-300-s16-p50", "ssd-mobilenet_v1-300")
    found = grid(asked, proposals=[10, 20], sizes=[(300, 300), (600, 800)])
    assert names(found) == [
        "faster_rcnn-resnet101-300-s16-p10",
        "faster_rcnn-resnet101-300-s16-p20",
        "faster_rcnn-resnet101-600x800-s16-p10",
        "faster_rcnn-resnet101-600x800-s16-p20",
        "ssd-mobilenet_v1-300",
        "ssd-mobilenet_v1-600x800",
    ]


def test_a_guest_keeps_its_name_and_is_told_the_canvas() -> None:
    assert grid(of("hf:d_fine-n", "my:make"), sizes=[(320, 352)]) == (
        CandidateConfig(name="hf:d_fine-n", height=320, width=352),
        CandidateConfig(name="my:make", height=320, width=352),
    )


def test_weights_go_with_their_candidate_so_that_two_of_one_detector_stay_two() -> None:
    seeds = [CandidateConfig(name="rfcn-resnet101-300-s16-p50", weights=Path(f"{seed}.safetensors")) for seed in (0, 1)]
    found = grid(seeds, proposals=[10, 20])
    assert [(config.name[-3:], str(config.weights)) for config in found] == [
        ("p10", "0.safetensors"),
        ("p20", "0.safetensors"),
        ("p10", "1.safetensors"),
        ("p20", "1.safetensors"),
    ]


def test_thresholds_multiply_for_guests_too_and_leave_names_alone() -> None:
    found = grid(of("faster_rcnn-resnet101-300-s16-p50", "hf:d_fine-n"), proposals=[10, 20], scores=[0.01, 0.3])
    assert [(config.name, config.score) for config in found] == [
        ("faster_rcnn-resnet101-300-s16-p10", 0.01),
        ("faster_rcnn-resnet101-300-s16-p10", 0.3),
        ("faster_rcnn-resnet101-300-s16-p20", 0.01),
        ("faster_rcnn-resnet101-300-s16-p20", 0.3),
        ("hf:d_fine-n", 0.01),
        ("hf:d_fine-n", 0.3),
    ]


def test_what_is_set_already_stays() -> None:
    config = CandidateConfig(name="hf:d_fine-n", score=0.2, precision="bf16", threads=1)
    assert grid([config]) == (config,)


def test_proposals_for_none_that_has_any_is_an_error() -> None:
    with pytest.raises(ValueError, match="proposals: none of ssd-mobilenet_v1-300, hf:d_fine-n has any"):
        grid(of("ssd-mobilenet_v1-300", "hf:d_fine-n"), proposals=[10])


def test_the_default_set_is_in_everything_and_ends_with_two_guests() -> None:
    assert set(DEFAULT) <= set(everything()) == {*catalogue.names(), *PUBLISHED}
    assert [name.startswith("hf:") for name in DEFAULT[-3:]] == [False, True, True]
