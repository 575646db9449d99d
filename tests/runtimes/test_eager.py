import hashlib
import json

import numpy as np
import pytest
import torch

from paretodet.bench.candidate import Candidate, Staged, Stated
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.spec import to_json
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.layers.device import tf32_settings
from paretodet.network import detector_network
from paretodet.runtimes.eager import Eager

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def small(name="yolo_v3-darknet53-416", **change):
    return spec(name, Override(height=64, labels=("a", "b"), **change))


def candidate(made, weights="random", **options):
    return NetworkCandidate(detector_network(build(made), weights=weights), Eager(**options))


def artifact(made, **options):
    return candidate(made, **options).facts().artefact


def ran(made, **options):
    one = candidate(made, **options)
    return one.finish(one.infer(one.prepare([PHOTO])), torch.tensor([[90.0, 120.0]]))


def test_it_is_a_candidate_with_stages_and_facts():
    one = candidate(small())
    assert isinstance(one, Candidate) and isinstance(one, Staged) and isinstance(one, Stated)


def test_stages_compose_to_infer():
    one = candidate(fill_every_slot(small("ssd-mobilenet_v1-300")))
    batch = one.prepare([PHOTO])
    state = batch
    for _, step in one.stages():
        state = step(state)
    for found, wanted in zip(state, one.infer(batch), strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


def test_folding_and_memory_format_change_no_answer():
    made = small()
    plain = build(made)
    one = candidate(made)
    batch = one.prepare([PHOTO])
    with torch.no_grad():
        torch.testing.assert_close(one.infer(batch).scores, plain(batch).scores, atol=1e-5, rtol=1e-4)


def test_boxes_come_back_in_pixels_of_the_photograph():
    boxes = ran(fill_every_slot(small())).boxes
    assert boxes[..., 0::2].max() <= 120 and boxes[..., 1::2].max() <= 90
    assert boxes.max() > 64  # the canvas is 64 wide: the way back was taken


def test_the_seed_decides_untrained_weights_and_leaves_the_callers_state():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second, other = build(small(), 0), build(small(), 0), build(small(), 1)
    assert torch.equal(torch.get_rng_state(), before)
    key = "backbone.stem.conv.weight"
    assert torch.equal(first.state_dict()[key], second.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_facts_count_the_published_model_not_the_folded_one():
    facts = candidate(spec("yolo_v3-darknet53-320")).facts()
    assert facts.parameters == 61_949_149
    assert facts.buffers == 52_608  # running means and variances: 62,001,757 stored in yolov3.weights
    assert round(2e-9 * facts.macs, 3) == 38.973
    assert (facts.height, facts.width, facts.proposals, facts.classes) == (320, 320, None, 80)


def test_the_artifact_depends_on_what_is_computed():
    made = small("yolo_v3_tiny-416")
    seen = {
        artifact(made),
        artifact(made, precision="bf16"),
        artifact(made, weights="0" * 64),
        artifact(small("yolo_v3_tiny-416", score=0.5)),
        artifact(fill_every_slot(made)),
    }
    assert len(seen) == 5
    assert artifact(small("yolo_v3_tiny-416")) in seen


def test_the_artifact_of_committed_rows_is_unchanged():
    """SHA-256 over spec, weights, runtime, precision and seed."""
    parts = {"spec": to_json(small()), "weights": "random", "runtime": "eager", "precision": "fp32", "seed": 0}
    assert artifact(small()) == hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def test_facts_say_whether_it_is_at_capacity():
    assert candidate(small()).facts().load == "data"
    assert candidate(fill_every_slot(small())).facts().load == "capacity"


def test_bf16_keeps_boxes_in_float32():
    found = ran(fill_every_slot(small()), precision="bf16")
    assert found.boxes.dtype == found.scores.dtype == torch.float32


@pytest.mark.parametrize(("field", "value"), [("precision", "fp8"), ("device", "cuda:99"), ("device", "meta")])
def test_bad_settings_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field}: .*{value}"):
        Eager(**{field: value})


def test_other_threads_than_torchs_are_refused_not_ignored():
    threads = torch.get_num_threads()
    assert Eager(threads=threads).threads == threads
    with pytest.raises(ValueError, match=rf"threads: got {threads + 1}, but torch has {threads} in this process"):
        Eager(threads=threads + 1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_facts_count_layers_by_the_precision_of_their_weights(precision):
    facts = candidate(small("yolo_v3_tiny-416"), precision=precision).facts()
    assert (facts.precision, facts.precision_layers) == (precision, {precision: 13})


@pytest.mark.parametrize(
    ("convolutions", "products", "stated"),
    [(True, False, "convolutions"), (True, True, "convolutions, matrix products"), (False, False, "none")],
)
def test_a_row_of_a_gpu_states_what_may_be_rounded_to_tf32(convolutions, products, stated):
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    try:
        flags[0].allow_tf32, flags[1].allow_tf32 = convolutions, products
        assert tf32_settings("cuda:0") == (("tf32", stated),) and tf32_settings("cpu") == ()
    finally:
        flags[0].allow_tf32, flags[1].allow_tf32 = before
