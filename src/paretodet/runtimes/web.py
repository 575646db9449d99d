"""onnxruntime-web in a headless Chromium: ONNX files, and detectors of the catalogue exported to one.

The browser runs on this machine and uses no network. A call sends its tensors to the page over a WebSocket and receives
the outputs. Both are part of the latency; the settings of a row state how long the way takes (`transfer_ms`).
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import torch

from paretodet.errors import InputError, words
from paretodet.export.cache import cached, stamp
from paretodet.extras import MissingExtra
from paretodet.onnx_references import references
from paretodet.records.profile import LayerTime
from paretodet.runtimes import chromium, operators
from paretodet.runtimes.graph import Feed, GraphRuntime, Port, Program
from paretodet.runtimes.onnx_session import LAYERS, node_precisions, node_times
from paretodet.runtimes.page_server import Content, PageServer, WebSocket

LIBRARY, TESTED = "onnxruntime-web", "1.30.0"
FOLDER = "PARETODET_ORT_WEB"  # the environment variable with the folder of the library
ENTRY = "dist/ort.wasm.bundle.min.mjs"
SCRIPT = Path(__file__).with_name("web.js")
PAGE = b'<!doctype html><meta charset="utf-8"><title>paretodet</title><script type="module" src="web.js"></script>'
START = 120.0  # s in which the browser must open the page
ECHOES = 9  # measurements of the transfer, of which the median is stated; as many before are not counted
WORD = 8  # bytes: tensors start at multiples
TYPES = {"float32": "float", "float64": "double"}  # names of the page that ONNX has others for


@dataclass(frozen=True, kw_only=True)
class Web(GraphRuntime):
    """WebAssembly with SIMD, in float32. It has threads because the page is isolated from other origins."""

    name: ClassVar[str] = "web"
    build_s: ClassVar[float] = 20.0
    timed_forms: ClassVar[tuple[str, ...]] = GraphRuntime.forms
    libraries: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs on cpu", "option-unsupported")

    @classmethod
    def require(cls, form: str) -> None:
        super().require(form)
        library()
        chromium.program()

    def compile(self, path: Path) -> "WebProgram":
        return WebProgram(path, self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("execution_provider", "wasm"), ("transfer", "WebSocket on 127.0.0.1, part of the latency")

    def settings_with(self, program: Program) -> tuple[tuple[str, str], ...]:
        assert isinstance(program, WebProgram)
        return *self.settings(), *program.settings.items()


def library() -> Path:
    """The folder of onnxruntime-web: FOLDER, or where npm installs it. Raises MissingExtra if there is none."""
    given = os.environ.get(FOLDER)
    here = Path.cwd()
    folders = [Path(given)] if given else [each / "node_modules" / LIBRARY for each in (here, *here.parents)]
    for folder in folders:
        if (folder / ENTRY).is_file():
            return folder
    where = f"{FOLDER}={given} has no {ENTRY}" if given else "no node_modules from this folder upward has it"
    raise MissingExtra(
        f"runtime web needs {LIBRARY}, {where}: npm install --prefix . {LIBRARY}@{TESTED}, "
        f"or set {FOLDER} to its folder"
    )


class WebProgram:
    """A page that has loaded the file. Raises InputError if Chromium does not start or the file cannot be loaded."""

    example: Feed | None = None  # of a run, where the file leaves sizes open

    def __init__(self, path: Path, threads: int, *, profiled: bool = False) -> None:
        self.path, self.threads = path, threads
        with closing(PageServer(_site(path, threads, profiled=profiled))) as server:
            self._browser = chromium.Chromium(server.address)
            try:
                self._socket = self._connected(server)
                opened, _ = self._answer("load")
            except BaseException:
                self._browser.end()
                raise
        self.inputs, self.outputs = (tuple(map(_port, opened[key])) for key in ("inputs", "outputs"))
        self.example = _blank(self.inputs)
        self.settings: dict[str, str] = opened["settings"] | ({} if profiled else self._transfer())

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        if self.example is None:
            self.example = {name: np.zeros_like(array) for name, array in feed.items()}
        return self._ask("run", feed)[1]

    def precisions(self) -> Mapping[str, int]:
        """Empty if the file leaves sizes open and was not called yet."""
        return self._precisions if self.example else {}

    @cached_property
    def _precisions(self) -> Mapping[str, int]:
        """Of the nodes that another page executes for a blank image, with the library's profiler; found once."""
        assert self.example
        versions = {name: self.settings[name] for name in ("version", "browser")}
        key = {"kind": "web layers", "file": stamp(self.path), **versions}
        entry = cached(key, partial(write_layers, self.path, self.example))
        return dict(json.loads((entry.folder / LAYERS).read_text(encoding="utf-8")))

    def profile(self, feed: Feed, calls: int) -> tuple[LayerTime, ...]:
        """In another page, whose first run does not count."""
        return node_times(profiled(self.path, self.threads, feed, runs=calls + 1), calls)

    def events(self, feed: Feed) -> list[Mapping[str, Any]]:
        """The events of the library's profiler for all runs; this is the last one. The page was made for that."""
        header, _ = self._ask("profile", feed)
        lines = (line.strip().rstrip(",") for text in header["printed"] for line in text.splitlines())
        return [json.loads(line) for line in lines if line.startswith("{")]

    def end(self) -> None:
        """Ends its browser."""
        self._browser.end()

    def _connected(self, server: PageServer) -> WebSocket:
        if (socket := server.connection(self._browser.is_running, START)) is None:
            cause = self._browser.printed() or "it printed nothing"
            raise InputError(f"runtime: Chromium does not open a page ({cause})", "graph-failed")
        return socket

    def _transfer(self) -> dict[str, str]:
        """Median time in which the inputs reach the page and an empty answer comes back; empty if a size is open."""
        if (feed := self.example) is None:
            return {}
        times = []
        for _ in range(2 * ECHOES):
            start = perf_counter()
            self._ask("echo", feed)
            times.append(perf_counter() - start)
        return {"transfer_ms": f"{1000 * median(times[ECHOES:]):.2f}"}

    def _ask(self, kind: str, feed: Feed) -> tuple[dict[str, Any], list[np.ndarray]]:
        with suppress(ConnectionError):  # the answer says that the page has ended
            self._socket.send(_packed(kind, feed))
        return self._answer("run")

    def _answer(self, doing: str) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The page's next message. Raises InputError with its error, or if the page has ended."""
        try:
            header, arrays = _unpacked(self._socket.receive())
        except ConnectionError:
            header, arrays = {"error": "its process ended, often because memory ran out"}, []
        if "error" in header:
            if lacking := operators.in_onnxruntime(self.path, LIBRARY, header["error"]):
                raise lacking
            cause = (header["error"].splitlines() or ["no message"])[0]
            raise InputError(f"{self.path}: {LIBRARY} cannot {doing} it ({cause})", "graph-failed")
        return header, arrays


