"""The run folder: one training at a time, and which validation labels an earlier call used."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from paretodet.schema import Count, Open, SchemaError, read
from paretodet.training import checkpoint
from paretodet.training.distributed import ProcessGroup
from paretodet.writing import check_folder, held, sweep

RUN, CHECKPOINTS = "run.json", "checkpoints"
LOCK = ".training.lock"


class ValidationSource(Open, frozen=True):
    """The validation labels of an earlier call, and the update from which on they were used."""

    sha256: str
    since: Count = 0


class _RunFile(Open, frozen=True):
    val: ValidationSource | None


@contextmanager
def locked_folder(folder: Path, group: ProcessGroup) -> Iterator[None]:
    """Keep other trainings out of `folder` for the duration of the context.

    The first process creates the folder if needed and removes what killed trainings left incomplete. A folder that was
    created here and in which nothing was written is removed again. Raises ValueError if another training is running in
    the folder, or if it cannot be written.
    """
    with ExitStack() as stack:
        group.run_on_first(lambda: _lock(folder, stack))
        yield


def previous_validation(folder: Path) -> ValidationSource | None:
    """What `run.json` says of validation; None without one. Raises SchemaError naming the file if it is damaged."""
    path = folder / RUN
    try:
        return read(path, _RunFile).val if path.exists() else None
    except SchemaError as error:
        raise SchemaError(f"{error.message}; delete the file, training writes a new one", error.id) from None


def _lock(folder: Path, stack: ExitStack) -> None:
    created = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
    check_folder(folder, "out")
    stack.callback(_remove_empty, created)
    busy = f"out: another training is running in {folder}; wait until it has ended, or choose another folder with --out"
    stack.enter_context(held(folder / LOCK, busy=busy))
    sweep(folder)
    checkpoint.remove_unfinished(folder / CHECKPOINTS)


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
