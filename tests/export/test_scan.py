"""The scan for layers that stay in float, on a network whose boxes move where some layers are in int8."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paretodet.export.cache import VARIABLE
from paretodet.export.calibration import CalibrationFeeds, Feed
from paretodet.export.quantizer import Quantized, Run
from paretodet.export.scan import (
    ENOUGH,
    GROUPS,
    MIN_COMPARED,
    SAMPLE,
    detections_of,
    scan,
    stated_scan,
    write_scanned,
)
from paretodet.export.steps import BuildSteps
from paretodet.reports import listening
from paretodet.transforms.resize_policy import Stretch

LAYERS = tuple(f"layer {number}" for number in range(3 * GROUPS))


class Moved(Quantized):
    """Boxes [1, N + 1, 4] that move by `shifts` px for every layer in int8, and by `rest` px where any is.

    The last one is an empty slot. It is interrupted after the variant number `last`.
    """

    layers = LAYERS
    total = len(LAYERS) + 3

    def __init__(
        self, shifts: dict[str, float], count: int = MIN_COMPARED, rest: float = 0.0, last: int | None = None
    ) -> None:
        self.shifts, self.count, self.rest, self.last = shifts, count, rest, last
        self.tried, self.calls = list[frozenset[str]](), 0

    def original(self) -> Run:
        return self._moved(0.0)

    def program(self, in_float: Collection[str]) -> Run:
        if len(self.tried) == self.last:
            raise KeyboardInterrupt
        self.tried.append(frozenset(in_float))
        return self._moved(self.rest + sum(shift for layer, shift in self.shifts.items() if layer not in in_float))

    def save(self, path: Path, in_float: Collection[str]) -> None:
        path.write_text(" ".join(in_float))

    def _moved(self, shift: float) -> Run:
        left = 20.0 * np.arange(self.count + 1, dtype=np.float32) + shift
        boxes = np.stack((left, 0 * left, left + 10, 0 * left + 10), 1)[None]
        scores = np.full((1, self.count + 1), 0.5, np.float32)
        scores[0, -1] = 0  # an empty slot
        outputs = boxes.astype(np.float32), scores, np.zeros(scores.shape, np.int64)

        def run(feed: Feed) -> tuple[np.ndarray, ...]:
            self.calls += 1
            return outputs

        return run


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> CalibrationFeeds:
    path = tmp_path_factory.mktemp("images") / "1.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return CalibrationFeeds(paths=(path,), fit=Stretch(height=8, width=8))


def scanned(network: Moved, feeds: CalibrationFeeds, **options: Any) -> tuple[str, ...]:
    return scan(network, feeds, detections_of, BuildSteps(**options)).in_float


def test_all_layers_are_in_int8_where_detections_agree(feeds: CalibrationFeeds) -> None:
    network = Moved({LAYERS[5]: 0.5})
    assert scanned(network, feeds) == () and len(network.tried) == 1


def test_the_groups_that_move_boxes_stay_in_float(feeds: CalibrationFeeds) -> None:
    """Two of them, of which the one alone is not enough."""
    network = Moved({LAYERS[4]: 4.0, LAYERS[-1]: 2.0, LAYERS[20]: 0.2})
    assert scanned(network, feeds) == (*LAYERS[3:6], *LAYERS[-3:])
    assert network.tried[0] == frozenset() and len(network.tried) == len(set(network.tried)) == 1 + GROUPS + 1


def test_most_layers_stay_in_int8(feeds: CalibrationFeeds) -> None:
    network = Moved(dict.fromkeys(LAYERS[:30], 0.3))
    assert len(scanned(network, feeds)) == 21 and 48 - 21 > network.total / 2 > 48 - 24


def test_groups_that_change_nothing_do_not_stay_in_float(feeds: CalibrationFeeds) -> None:
    network = Moved({LAYERS[4]: 3.0}, rest=2.0)
    assert scanned(network, feeds) == LAYERS[3:6]


def test_too_few_boxes_do_not_tell(feeds: CalibrationFeeds) -> None:
    network = Moved({LAYERS[4]: 4.0}, count=MIN_COMPARED // 2 - 1)
    assert scanned(network, feeds) == () and len(network.tried) == 1


def test_groups_are_compared_on_as_many_images_as_have_enough_boxes(feeds: CalibrationFeeds) -> None:
    """And all layers, and what was found, on all images."""
    many = CalibrationFeeds(paths=feeds.paths * 10, fit=feeds.fit)
    network = Moved({LAYERS[4]: 4.0}, count=SAMPLE // 4)  # in int8 as many again
    assert scanned(network, many) == LAYERS[3:6]
    assert network.calls == 10 + 10 + GROUPS * 2 + 10


def test_a_scan_that_was_interrupted_continues(
    feeds: CalibrationFeeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    shifts = {LAYERS[4]: 4.0, LAYERS[-1]: 2.0}
    with pytest.raises(KeyboardInterrupt):
        scanned(Moved(shifts, last=5), feeds, key={"network": 1})
    again, other = Moved(shifts), Moved(shifts)
    assert scanned(again, feeds, key={"network": 1}) == scanned(other, feeds, key={"network": 2})
    assert len(again.tried) == len(other.tried) - 5


def test_untrained_weights_are_not_scanned(feeds: CalibrationFeeds, tmp_path: Path) -> None:
    for is_trained, in_float in ((True, 3), (False, 0)):
        network = Moved({LAYERS[4]: 4.0})
        write_scanned(network, tmp_path / "int8", feeds, BuildSteps(is_trained=is_trained))
        assert len((tmp_path / "int8").read_text().split()) == 2 * in_float and bool(network.tried) == is_trained
        assert stated_scan(tmp_path).startswith(f"{in_float} of 48 " if is_trained else "untrained weights")


def test_what_is_done_is_reported(feeds: CalibrationFeeds) -> None:
    lines = list[str]()
    with listening(lines.append):
        scanned(Moved({LAYERS[4]: 4.0}), feeds, of="int8")
    assert all(line.startswith("int8: ") for line in lines)
    assert sum("group" in line for line in lines) == GROUPS and "1 of 1" in lines[0]


def test_the_first_images_fill_up_the_last_batch_of_feeds(feeds: CalibrationFeeds, tmp_path: Path) -> None:
    paths = tuple(tmp_path / f"{gray}.png" for gray in (10, 20, 30))
    for path in paths:
        Image.fromarray(np.full((8, 8, 3), int(path.stem), np.uint8)).save(path)
    three = CalibrationFeeds(paths=paths, fit=feeds.fit, batch=2)
    made: list[Feed] = list(three)
    assert len(three) == len(made) == 2 and {feed["pixels"].shape for feed in made} == {(2, 3, 8, 8)}
    assert [feed["pixels"][:, 0, 0, 0].tolist() for feed in made] == [[10, 20], [30, 10]]
    assert made[0]["sizes"].tolist() == [[8, 8], [8, 8]] and 0.95 < ENOUGH < 1
