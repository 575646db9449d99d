"""Several processes, one training: which of how many this one is, and what they tell each other.

`torchrun` starts them and tells each its rank; no other file knows `torch.distributed`. Each learns from its share of
every batch; counts that losses are divided by, gradients and losses are those of the whole batch, so that n processes
do what one does with the same batch where norms are frozen. Norms that are learned use the statistics of their own
process's images, and what is kept of them is the first process's (synchronised ones exist for CUDA alone).
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

from paretodet.layers.device import known_device
from paretodet.rules.losses import local_normalizer

T = TypeVar("T")
BUCKET = 2**24  # numbers sent together: 64 MiB


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """Which process this is of how many, and which of how many on its machine. One alone tells nobody and waits for
    nobody.
    """

    rank: int = 0
    processes: int = 1
    local: int = 0
    neighbors: int = 1  # itself among them

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.processes:
            raise ValueError(f"rank: got {self.rank} of {self.processes} processes, allowed 0 up to but not that")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This process's share of every batch, as `data.batches` takes it."""
        return self.rank, self.processes

    def share(self, images: int) -> int:
        """How many of `images` are this process's. Raises ValueError where they cannot be shared evenly."""
        if images % self.processes:
            raise ValueError(f"processes: got {self.processes}, allowed a divisor of the {images} images of a pass")
        return images // self.processes

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over the processes, the same on each to the bit."""
        return tensor if self.processes == 1 else _sum(tensor) / self.processes

    def divisor(self, count: Tensor, extra: int = 0) -> Tensor:
        """`types.Divisor` of a shared batch."""
        return (
            local_normalizer(count, extra)
            if self.processes == 1
            else local_normalizer(_sum(count), extra) / self.processes
        )

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Each gradient becomes the mean over the processes.

        After the backward pass and in flat pieces, without `DistributedDataParallel`: accumulated parts, a compiled
        loss and a look at single images then need no exceptions, and every process has the same sums in the same
        order. What it costs is the overlap of sending with the backward pass.
        """
        for bucket in _buckets(gradients) if self.processes > 1 else ():
            flat = _sum(torch.cat([gradient.reshape(-1) for gradient in bucket])) / self.processes
            for gradient, piece in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(piece.view(gradient.shape))

    def spread(self, tensors: Mapping[str, Tensor]) -> None:
        """Every process's tensors become the first one's."""
        for tensor in tensors.values() if self.processes > 1 else ():
            sent = tensor.detach().contiguous()
            dist.broadcast(sent, 0)
            tensor.detach().copy_(sent)

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        found: list[Any] = [value] * self.processes
        if self.processes > 1:
            dist.all_gather_object(found, value)
        return found

    def once(self, do: Callable[[], T]) -> T:
        """What `do` gives or raises in the first process, given or raised in all; nobody goes on before it is done."""
        if self.processes == 1:
            return do()
        from_env: list[Any] = [_outcome(do)] if self.first else [None]
        dist.broadcast_object_list(from_env, 0)
        result, error = from_env[0]
        if error is not None:
            raise error
        return cast(T, result)

    def device(self, kind: torch.device | str) -> torch.device:
        """The device of this process: its own GPU of those of its machine."""
        chosen = torch.device(kind)
        own_one = chosen.type == "cuda" and chosen.index is None
        return torch.device("cuda", self.local) if own_one else chosen


ALONE = ProcessGroup()


def from_env(environment: Mapping[str, str] = os.environ) -> ProcessGroup:
    """What torchrun says of this process; `ALONE` where it says nothing.

    Raises ValueError where it says only a part.
    """
    names = {"rank": "RANK", "processes": "WORLD_SIZE", "local": "LOCAL_RANK"}
    given = {field: environment[name] for field, name in names.items() if name in environment}
    if not given:
        return ALONE
    try:
        here = int(environment.get("LOCAL_WORLD_SIZE", 1))  # who starts processes otherwise may not say it
        return ProcessGroup(**{field: int(given[field]) for field in names}, neighbors=here)
    except (KeyError, ValueError) as error:
        said = ", ".join(f"{name}={environment.get(name)}" for name in names.values())
        raise ValueError(
            f"environment: got {said}, start several processes by torchrun, which sets all three"
        ) from error


@contextmanager
def together(device: torch.device | str = "cpu") -> Iterator[ProcessGroup]:
    """The processes that torchrun started, joined while the context lasts: by NCCL on CUDA, else by gloo.

    Raises ValueError, before they wait for each other, where torch sees no device for this one of several.
    """
    world = from_env()
    if world.processes == 1:
        yield world
        return
    own_device = _device(world, device)
    if own_device.type == "cuda":
        torch.cuda.set_device(own_device)
    backend = "nccl" if own_device.type == "cuda" else "gloo"
    # The others wait while the first judges; one that dies is torchrun's to notice.
    dist.init_process_group(
        backend, store=_store(), rank=world.rank, world_size=world.processes, timeout=timedelta(days=1)
    )
    try:
        yield world
    finally:
        dist.destroy_process_group()


def _device(world: ProcessGroup, name: torch.device | str) -> torch.device:
    device = known_device(name)
    if device.type == "cuda" and device.index is not None and world.neighbors > 1:
        one = f"one GPU for {world.neighbors} processes of a machine"
        raise ValueError(f"device: got '{device}', {one}, allowed cuda, which gives each its own, or cpu")
    its = world.device(device)
    if its.type == "cuda" and its.index >= (seen := torch.cuda.device_count()):
        which = f"process {world.local + 1} of this machine"
        raise ValueError(f"device: {which} needs '{its}', but torch sees only {seen} CUDA GPUs here, allowed one each")
    return its


def _store() -> Store:
    """Where processes find each other. torchrun's outlives a restart: addresses of the dead must not be found there."""
    store, _, processes = next(rendezvous("env://"))
    return PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)} of {processes}", store)


def _outcome(do: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return do(), None
    except Exception as error:
        error.__cause__ = None  # it travels; what caused it need not
        return None, error


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the counts of a compiled loss leave its graph to be sent
@torch.no_grad()
def _sum(tensor: Tensor) -> Tensor:
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total


def _buckets(tensors: Sequence[Tensor], most: int = BUCKET) -> Iterator[list[Tensor]]:
    """In order, of one dtype each and of `most` numbers, or of one larger tensor."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (sum(t.numel() for t in (*bucket, tensor)) > most or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
