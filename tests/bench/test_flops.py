import pytest
import torch
from torch import Tensor, nn

from paretodet.bench.flops import count, parameters

MIB = 2**20


def conv_macs(conv: nn.Conv2d, height: int, width: int) -> int:
    """Multiply-adds by the definition, for an output of height x width."""
    kernel = conv.kernel_size[0] * conv.kernel_size[1] * conv.in_channels // conv.groups
    return kernel * conv.out_channels * height * width


@pytest.mark.parametrize(
    ("conv", "side"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), 16),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False), 8),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), 16),
        (nn.Conv2d(8, 4, 3, padding=6, dilation=6), 16),
        (nn.Conv2d(8, 4, 1), 16),
    ],
)
def test_convolutions_by_the_definition(conv: nn.Conv2d, side: int) -> None:
    work = count(conv, torch.zeros(1, conv.in_channels, 16, 16))
    assert work.macs == conv_macs(conv, side, side)
    assert work.macs_other == 0
    assert work.uncounted == ()
    assert work.activations_mib == pytest.approx(4 * conv.out_channels * side**2 / MIB)


@pytest.mark.parametrize("shape", [(5, 20), (2, 5, 20)])
@pytest.mark.parametrize("bias", [True, False])
def test_fully_connected_by_the_definition(shape: tuple[int, ...], bias: bool) -> None:
    work = count(nn.Linear(20, 7, bias=bias), torch.zeros(shape))
    assert work.macs == torch.Size(shape[:-1]).numel() * 20 * 7


class Mixed(nn.Module):
    """A network with a frozen norm, a matrix product outside a layer, and operators without a formula."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)
        self.norm.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu().flatten(2)
        return self.fc((x @ x.mT).softmax(-1))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_other_macs_are_separate_and_uncounted_operators_are_named(device: str) -> None:
    with torch.device(device):
        work = count(Mixed().eval(), torch.zeros(1, 3, 6, 6))
    assert work.macs == 27 * 4 * 16 + 4 * 4 * 5
    assert work.macs_other == 4 * 16 * 4
    assert {"aten.relu", "aten._softmax"} <= set(work.uncounted)
    assert not {"aten.flatten", "aten.view", "aten.t", "aten.transpose"} & set(work.uncounted)


def test_a_frozen_norms_gamma_and_beta_are_parameters() -> None:
    network = Mixed()
    work = count(network.eval(), torch.zeros(1, 3, 6, 6))
    assert work.parameters == (27 * 4 + 4) + (4 + 4) + (4 * 5 + 5)
    assert work.buffers == 4 + 4  # mean and variance; the counter of batches is not included


def test_the_layers_are_what_was_counted_by_name() -> None:
    with torch.device("meta"):
        work = count(Mixed().eval(), torch.zeros(1, 3, 6, 6))
    assert sum(layer.macs for layer in work.layers) == (work.macs or 0) + work.macs_other
    assert [(layer.name, layer.operator) for layer in work.layers] == [
        ("conv", "convolution"), ("", "bmm"), ("fc", "addmm"),
    ]  # fmt: skip


def test_a_convolution_reads_and_writes_every_value_once() -> None:
    (layer,) = count(nn.Conv2d(3, 8, 3, padding=1, groups=1), torch.zeros(2, 3, 16, 16)).layers
    assert (layer.weights, layer.inputs, layer.outputs) == (3 * 8 * 9 + 8, 2 * 3 * 16 * 16, 2 * 8 * 16 * 16)


def test_views_of_weights_are_weights_and_products_of_activations_are_not() -> None:
    _, product, linear = count(Mixed().eval(), torch.zeros(1, 3, 6, 6)).layers
    assert (product.weights, product.inputs, product.outputs) == (0, 2 * 4 * 16, 4 * 4)
    assert (linear.weights, linear.inputs, linear.outputs) == (4 * 5 + 5, 4 * 4, 4 * 5)


def test_a_layer_that_is_called_twice_is_two_layers() -> None:
    layer = nn.Conv2d(3, 3, 1)
    assert [each.name for each in count(nn.Sequential(layer, layer), torch.zeros(1, 3, 2, 2)).layers] == ["0", "0"]


def test_no_hook_is_left_behind() -> None:
    network = Mixed().eval()
    count(network, torch.zeros(1, 3, 6, 6))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(3, 3)
    assert parameters(nn.Sequential(layer, layer)) == 12


def test_macs_are_none_if_nothing_can_be_counted() -> None:
    work = count(nn.Softmax(-1), torch.zeros(2, 3))
    assert work.macs is None
    assert work.uncounted == ("aten._softmax",)


def test_work_of_a_batch_is_a_multiple() -> None:
    network = Mixed().eval()
    one, four = (count(network, torch.zeros(b, 3, 6, 6)) for b in (1, 4))
    assert four.macs == 4 * (one.macs or 0)
    assert four.macs_other == 4 * one.macs_other
