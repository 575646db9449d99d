"""A profile of one candidate, from what its process answers."""

from typing import Any

import pytest

from paretodet.bench import profiling
from paretodet.bench.job import Job, Plan
from paretodet.records.profile import LayerTime
from paretodet.records.roofline import LayerWork

WORK = LayerWork("conv", "Conv2d", macs=1_000_000, weights=10, inputs=1000, outputs=1000)
CEILINGS = {"fp32_gflops": 100.0, "copy_gb_s": 10.0}


class FakeWorker:
    """A process whose calls take 4 ms, in which the layer takes 3 ms for these images."""

    images: int | None = None

    def __init__(self, *_: Any) -> None:
        return None

    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ready(self) -> None:
        return None

    def ask(self, command: str, *args: Any) -> dict[str, Any]:
        times = {"infer_ms": [4.0] * 3, "finish_ms": [0.0] * 3}
        return {
            "load": {"facts": {"device": "cpu", "runtime": "made", "precision": "fp32"}, "layers": (WORK,)},
            "burst": {"seconds": 10.0, "contended": [], "throttled": [], **times},
            "profile": {"layers": (LayerTime("conv", "Conv2d", 3.0, self.images),)},
        }[command]


@pytest.mark.parametrize(("stated", "computed"), [(None, 3), (4, 4)])
def test_work_and_floors_are_of_the_images_that_a_call_computes(
    stated: int | None, computed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of them, or as many as an artifact of four images a call is filled up to."""
    monkeypatch.setattr(profiling, "Worker", FakeWorker)
    monkeypatch.setattr(profiling, "preload", lambda jobs: None)
    monkeypatch.setattr(profiling, "ceilings_of", lambda *_: CEILINGS)
    monkeypatch.setattr(FakeWorker, "images", stated)
    found = profiling.profile(Job(name="it", make=object, batch=3), Plan())
    (layer,) = found.layers
    assert (found.batch, found.images, layer.macs) == (3, computed, computed * WORK.macs)
    assert layer.floor_ms == found.floor_ms == pytest.approx(computed * 2 * WORK.macs / 100 / 1e6)
    assert found.latency_ms == 4.0 and found.difference_pct == pytest.approx(-25.0)
