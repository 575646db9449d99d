import threading

import pytest
import torch
from bench_guests import Honest

from paretodet.bench.clock import busy_wait
from paretodet.bench.guard import Aftermath, GuestError, Outputs, check_settled
from paretodet.types import Detections


def detections(batch: int = 1, kept: int = 3) -> Detections:
    return Detections(
        torch.zeros(batch, kept, 4), torch.zeros(batch, kept), torch.zeros(batch, kept, dtype=torch.int64)
    )


def test_honest_outputs_pass_again_and_again() -> None:
    outputs = Outputs(2)
    for _ in range(3):
        outputs.check(detections(2))


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (("boxes", "scores"), "finish returned tuple, not Detections"),
        (detections(2), "B = 1"),
        (detections()._replace(scores=torch.zeros(1, 4)), "are not"),
        (detections()._replace(boxes=torch.zeros(1, 3, 5)), "are not"),
        (detections()._replace(scores=torch.zeros(3)), "are not"),
        (detections()._replace(scores=torch.full((1, 3), float("nan"))), "scores holds NaN"),
        (detections()._replace(boxes=torch.full((1, 3, 4), float("nan"))), "boxes holds NaN"),
        (detections()._replace(labels=torch.zeros(1, 3, dtype=torch.int64, device="meta")), "labels is on meta"),
        (detections()._replace(masks=torch.full((1, 3, 2, 2), float("nan"))), "masks holds NaN"),
    ],
)
def test_broken_outputs_are_refused(broken: Detections, law: str) -> None:
    with pytest.raises(GuestError, match=law):
        Outputs(1).check(broken)


def test_infinite_boxes_are_not_nan() -> None:
    Outputs(1).check(detections()._replace(boxes=torch.full((1, 3, 4), float("inf"))))


def test_a_changing_shape_is_refused() -> None:
    outputs = Outputs(1)
    outputs.check(detections())
    with pytest.raises(GuestError, match="changed between calls"):
        outputs.check(detections(kept=4))


def test_an_idle_process_settles_with_little_work() -> None:
    used = Aftermath(detections()).settle(0.001)
    check_settled([used, used, used], 1.0)


def test_work_that_goes_on_is_seen() -> None:
    thread = threading.Thread(target=busy_wait, args=(0.4,))
    thread.start()
    used = Aftermath(detections()).settle(0.1)
    thread.join()
    assert used > 0.015
    with pytest.raises(GuestError, match="returned before its work was done"):
        check_settled([used], 0.05)


def test_one_busy_moment_of_three_is_forgiven() -> None:
    check_settled([0.0, 0.2, 0.001], 0.02)
    with pytest.raises(GuestError):
        check_settled([0.2, 0.0, 0.2], 0.02)


def test_detections_that_change_later_are_seen() -> None:
    found = detections()
    timer = threading.Timer(0.01, lambda: found.boxes.add_(1))
    timer.start()
    with pytest.raises(GuestError, match="boxes changed after finish"):
        Aftermath(found).settle(0.2)
    timer.join()


def test_the_honest_guest_is_honest() -> None:
    guest = Honest()
    Outputs(2).check(guest.finish(guest.infer(2), torch.zeros(2, 2)))
