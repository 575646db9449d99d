"""Counts the work of a network: parameters, multiply-adds of every layer, activations, operators without a formula."""

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from paretodet.layers.calls import watched_calls
from paretodet.records.roofline import LayerWork

aten = torch.ops.aten
CONVOLUTIONS = (aten.convolution, aten._convolution, aten.cudnn_convolution, aten.mkldnn_convolution)
CONNECTED = (aten.mm, aten.addmm, aten.linear)
MIB = 2**20


class Operations(NamedTuple):
    """The cost of one forward pass. `macs` is None, not 0, if nothing could be counted."""

    parameters: int
    buffers: int
    macs: int | None  # convolutions and fully connected layers
    macs_other: int  # other operators with a formula: attention, batched products
    uncounted: tuple[str, ...]  # operators without a formula; views and allocations are not listed
    activations_mib: float  # sum of all operator outputs, as in Huang et al. 2017, section 3.4 ("memory")
    layers: tuple[LayerWork, ...] = ()  # every call that multiplies and adds; their macs are `macs` and `macs_other`


def count(module: nn.Module, *inputs: Any) -> Operations:
    """Runs `module(*inputs)` once without gradients and counts. On the meta device this takes no memory."""
    counter = _OperationCounter(module)
    with torch.no_grad(), counter, watched_calls(module, counter.running.append, counter.running.pop):
        module(*inputs)
    macs = counter.macs["counted"]
    return Operations(
        parameters(module),
        buffers(module),
        macs or None,
        counter.macs["other"],
        tuple(sorted(counter.uncounted)),
        counter.bytes / MIB,
        tuple(counter.layers),
    )


def parameters(module: nn.Module) -> int:
    """The number of learnable values: every `Parameter`, also a frozen norm's gamma and beta; shared ones once."""
    return sum(p.numel() for p in module.parameters())


def buffers(module: nn.Module) -> int:
    """The number of values that are stored with the weights but not learned: running statistics, not counters."""
    kept = {id(p) for p in module.parameters()}
    stored = module.state_dict(keep_vars=True).values()
    return sum(t.numel() for t in stored if id(t) not in kept and t.is_floating_point())


class _OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: Counter[str] = Counter()
        self.uncounted: set[str] = set()
        self.bytes = 0
        self.layers: list[LayerWork] = []
        self.running: list[str] = []
        self.stored = {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._overloadpacket not in flop_registry and func.has_kernel_for_dispatch_key(_COMPOSITE):
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        if not _is_view_or_allocation(func):
            self._count(func, args, kwargs, out)
        return out

    def _count(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        packet = func._overloadpacket
        self.bytes += sum(t.numel() * t.element_size() for t in tree_leaves(out) if isinstance(t, Tensor))
        if packet in flop_registry:
            kind = "counted" if packet in CONVOLUTIONS + CONNECTED else "other"
            macs = flop_registry[packet](*args, **kwargs, out_val=out) // 2
            self.macs[kind] += macs
            self.layers.append(self._layer(packet.__name__, macs, (args, kwargs), out))
        else:
            self.uncounted.add(str(packet))

    def _layer(self, operator: str, macs: int, inputs: Any, out: Any) -> LayerWork:
        read = [tensor for tensor in tree_leaves(inputs) if isinstance(tensor, Tensor)]
        weights = sum(tensor.numel() for tensor in read if _storage(tensor) in self.stored)
        outputs = sum(tensor.numel() for tensor in tree_leaves(out) if isinstance(tensor, Tensor))
        moved = sum(tensor.numel() for tensor in read) - weights
        return LayerWork(self.running[-1] if self.running else "", operator, macs, weights, moved, outputs)


def _storage(tensor: Tensor) -> int:
    """Equal for a tensor and its views, also on the meta device."""
    return int(tensor.untyped_storage()._cdata)


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "lift_fresh", "_to_copy")


def _is_view_or_allocation(func: Any) -> bool:
    """Whether an output aliases an input that is not written, or the operator only allocates."""
    views = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
    return views or func._overloadpacket.__name__ in _ALLOCATIONS