def profiled(path: Path, threads: int, feed: Feed, *, runs: int = 1) -> list[Mapping[str, Any]]:
    """The events of the library's profiler for some runs of a file, in a page of their own."""
    program = WebProgram(path, threads, profiled=True)
    try:
        for _ in range(runs - 1):
            program(feed)
        return program.events(feed)
    finally:
        program.end()


def write_layers(path: Path, feed: Feed, folder: Path) -> None:
    """Writes the precisions of the layers that the library executes for a file."""
    layers = node_precisions(profiled(path, 1, feed))
    (folder / LAYERS).write_text(json.dumps(dict(layers)), encoding="utf-8")


def _blank(inputs: Sequence[Port]) -> Feed | None:
    """Zeros; None if a size is open."""
    try:
        return {port.name: np.zeros(port.shape, _numpy_type(port.type)) for port in inputs}
    except TypeError:
        return None


def _site(path: Path, threads: int, *, profiled: bool) -> dict[str, Content]:
    """What the page may load: itself, the library, and the file with the weights beside it."""
    files = _weights_beside(path)
    options = json.dumps({"threads": threads, "files": [*files], "profiled": profiled})
    scripts = [each for each in (library() / ENTRY).parent.iterdir() if each.suffix in (".mjs", ".wasm")]
    return {
        "": PAGE,
        SCRIPT.name: SCRIPT,
        "options.json": options.encode(),
        "model.onnx": path,
        **{f"ort/{script.name}": script for script in scripts},
        **{f"data/{name}": file for name, file in files.items()},
    }


def _weights_beside(path: Path) -> dict[str, Path]:
    """The files with weights that an ONNX file names, as far as they lie in its folder; the library misses others."""
    folder = path.parent.resolve()
    try:
        files = {name: (folder / name).resolve() for name in sorted(references(path).files)}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {LIBRARY} cannot load it ({words(error)})", "graph-failed") from error
    return {name: file for name, file in files.items() if file.is_relative_to(folder) and file.is_file()}


def _port(stated: Mapping[str, Any]) -> Port:
    kind = TYPES.get(stated.get("type", ""), stated.get("type", ""))
    return Port(stated["name"], stated.get("shape", ()), f"tensor({kind})" if stated["isTensor"] else "no tensor")


def _numpy_type(kind: str) -> str:
    """ "tensor(float)" -> "float32"."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return next((ours for ours, onnx in TYPES.items() if onnx == name), name)


def _packed(kind: str, feed: Feed) -> list[bytes | memoryview]:
    """A message as web.js reads it."""
    arrays = {name: np.asarray(array, order="C") for name, array in feed.items()}
    tensors = [[name, array.dtype.name, array.shape] for name, array in arrays.items()]
    text = json.dumps({"kind": kind, "tensors": tensors}).encode()
    text += b" " * (-(4 + len(text)) % WORD)
    parts: list[bytes | memoryview] = [len(text).to_bytes(4, "little") + text]
    for array in arrays.values():
        parts += [array.reshape(-1).view(np.uint8).data, bytes(-array.nbytes % WORD)]
    return parts


def _unpacked(message: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    size = int.from_bytes(message[:4], "little")
    header, place, arrays = json.loads(message[4 : 4 + size]), 4 + size, []
    for _, kind, shape in header["tensors"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(message, kind, count, place).reshape(shape).copy())
        place += -(-arrays[-1].nbytes // WORD) * WORD
    return header, arrays
