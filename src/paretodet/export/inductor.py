"""What is compiled by Inductor: its C++ compiler, its files in our cache, and the precision of its layers."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from paretodet.export.cache import cached
from paretodet.extras import MissingExtra
from paretodet.layers.precision import PRECISIONS

INSTALL = {  # by sys.platform: the C++ compiler that Inductor calls, and how to install it
    "darwin": ("clang++", "xcode-select --install"),
    "win32": ("cl", "the Build Tools for Visual Studio"),
    "linux": ("g++", "apt-get install g++"),
}
LAYERS = frozenset(  # operators of a frozen graph that are convolutions or matrix products
    (
        "_convolution_pointwise", "_convolution_pointwise_", "_convolution_transpose_pointwise", "_linear_pointwise",
        "_mkl_linear", "_scaled_dot_product_flash_attention_for_cpu", "addmm", "baddbmm", "bmm", "convolution", "mm",
    )
)  # fmt: skip
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def require_compiler(user: str) -> None:
    """Raises MissingExtra if there is no C++ compiler. `user` is what needs it, as the sentence names it."""
    usual, install = INSTALL.get(sys.platform, INSTALL["linux"])
    compiler = os.environ.get("CXX", usual)
    if shutil.which(compiler) is None:
        raise MissingExtra(f"{user} needs a C++ compiler, and there is no {compiler}: {install}")


@contextmanager
def inductor_cache() -> Iterator[Path]:
    """Inductor keeps its files in a folder of our cache, for all networks; the environment variable is restored."""
    before = os.environ.get(CACHE_VARIABLE)
    key = {"kind": "inductor", "torch": torch.__version__}
    folder = cached(key, lambda folder: None, native=True).folder
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        os.environ.pop(CACHE_VARIABLE)
        if before is not None:
            os.environ[CACHE_VARIABLE] = before


def layer_precisions(graph: GraphModule) -> Counter[str]:
    """Number of convolutions and matrix products of a frozen graph by the precision of their operands."""
    names: dict[torch.dtype | None, str] = {kind: name for name, kind in PRECISIONS.items()}
    kinds = [_operand_dtype(graph, node) for node in graph.graph.nodes if _is_layer(node)]
    return Counter(names.get(kind, str(kind).removeprefix("torch.")) for kind in kinds)


def _is_layer(node: Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "").partition(".")[0] in LAYERS


def _operand_dtype(graph: GraphModule, node: Node) -> torch.dtype | None:
    operands = (_value(graph, each) for each in node.all_input_nodes)
    return next((operand.dtype for operand in operands if isinstance(operand, Tensor)), None)


def _value(graph: GraphModule, node: Node) -> object:
    """A constant, or what stands for the result of a node."""
    return reduce(getattr, str(node.target).split("."), graph) if node.op == "get_attr" else node.meta.get("val")
