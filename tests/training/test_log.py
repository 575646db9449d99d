"""Metrics of a training: means over updates, each recorded once even after crashes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paretodet.training.log import JsonLines, Recorder, mean_metrics, read_lines, run_key
from paretodet.training.loop import Saved, Started, Updated
from paretodet.training.step import Update
from paretodet.training.tensorboard import TensorBoard


def updated(step, loss=1.0, images=4, seconds=2.0, waited=0.5):
    update = Update({"stage1/box": loss, "stage1/class": 2 * loss}, gradient_norm=3.0, lr=0.1 * step)
    return Updated(step=step, images=images, update=update, seconds=seconds, waited=waited)


class RecordingTracker:
    def __init__(self):
        self.recorded, self.starts = [], []

    def begin(self, step):
        self.starts.append(step)

    def scalars(self, step, values):
        self.recorded.append((step, values))


def test_metrics_are_means_over_updates_and_rates_over_their_time():
    found = mean_metrics([updated(1, loss=1.0), updated(2, loss=3.0, seconds=6.0, waited=1.5)])
    assert found["loss/stage1/box"] == 2.0 and found["loss/stage1/class"] == 4.0 and found["loss"] == 6.0
    assert found["lr"] == pytest.approx(0.2) and found["gradient_norm"] == 3.0
    assert found["images_per_s"] == 8 / 8.0 and found["data_wait_share"] == 2 / 8.0


def test_a_term_of_early_updates_is_zero_in_the_others():
    """YOLO v2's pull term may end between two records."""
    first, second = updated(1), updated(2)
    first.update.terms["stage1/pull"] = 0.5
    for updates in ([first, second], [second, first]):
        assert mean_metrics(updates)["loss/stage1/pull"] == 0.25 and mean_metrics(updates)["loss"] == 3.25
    assert "loss/stage1/pull" not in mean_metrics([second])


@pytest.mark.parametrize(
    ("every", "first", "last", "wanted"),
    [(2, 4, 7, [(4, 4.0), (6, 5.5)]), (10, 1, 13, [(10, 5.5), (13, 12.0)])],  # 13 is the last update
)
def test_metrics_are_recorded_at_intervals_and_after_the_last_update(every, first, last, wanted):
    kept = RecordingTracker()
    recorder = Recorder([kept], every=every)
    recorder(Started(step=first - 1, steps=max(8, last), resumed=None))
    for step in range(first, last + 1):
        recorder(updated(step, loss=step))
        recorder(Saved(step=step, path=Path()))
    assert kept.starts == [first - 1]
    assert [(step, values["loss/stage1/box"]) for step, values in kept.recorded] == wanted


def test_lines_after_the_checkpoint_are_removed(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = JsonLines(path)
    lines.begin(0)
    for step in (10, 20, 30):
        lines.scalars(step, {"loss": 1 / step})
    lines.close()
    path.write_text(path.read_text() + '{"step": 40, "lo')  # a crash while a line was written
    assert [line["step"] for line in read_lines(path)] == [10, 20, 30]
    again = JsonLines(path)
    again.begin(20)
    again.scalars(30, {"loss": 7.0})
    again.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 10, "loss": 0.1},
        {"step": 20, "loss": 0.05},
        {"step": 30, "loss": 7.0},
    ]


def test_a_number_that_is_not_finite_is_null(tmp_path):
    lines = JsonLines(tmp_path / "log.jsonl")
    lines.begin(0)
    lines.scalars(10, {"gradient_norm": float("inf"), "loss": 1.5})
    lines.close()
    assert read_lines(tmp_path / "log.jsonl") == [{"step": 10, "gradient_norm": None, "loss": 1.5}]


def test_a_missing_log_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "none") == []


def test_a_run_key_does_not_show_the_path(tmp_path):
    assert run_key(tmp_path) == run_key(tmp_path / "." / "x" / "..") != run_key(tmp_path / "x")
    assert str(tmp_path).strip("/").split("/")[0] not in run_key(tmp_path)


def test_a_run_key_is_that_of_the_folder_and_not_of_its_path(tmp_path):
    """In containers on two machines both trainings have the same path."""
    first = run_key(tmp_path / "run")
    assert run_key(Path(shutil.copytree(tmp_path / "run", tmp_path / "copy"))) == first
    shutil.rmtree(tmp_path / "run")
    assert run_key(tmp_path / "run") != first
    (tmp_path / "run" / ".tracking-id").write_text("a' or b")
    assert re.fullmatch("[0-9a-f]{16}", run_key(tmp_path / "run"))


def test_tensorboard_files_have_what_was_recorded(tmp_path):
    board = TensorBoard(tmp_path)
    board.begin(0)
    board.scalars(5, {"loss/stage1/box": 0.25})
    board.image(5, "samples/one", np.full((4, 6, 3), 200, np.uint8))
    board.close()
    found = {value.tag: value for event in events(tmp_path) for value in event.summary.value}
    assert found["loss/stage1/box"].simple_value == 0.25
    assert (found["samples/one"].image.height, found["samples/one"].image.width) == (4, 6)
    assert {event.step for event in events(tmp_path) if event.summary.value} == {5}


def test_tensorboard_discards_records_of_an_earlier_training(tmp_path):
    board = TensorBoard(tmp_path)
    board.begin(0)
    board.close()
    assert [event.session_log.status for event in events(tmp_path) if event.step == 1][-1] == 1  # START: purges from 1


FULL = """
import resource, sys
from pathlib import Path
from paretodet.training.tensorboard import TensorBoard
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
board = TensorBoard(Path(sys.argv[1]))
board.begin(0)
for step in range(1000):
    board.scalars(step, {"loss": 0.5})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_raises_in_the_tensorboard_tracker(tmp_path):
    """tensorboardX's thread would end, and the training would wait forever."""
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "File too large" in done.stderr


def events(folder):
    """TensorBoard's records: length, its check, the event, its check."""
    from tensorboardX.proto.event_pb2 import Event

    content = next(folder.glob("events.out.tfevents.*")).read_bytes()
    place = 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "little")
        yield Event.FromString(content[place + 12 : place + 12 + size])
        place += size + 16
