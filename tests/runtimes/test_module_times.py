"""Times of modules and of nodes, with a clock that the test moves."""

from typing import Any

import torch
from torch import Tensor, nn

from paretodet.records.profile import LayerTime
from paretodet.runtimes.module_times import BETWEEN, module_times
from paretodet.runtimes.onnx_session import node_precisions, node_times

MS = 1_000_000


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Inner(nn.Module):
    """Takes as many ms as a call has run before, and 1."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.calls = clock, 0

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += (1 + self.calls) * MS
        self.calls += 1
        return x + 1


class Outer(nn.Module):
    """Takes 2 ms itself, before and after its two calls of the inner one."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.inner = clock, Inner(clock)

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += MS
        x = self.inner(self.inner(x))
        self.clock.now += MS
        return x


def test_a_modules_time_is_without_that_of_the_modules_it_calls() -> None:
    clock = Clock()
    network = Outer(clock)

    def finish(x: Tensor) -> Tensor:
        clock.now += 5 * MS
        return x

    times = module_times(network, [("run", network), ("finish", finish)], torch.zeros(1), calls=3, clock=clock)
    assert times == (
        LayerTime("(run)", BETWEEN, 0.0),
        LayerTime("", "Outer", 2.0),
        LayerTime("inner", "Inner", 11.0),  # 1 + 2, which do not count; 3 + 4, 5 + 6, 7 + 8
        LayerTime("(finish)", BETWEEN, 5.0),
    )
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_outputs_travel_from_stage_to_stage_unchanged() -> None:
    seen: list[Any] = []
    network = Outer(Clock())
    module_times(network, [("run", network), ("see", seen.append)], torch.zeros(1), calls=1, clock=Clock())
    assert seen == [2, 2]


def node(name: str, at: int, lasted: int, operator: str = "Conv") -> dict[str, Any]:
    args = {"op_name": operator, "node_index": "7"}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": at, "dur": lasted, "args": args}


def test_a_nodes_time_is_the_median_of_its_runs_after_the_first() -> None:
    runs = [{"cat": "Session", "name": "model_run", "ts": at, "dur": 90} for at in (100, 200, 300, 400)]
    nodes = [node("a", 110, 9000), node("a", 210, 1000), node("a", 310, 3000), node("a", 410, 2000)]
    nodes += [node("b", at + 50, 500, "Add") for at in (100, 200, 300, 400)]
    nodes += [node("b", 260, 500, "Add")]  # a loop runs it twice in one run
    loading = [{"cat": "Session", "name": "model_loading_array", "ts": 1, "dur": 50}]
    assert node_times(loading + runs + nodes, calls=3) == (LayerTime("a", "Conv", 2.0), LayerTime("b", "Add", 0.5))


def test_a_node_without_a_name_has_its_operator_and_place() -> None:
    run = {"cat": "Session", "name": "model_run", "ts": 0, "dur": 90}
    assert node_times([run, node("", 5, 1000)], calls=1) == (LayerTime("Conv 7", "Conv", 1.0),)


def test_nodes_of_a_profile_tell_their_precision() -> None:
    """By the type of the first input; nodes that are no layers, and what happens around a node, do not count."""

    def event(name: str, operator: str, *types: str) -> dict[str, Any]:
        arguments = {"op_name": operator, "node_index": "1", "input_type_shape": [{kind: [1]} for kind in types]}
        return {"cat": "Node", "name": name, "args": arguments}

    events = [
        event("a_kernel_time", "Conv", "float", "float"),
        event("a_kernel_time", "Conv", "float", "float"),  # called again
        event("b_kernel_time", "MatMul", "float16", "float16"),
        event("c_kernel_time", "QLinearConv", "uint8", "float"),
        event("d_kernel_time", "Add", "double"),
        event("e_fence_before", "Conv", "double"),
        {"cat": "Session", "name": "model_run", "args": {}},
    ]
    assert node_precisions(events) == {"fp32": 1, "fp16": 1, "int8": 1}
