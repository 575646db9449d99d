"""Averages of weights in a checkpoint are taken where it is clear which they are, and never dropped in silence."""

import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from paretodet.weights import files
from paretodet.weights.averages import averages
from paretodet.weights.formats import detectron, torch_file
from paretodet.weights.safe import WeightsError

RAW = {"a.weight": torch.zeros(2)}


def average(prefix=""):
    return {f"{prefix}a.weight": torch.ones(2)}


def read(folder, checkpoint):
    torch.save(checkpoint, folder / "w.pth")
    file = files.read(folder / "w.pth")
    return file.item, {name: values.tolist() for name, values in file.tensors.items()}


@pytest.mark.parametrize(
    "item",
    [
        {"shadow": average(), "decay": 0.9},
        {"state_dict": average(), "updates": torch.tensor(3)},
        {"module": average("module.") | {"n_averaged": torch.tensor(7)}},
        {"model": {"shadow": average("_orig_mod.")}},
    ],
)
def test_averages_deeper_in_their_item_are_taken(tmp_path, item):
    assert read(tmp_path, {"model": RAW, "ema": item}) == ("ema", {"a.weight": [1.0, 1.0]})


UNCLEAR = {
    "ema.shadow_params": {"model": RAW, "ema": {"shadow_params": [torch.ones(2)], "decay": 0.9}},
    "ema.slow": {"model": RAW, "ema": {"fast": average(), "slow": average()}},
    "ema.backup": {"model": RAW, "ema": {"shadow": average(), "backup": {"n": 1, "a.weight": torch.ones(2)}}},
    "ema_weights.params": {"model": RAW, "ema_weights": {"decay": 0.9, "params": average()}},
    "callbacks.EMACallback.weights": {"state_dict": RAW, "callbacks": {"EMACallback": {"weights": average()}}},
    "callbacks.StochasticWeightAveraging.average_model_state": {
        "state_dict": RAW,
        "callbacks": {"StochasticWeightAveraging": {"average_model_state": average()}},
    },
    "optimizer_states.0.ema": {"state_dict": RAW, "optimizer_states": [{"ema": (torch.ones(2),)}]},
    "averaged_model.module": {"model": RAW, "averaged_model": {"module": average()}},
    "modelEMA": {"model": RAW, "modelEMA": average()},
    "model.ema": {"model": {"net": RAW, "ema": average()}},
    "model_ema": {"model": RAW, "ema": average(), "model_ema": average()},
}


@pytest.mark.parametrize("item", UNCLEAR)
def test_averages_that_are_not_clear_are_refused_by_their_item(tmp_path, item):
    with pytest.raises(WeightsError, match=rf"w\.pth: its item {re.escape(item)} has averages") as error:
        read(tmp_path, UNCLEAR[item])
    assert error.value.id == "weights-format"


def test_what_only_sounds_like_averages_of_weights_is_no_hindrance(tmp_path):
    moments = {"state": {0: {"exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)}}, "square_avg": [torch.ones(2)]}
    numbers = {"loss_ema": {"box": torch.tensor(0.2)}, "ema": {"decay": torch.tensor(0.9)}}
    lightning = {"averaging_state": {"n_averaged": torch.tensor(3)}, "callbacks": {"EMAWeightAveraging": {}}}
    assert read(tmp_path, {"model": RAW, "optimizer": moments} | numbers | lightning) == ("model", {"a.weight": [0, 0]})


def test_the_state_of_an_averaged_model_is_read(tmp_path):
    averaged = AveragedModel(nn.Linear(2, 1))
    for checkpoint in (averaged.state_dict(), {"state_dict": averaged.state_dict()}):
        _, found = read(tmp_path, checkpoint)
        assert set(found) == {"weight", "bias"}


def test_parts_that_torch_compiled_have_their_own_names(tmp_path):
    state = {"a._orig_mod.weight": torch.ones(2), "b.my_orig_mod.weight": torch.ones(2)}
    torch.save(state, tmp_path / "w.pth")
    assert set(torch_file.read(tmp_path / "w.pth")) == {"a.weight", "b.my_orig_mod.weight"}
    torch.save(state | {"a.weight": torch.ones(2)}, tmp_path / "w.pth")
    assert len(torch_file.read(tmp_path / "w.pth")) == 3  # none replaces another


def test_averages_in_a_pickle_of_arrays_are_refused(tmp_path):
    weights = {"model": {"a": np.zeros(2)}, "__author__": "somebody"}
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(weights | {"lr_ema": {"a": np.float32(1)}}, protocol=2))
    assert set(detectron.read(path)) == {"a"}
    path.write_bytes(pickle.dumps(weights | {"model_ema": {"a": np.ones(2)}}, protocol=2))
    with pytest.raises(WeightsError, match=r"w\.pkl: its item model_ema has averages"):
        detectron.read(path)


def test_items_inside_of_one_another_end():
    inside, deep, many = [], [], []
    inside.append(inside)
    for _ in range(100_000):
        deep = [deep]
    for _ in range(30):
        many = [many] * 10
    assert averages({"ema": [inside, deep, many]}, torch.is_tensor) == []
    assert averages(3, torch.is_tensor) == []
