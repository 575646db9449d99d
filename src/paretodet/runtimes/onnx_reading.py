"""Reads the meaning of an ONNX file's outputs under a runtime that has loaded it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import ErrorId, InputError, first_line, words
from paretodet.layouts.decode import decode
from paretodet.layouts.layout import FileLayout, Normalization, Reading
from paretodet.network import OnnxNetwork
from paretodet.readings.conventions import ultralytics
from paretodet.readings.evidence import Evidence, input_refusal
from paretodet.readings.onnx_graph import OnnxGraph, read_graph
from paretodet.readings.openvino_graph import read_graph as read_openvino
from paretodet.readings.recognize import given, own_photograph, recognize
from paretodet.readings.tflite_graph import read_graph as read_tflite
from paretodet.readings.torch_archive import read_graph as read_archive
from paretodet.runtimes.onnx_input import recognize_input
from paretodet.transforms.resize_policy import ResizePolicy, Stretch, to_batch

READERS = {"openvino": read_openvino, "tflite": read_tflite, "torch-program": read_archive}  # of other forms than ONNX
UNKNOWN: ErrorId = "onnx-layout"  # of the error of inputs that are not known


class LoadedFile(Protocol):
    """An ONNX file that a runtime has loaded: a feed -> the outputs in their order."""

    @property
    def inputs(self) -> Sequence[Any]: ...

    @property
    def outputs(self) -> Sequence[Any]: ...

    def __call__(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]: ...


class Looker:
    """Runs a file on images of which each is scaled and fitted in some way; equal runs are done once.

    Raises InputError naming the file, with UNKNOWN if its inputs are not those of a detector.
    """

    def __init__(self, network: OnnxNetwork, loaded: LoadedFile) -> None:
        self.network, self.graph, self._run = network, graph_of(network), loaded
        try:
            self.input = recognize_input(loaded.inputs, network.size, usual=ultralytics.canvas(self.graph.metadata))
        except InputError as error:
            if error.id == UNKNOWN:
                raise input_refusal(network.path, words(error), error.id) from None
            raise InputError(f"{network.path}: {words(error)}", error.id) from None
        self.declared = {port.name: tuple(port.shape) for port in loaded.outputs}
        sides = [side for port in loaded.inputs if port.name == self.input.name for side in port.shape[-3:]]
        self._way = "" if all(isinstance(side, int) for side in sides) else "; --size gives images another size"
        self._known: dict[Any, tuple[np.ndarray, dict[str, Tensor]]] = {}  # images too, so that no id is used again

    def __call__(self, image: np.ndarray, pixels: Normalization, policy: ResizePolicy) -> Mapping[str, Tensor]:
        """The outputs by name. Raises InputError if the file cannot run."""
        key = (id(image), pixels, policy)
        if key not in self._known:
            batch = to_batch([image] * (self.input.batch or 1), policy)
            try:
                found = self._run(replace(self.input, pixels=pixels).feed(batch))
            except Exception as error:  # the runtimes' own exceptions share no base; a size may be fixed inside
                size = f"{self.input.height}x{self.input.width}"
                message = f"{self.network.path}: cannot run at {size} ({first_line(error)}){self._way}"
                raise InputError(message, "graph-failed") from error
            tensors = (torch.from_numpy(np.asarray(part)) for part in found)
            self._known[key] = image, dict(zip(self.declared, tensors, strict=True))
        return self._known[key][1]

    def evidence(self, image: np.ndarray) -> Evidence:
        """What the file states, and its outputs for an image."""
        canvas = Stretch(height=self.input.height, width=self.input.width)
        return Evidence(
            path=self.network.path,
            graph=self.graph,
            height=self.input.height,
            width=self.input.width,
            outputs=self(image, self.input.pixels, canvas),
            declared=self.declared,
            image=self.input.name,
            others=self.input.others,
            bytes_in=self.input.dtype is np.uint8,
            fitted=self.network.fit is not None,
            sized=self.input.sized,
        )


def graph_of(network: OnnxNetwork) -> OnnxGraph:
    """The structure of a network's file. Raises InputError naming it if it has none of its form."""
    return READERS.get(network.form, read_graph)(network.path)


def not_run(network: OnnxNetwork, loaded: LoadedFile) -> Evidence:
    """What a file states whose inputs are not known."""
    declared = {port.name: tuple(port.shape) for port in loaded.outputs}
    return Evidence(
        path=network.path, graph=graph_of(network), height=0, width=0, outputs={}, declared=declared, image=""
    )


def reading_of(looker: Looker, layout: FileLayout | None, images: Sequence[np.ndarray] = ()) -> Reading:
    """The reading of a file: of the layout that the user gives, else of what is recognized. Raises InputError."""
    evidence = looker.evidence(images[0] if images else own_photograph())
    if layout is not None:
        reading = given(layout, evidence, looker, images=images[:1])
    else:
        reading = recognize(evidence, looker, images=images)
    _check_names(looker.network, reading, evidence)
    return reading


def _check_names(network: OnnxNetwork, reading: Reading, evidence: Evidence) -> None:
    """Raises InputError if the scores have columns for another number of classes than the user names."""
    if not network.labels:
        return
    decoded = decode(evidence.outputs, reading.layout.outputs, (evidence.height, evidence.width))
    classes = decoded.scores.shape[2] if decoded.labels is None else len(network.labels)
    if classes != len(network.labels):
        message = f"labels: got {len(network.labels)} names, {network.path} has scores of {classes} classes"
        raise InputError(f"{message}; --classes FILE has a line for each, an empty one for none", "option-value")


def without_batch(reading: Reading, outputs: Mapping[str, tuple[Any, ...]]) -> bool:
    """Whether a call can take one image only, as rows have no dimension for images."""
    boxes = next(name for name, kinds in reading.layout.outputs.columns if {"box", "size", "bins"} & _words(kinds))
    return reading.layout.outputs.one_image or len(outputs.get(boxes, ())) == 2


def _words(kinds: Sequence[str]) -> set[str]:
    return {kind.partition("*")[0] for kind in kinds}
