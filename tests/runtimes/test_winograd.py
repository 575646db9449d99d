import pytest
from runtime_subject import FAMILIES, assert_finds_what_eager_finds, narrow_weights, opened

from paretodet.errors import InputError
from paretodet.layers import winograd
from paretodet.layers.winograd import WinogradConv2d
from paretodet.runtimes.winograd import Winograd


@pytest.mark.parametrize("name", FAMILIES[1:])  # the first has no such convolution
def test_it_finds_what_eager_finds(tmp_path, monkeypatch, name):
    monkeypatch.setattr(winograd, "GAIN", 0)  # narrow convolutions too
    path = narrow_weights(name, tmp_path)
    parts = opened(path, "winograd").session.module.modules()
    assert sum(isinstance(part, WinogradConv2d) for part in parts) > 0
    counts = [opened(path, runtime).facts().precision_layers for runtime in ("winograd", "eager")]
    assert counts[0] == counts[1] and counts[0].keys() == {"fp32"}
    assert_finds_what_eager_finds(path, "winograd")


def test_its_rows_are_not_those_of_eager(tmp_path):
    path = narrow_weights(FAMILIES[0], tmp_path)
    one, other = (opened(path, runtime).facts() for runtime in ("winograd", "eager"))
    assert (one.runtime, one.precision) == ("winograd", "fp32")
    assert one.artefact != other.artefact and one.parameters == other.parameters


@pytest.mark.parametrize(("option", "value"), [("precision", "bf16"), ("device", "cuda")])
def test_an_option_that_it_lacks_is_named(option, value):
    with pytest.raises(InputError, match=option):
        Winograd(**{option: value})
