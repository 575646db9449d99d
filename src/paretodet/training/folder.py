"""The folder of a training: one training at a time, and what an earlier call wrote about itself."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from paretodet.schema import Count, Open, SchemaError, read
from paretodet.training import checkpoint
from paretodet.training.distributed import ProcessGroup
from paretodet.writing import check_folder, held, sweep

RUN, CHECKPOINTS = "run.json", "checkpoints"
LOCKED = ".training.lock"


class ValidationSource(Open, frozen=True):
    """By what an earlier call judged, and from which update on."""

    sha256: str
    since: Count = 0


class _RunFile(Open, frozen=True):
    val: ValidationSource | None


@contextmanager
def taken(folder: Path, world: ProcessGroup) -> Iterator[None]:
    """While the block lasts no other training can begin in `folder`, which is made where it is not there; its first
    process sees to that, and clears away what killed ones left. A folder in which nothing was written goes again.

    Raises ValueError where another training is in it, or it cannot be written.
    """
    with ExitStack() as stack:
        world.once(lambda: _take(folder, stack))
        yield


def earlier_judgement(folder: Path) -> ValidationSource | None:
    """None where nothing was judged. Raises SchemaError naming the file where it is damaged."""
    path = folder / RUN
    try:
        return read(path, _RunFile).val if path.exists() else None
    except SchemaError as error:
        raise SchemaError(f"{error.message}; delete the file, it is written anew") from None


def _take(folder: Path, stack: ExitStack) -> None:
    made = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
    check_folder(folder, "out")
    stack.callback(_remove_empty, made)
    busy = f"out: another training is in {folder}; wait until it has ended, or give another --out"
    stack.enter_context(held(folder / LOCKED, busy=busy))
    sweep(folder)
    checkpoint.sweep(folder / CHECKPOINTS)


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
