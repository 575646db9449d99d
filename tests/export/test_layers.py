"""The first layer whose output differs is found in the order of the calls, also where a layer is called again."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from paretodet.errors import InputError
from paretodet.export import layers
from paretodet.export.layers import Layer, Shown, first_divergence
from paretodet.types import Images


class Small(nn.Module):
    """A convolution, a shared one on two maps, and a fully connected layer on regions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shared, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, images: Images) -> torch.Tensor:
        first = self.stem(images.pixels.float())
        maps = self.shared(first), self.shared(first[..., ::2, ::2])
        return self.out(maps[1].flatten(2).transpose(1, 2))


IMAGES = Images(torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8) % 251, torch.full((2, 2), 8.0))
CALLS = [("stem", 0), ("shared", 0), ("shared", 1), ("out", 0)]


@pytest.fixture
def module() -> Small:
    torch.manual_seed(0)
    return Small().eval().requires_grad_(False)


def artifact(module: Small, changes: dict[Layer, float], asked: list[Layer] | None = None):
    """The outputs of the module, some of them multiplied; regions in another order."""
    outputs = layers._outputs(module, IMAGES, CALLS)

    def show(wanted: Sequence[Layer], *, calls: Sequence[Layer]) -> Iterator[Shown]:
        assert calls == CALLS
        for layer in wanted:
            if asked is not None:
                asked.append(layer)
            values = outputs[layer] * changes.get(layer, 1.0)
            yield Shown(layer, values[:, ::-1] if layer[0] == "out" else values)

    return show


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({("stem", 0): 1.1}, "stem"),
        ({("shared", 1): 1.1}, "shared (call 2)"),
        ({("shared", 0): 1.1, ("out", 0): 2.0}, "shared"),
        ({("out", 0): 1.1}, "out"),
    ],
)
def test_the_first_one_is_named(module: Small, changes: dict[Layer, float], name: str) -> None:
    found = first_divergence(module, IMAGES, artifact(module, changes), bound=0.01)
    assert found is not None and found.layer == name and found.error == pytest.approx(0.1, rel=0.05)


def test_equal_outputs_have_none_and_every_layer_is_compared_once(
    module: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "GROUP", 2)
    asked: list[Layer] = []
    assert first_divergence(module, IMAGES, artifact(module, {}, asked), bound=0.01) is None
    assert asked == CALLS


def test_an_artifact_that_shows_no_layer_is_an_error(module: Small) -> None:
    with pytest.raises(InputError, match="none of its layers"):
        first_divergence(module, IMAGES, lambda layers, calls: (), bound=0.01)


def test_another_shape_and_values_that_are_no_numbers_differ(module: Small) -> None:
    for value in (np.zeros(3, np.float32), np.full((2, 4, 6, 6), np.nan, np.float32)):
        shown = [Shown(("stem", 0), value)]
        found = first_divergence(module, IMAGES, lambda layers, calls, shown=shown: shown, bound=0.01)
        assert found is not None and found.layer == "stem"


def test_an_activation_that_is_fused_into_a_layer_is_applied_to_both(module: Small) -> None:
    values = layers._outputs(module, IMAGES, CALLS)["stem", 0]
    low, high = (float(each) for each in np.quantile(values, (0.25, 0.75)))
    for cut, name in ((values.clip(low, high), None), (values.clip(low), "stem"), (values, "stem")):
        shown = [Shown(("stem", 0), cut, partial(np.clip, a_min=low, a_max=high))]
        found = first_divergence(module, IMAGES, lambda layers, calls, shown=shown: shown, bound=0.01)
        assert (found and found.layer) == name
