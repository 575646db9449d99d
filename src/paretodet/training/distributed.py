"""Several processes that train together: their ranks and their communication.

`torchrun` starts the processes and sets their ranks; only this file uses `torch.distributed`. Each process trains on
its share of every batch. The counts that losses are divided by, the gradients and the losses are those of the whole
batch, so that n processes compute what one process computes on the same batch, provided norms are frozen. Trainable
norms use the statistics of the images of their own process, and the saved ones are those of the first process
(synchronized batch norm exists only for CUDA).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from paretodet.errors import InputError
from paretodet.layers.device import known_device
from paretodet.rules.losses import local_normalizer

T = TypeVar("T")
BUCKET = 2**24  # numbers sent together: 64 MiB


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """The rank of this process and the number of processes. With one process nothing is communicated."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0  # among the processes of this machine
    local_processes: int = 1  # on this machine

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.processes:
            raise InputError(
                f"rank: got {self.rank} of {self.processes} processes, allowed 0..{self.processes - 1}",
                "processes-unfit",
            )

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This process's share of every batch, as `loader.batches` takes it."""
        return self.rank, self.processes

    def share(self, images: int) -> int:
        """How many of `images` belong to this process. Raises ValueError if they cannot be divided evenly."""
        if images % self.processes:
            raise InputError(
                f"processes: got {self.processes}, allowed a divisor of the {images} images of a pass", "batch-unfit"
            )
        return images // self.processes

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over the processes, bit-identical on all of them."""
        return tensor if self.processes == 1 else _sum(tensor) / self.processes

    def normalizer(self, count: Tensor, extra: int = 0) -> Tensor:
        """`types.Normalizer` of a batch that the processes share."""
        if self.processes == 1:
            return local_normalizer(count, extra)
        return local_normalizer(_sum(count), extra) / self.processes

    def average_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over the processes.

        This happens after the backward pass and in flat buckets, without `DistributedDataParallel`: gradient
        accumulation, a compiled loss and losses of single images then need no special cases, and every process adds in
        the same order. The cost is that sending does not overlap with the backward pass.
        """
        for bucket in _buckets(gradients) if self.processes > 1 else ():
            flat = _sum(torch.cat([gradient.reshape(-1) for gradient in bucket])) / self.processes
            for gradient, piece in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(piece.view(gradient.shape))

    def broadcast(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace the tensors of every process by those of the first one."""
        for tensor in tensors.values() if self.processes > 1 else ():
            sent = tensor.detach().contiguous()
            dist.broadcast(sent, 0)
            tensor.detach().copy_(sent)

    def gather(self, value: T) -> list[T]:
        """The value of every process, by rank."""
        values: list[Any] = [value] * self.processes
        if self.processes > 1:
            dist.all_gather_object(values, value)
        return values

    def run_on_first(self, function: Callable[[], T]) -> T:
        """Run `function` in the first process; all processes wait for it and return its result or raise its error."""
        if self.processes == 1:
            return function()
        outcome: list[Any] = [_outcome(function)] if self.is_first else [None]
        dist.broadcast_object_list(outcome, 0)
        result, error = outcome[0]
        if error is not None:
            raise error
        return cast(T, result)

    def device(self, kind: torch.device | str) -> torch.device:
        """The device of this process: "cuda" is the GPU with the index of its local rank."""
        device = torch.device(kind)
        by_rank = device.type == "cuda" and device.index is None
        return torch.device("cuda", self.local_rank) if by_rank else device


ONE_PROCESS = ProcessGroup()


def from_env(environment: Mapping[str, str] = os.environ) -> ProcessGroup:
    """The process group that torchrun's environment variables describe; `ONE_PROCESS` if none of them is set.

    Raises ValueError if only some of them are set.
    """
    names = {"rank": "RANK", "processes": "WORLD_SIZE", "local_rank": "LOCAL_RANK"}
    given = {field: environment[name] for field, name in names.items() if name in environment}
    if not given:
        return ONE_PROCESS
    try:
        local = int(environment.get("LOCAL_WORLD_SIZE", 1))  # launchers other than torchrun may not set it
        return ProcessGroup(**{field: int(given[field]) for field in names}, local_processes=local)
    except (KeyError, ValueError) as error:
        got = ", ".join(f"{name}={environment.get(name)}" for name in names.values())
        raise InputError(
            f"environment: got {got}; start several processes with torchrun, which sets all three", "processes-unfit"
        ) from error


@contextmanager
def process_group(device: torch.device | str = "cpu") -> Iterator[ProcessGroup]:
    """Connect the processes that torchrun started, for the duration of the context: with NCCL on CUDA, else with gloo.

    Raises ValueError, before the processes wait for each other, if torch finds no device for this one.
    """
    group = from_env()
    if group.processes == 1:
        yield group
        return
    local_device = _device(group, device)
    if local_device.type == "cuda":
        torch.cuda.set_device(local_device)
    backend = "nccl" if local_device.type == "cuda" else "gloo"
    # The others wait while the first validates; torchrun notices a process that dies.
    dist.init_process_group(
        backend, store=_store(), rank=group.rank, world_size=group.processes, timeout=timedelta(days=1)
    )
    try:
        yield group
    finally:
        dist.destroy_process_group()


def _device(group: ProcessGroup, name: torch.device | str) -> torch.device:
    device = known_device(name)
    if device.type == "cuda" and device.index is not None and group.local_processes > 1:
        count = f"one GPU for {group.local_processes} processes of a machine"
        raise InputError(
            f"device: got '{device}', {count}, allowed cuda (one GPU for each process) or cpu", "device-missing"
        )
    local = group.device(device)
    if local.type == "cuda" and local.index >= (available := torch.cuda.device_count()):
        which = f"process {group.local_rank + 1} of this machine needs '{local}'"
        raise InputError(
            f"device: {which}, but torch finds only {available} CUDA GPUs; start one process for each GPU",
            "device-missing",
        )
    return local


def _store() -> Store:
    """The store through which processes find each other. torchrun's survives a restart, so the keys of each restart
    get a prefix, or addresses of dead processes would be found.
    """
    store, _, processes = next(rendezvous("env://"))
    return PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)} of {processes}", store)


def _outcome(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return function(), None
    except Exception as error:
        error.__cause__ = None  # the error is pickled and sent; its cause may not be picklable
        return None, error


@torch.compiler.disable  # type: ignore[untyped-decorator]  # sending breaks out of a compiled loss
@torch.no_grad()
def _sum(tensor: Tensor) -> Tensor:
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total


def _buckets(tensors: Sequence[Tensor], max_numbers: int = BUCKET) -> Iterator[list[Tensor]]:
    """In order; a bucket has one dtype and at most `max_numbers` numbers, or a single larger tensor."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (sum(t.numel() for t in (*bucket, tensor)) > max_numbers or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
