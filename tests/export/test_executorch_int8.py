"""Programs in int8 by PT2E: which layers are observed, which stay in float, and what XNNPACK executes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.export.calibration import Feed
from paretodet.export.executorch import write_pt2
from paretodet.export.executorch_int8 import ExecuTorchInt8, QuantizedProgram, kept
from paretodet.export.pte import executed_by
from paretodet.export.steps import BuildSteps

VALUES = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Head(nn.Module):
    """Two maps through the same layer and a sum, then a last layer and its decoding."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        large = F.relu6(self.first(values / 2))
        small = F.relu(self.shared(F.max_pool2d(large, 2)))
        total = F.leaky_relu(self.shared(large), 0.1) + large
        cells = [self.last(each).flatten(2).transpose(1, 2) for each in (total, small)]
        return torch.cat(cells, 1).sigmoid() * 4 + 1, large


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = Head().eval()
    file = tmp_path_factory.mktemp("head") / "head.pt2"
    write_pt2(torch.export.export(head, (VALUES,), strict=True), file)
    return file


def feeds() -> list[Feed]:
    return [{"values": VALUES.numpy()}, {"values": 0.5 * VALUES.numpy()}]


@pytest.fixture(scope="module")
def quantized(path: Path) -> QuantizedProgram:
    for library in ("executorch", "torchao"):
        pytest.importorskip(library, reason="executorch is not installed: pip install 'paretodet[executorch]'")
    return ExecuTorchInt8().calibrate(path, feeds(), BuildSteps())  # type: ignore[arg-type]


def test_the_last_layers_and_what_follows_them_stay_in_float(path: Path) -> None:
    graph = torch.export.load(path).graph
    names = kept(graph)
    found = [str(node.target) for node in graph.nodes if node.name in names and node.op == "call_function"]
    assert found.count("aten.conv2d.default") == 2 and {"aten.sigmoid.default", "aten.mul.Tensor"} < {*found}
    assert not {"aten.max_pool2d.default", "aten.leaky_relu.default"} & {*found}


@pytest.mark.full
def test_layers_with_the_weights_of_another_are_observed_too(quantized: QuantizedProgram) -> None:
    """And an activation that is fused into its layer is observed behind it."""
    assert (len(quantized.layers), quantized.total) == (3, 5)
    clamp = next(
        node for node in quantized.prepared.graph.nodes if "hardtanh" in str(node.target) or "relu6" in str(node.target)
    )
    assert clamp.args[0].name in quantized.layers


@pytest.mark.full
def test_ranges_are_means_over_batches(quantized: QuantizedProgram) -> None:
    observers = [each for each in quantized.prepared.modules() if hasattr(each, "averaging_constant")]
    (first,) = (each for each in observers if abs(each.max_val - 0.375 * VALUES.max()) < 1e-6)
    assert first.min_val == pytest.approx(0.375 * VALUES.min().item(), abs=1e-6)


@pytest.mark.full
def test_layers_return_to_float(quantized: QuantizedProgram) -> None:
    """Of the feed whose values are all inside the mean of the ranges."""
    wanted, found = quantized.original()(feeds()[1])[1], {}
    for in_float in ((), quantized.layers[:1]):
        found[in_float] = np.abs(quantized.program(in_float)(feeds()[1])[1] - wanted).max()
    rounded, in_float = found.values()
    assert 1e-3 < rounded < 0.1 and in_float < rounded


@pytest.mark.full
def test_xnnpack_executes_what_is_observed(quantized: QuantizedProgram, tmp_path: Path) -> None:
    quantized.save(tmp_path / "all.pte", ())
    assert executed_by(tmp_path / "all.pte").layers == {"int8": 3, "fp32": 2}
    quantized.save(tmp_path / "some.pte", quantized.layers[:1])
    assert executed_by(tmp_path / "some.pte").layers == {"int8": 2, "fp32": 3}
