"""The progress bar of a training: its text, and when it is drawn."""

import time
from dataclasses import replace

import pytest

from paretodet.cli.training import PAUSE_S, TrainingBar, short
from paretodet.training.loop import Started, Updated
from paretodet.training.step import Update
from paretodet.training.validator import ValidationProgress


@pytest.fixture
def bar(monkeypatch):
    """A hidden bar that records what it draws, with a clock to set."""
    made = TrainingBar("ssd", shown=False)
    made.drawn, made.now = [], 100.0
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(made, "draw", lambda *what: made.drawn.append(what))
    return made


def updated(step, **terms):
    return Updated(step=step, images=8, update=Update(terms, gradient_norm=1.0, lr=0.1), seconds=2.0, waited=0.0)


def test_a_bar_shows_loss_terms_speed_and_time_left(bar):
    bar(Started(step=0, steps=100, resumed=None))
    bar(updated(1, **{"stage1/box": 1.0, "stage1/score": 3.0}))
    bar.now += PAUSE_S
    bar(updated(2, **{"stage1/box": 2.0, "stage1/score": 3.0}))
    assert bar.drawn[0] == ("train     ssd", 0, 100, "")
    assert bar.drawn[-1] == (
        "train     ssd", 2, 100, "4.0 images/s  loss 4.5 (box 1.5  score 3)  about 3 min left"
    )  # fmt: skip


def test_a_bar_is_drawn_at_intervals_and_at_the_end(bar):
    bar(Started(step=0, steps=4, resumed=None))
    for step in range(1, 5):
        bar(updated(step, **{"stage1/box": 1.0}))
        bar.now += PAUSE_S / 10
    assert [done for _, done, *_ in bar.drawn] == [0, 1, 4]


def test_a_bar_shows_validation(bar):
    bar(ValidationProgress(step=30, done=2, total=9))
    assert bar.drawn == [("validate  ssd", 2, 9, "after 30 updates")]


def test_a_term_of_early_updates_only_is_shown(bar):
    bar(Started(step=0, steps=2, resumed=None))
    for step, terms in ((1, {"stage1/box": 1.0, "stage1/pull": 1.0}), (2, {"stage1/box": 1.0})):
        bar(replace(updated(step), update=Update(terms, gradient_norm=1.0, lr=0.1)))
    assert "(box 1  pull 0.5)" in bar.drawn[-1][-1]


def test_terms_of_two_stages_keep_their_stage():
    stages = ["stage1/box", "stage1/score", "stage2/box", "stage2/score", "masks/mask"]
    assert short(stages) == [*stages[:4], "mask"] and short(stages[:2]) == ["box", "score"]
