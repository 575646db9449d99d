"""The parts of long work: what is being done, and results that are kept, so that interrupted work continues."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paretodet.export.cache import cached
from paretodet.reports import Item, counted, report

RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class BuildSteps:
    """`key` is what decides the results (`export.cache`); without one, nothing is kept."""

    of: str = ""  # what is being made, for the reports
    key: Mapping[str, Any] | None = None
    is_trained: bool = True  # else the network's weights are random

    def value(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, a JSON value: now, or when it was called for this name."""
        if self.key is None:
            return make()
        entry = cached({**self.key, "step": name}, lambda folder: _write(folder, make()))
        return json.loads((entry.folder / RESULT).read_text(encoding="utf-8"))

    @contextmanager
    def folder(self, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
        """The folder that `make` filled: now, or when it was called for this name."""
        if self.key is not None:
            yield cached({**self.key, "step": name}, make).folder
            return
        with TemporaryDirectory() as temporary:
            make(Path(temporary))
            yield Path(temporary)

    def report(self, what: str) -> None:
        report(f"{self.of}: {what}")

    def counted(self, what: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        """The items, each reported with the time that is left."""
        return counted(f"{self.of}: {what}", items, total)


def _write(folder: Path, value: Any) -> None:
    (folder / RESULT).write_text(json.dumps(value), encoding="utf-8")
