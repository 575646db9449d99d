"""Programs of torch.export as artifacts, for servers: everything up to the scores of all boxes."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, starmap
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch.fx.interpreter import Interpreter
from torch.fx.node import Node

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.export import pt2
from paretodet.export.graph import PT2, exported_graph
from paretodet.export.layers import Layer, Shown
from paretodet.export.target import Suppression, Target, Written
from paretodet.export.unselected import MEANINGS, PIXELS, check_one_stage

ARTIFACT = "detector.pt2"
ROOT = "detector."  # of the modules of a node


class TorchTarget(Target):
    """One file, batch norms folded, of a one-stage detector without its suppression, an operator of this package.

    Its input is `pixels` [B, 3, H, W], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "torch"
    runtime: ClassVar[str] = "eager"
    suppression: ClassVar[Suppression] = "out"
    precisions: ClassVar[tuple[str, ...]] = tuple(PT2)
    libraries: ClassVar[tuple[str, ...]] = ()
    extras: ClassVar[str] = ""
    shows_layers: ClassVar[bool] = True
    meanings: ClassVar[Mapping[str, str]] = MEANINGS

    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        check_one_stage(detector.spec, "torch.export")
        form = PT2[config.precision or "fp32"]
        entry = exported_graph(detector, batch=batch, form=form)
        shutil.copyfile(entry.folder / form, folder / ARTIFACT)
        return Written(artifact=ARTIFACT)

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """A program refers to no file; what torch would run as code while it loads one is refused."""
        pt2.check(folder / artifact)

    def layers(
        self,
        path: Path,
        layers: Sequence[Layer],
        *,
        calls: Sequence[Layer],
        open_program: Callable[[Path], Any],
        feed: dict[str, np.ndarray],
    ) -> Iterator[Shown]:
        module = pt2.load(path).module(check_guards=False)
        nodes = {node: layer for layer, node in _calls(module.graph.nodes) if layer in set(layers)}
        recorder = _NodeRecorder(module, nodes)
        with torch.inference_mode():
            recorder.run(torch.from_numpy(feed[PIXELS]))
        yield from starmap(Shown, recorder.found.items())


class _NodeRecorder(Interpreter):
    """Keeps the outputs of some nodes as they are before another one changes them in place."""

    def __init__(self, module: torch.nn.Module, calls: Mapping[Node, Layer]) -> None:
        super().__init__(module)
        self.calls, self.found = calls, dict[Layer, np.ndarray]()

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        if n in self.calls:
            self.found[self.calls[n]] = output.float().clone().numpy()
        return output


def _calls(nodes: Iterable[Node]) -> Iterator[tuple[Layer, Node]]:
    """Every call of a module, and the node that it returns, its last."""
    times = dict[str, int]()
    for (module, _), group in groupby((node for node in nodes if _module(node)[0]), _module):
        times[module] = times.get(module, -1) + 1
        *_, last = group
        yield (module, times[module]), last


def _module(node: Node) -> tuple[str, str]:
    """The path in the detector of the innermost module of a node, and which call of it this is."""
    stack = node.meta.get(pt2.STACK) or {}
    if node.op != "call_function" or not stack:
        return "", ""
    key, (path, _) = list(stack.items())[-1]
    return path.partition("@")[0].removeprefix(ROOT), key.partition("@")[2]
