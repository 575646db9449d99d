"""The known formats of files with named tensors: the first that matches reads a file."""

from paretodet.weights.file_format import FileFormat
from paretodet.weights.formats import (
    caffe,
    detectron,
    safetensors,
    tensorflow_checkpoint,
    tensorflow_graph,
    tfjs,
    tflite,
    torch_file,
)

FORMATS: tuple[FileFormat, ...] = (
    safetensors.FORMAT,
    torch_file.FORMAT,
    tflite.FORMAT,
    detectron.FORMAT,
    caffe.FORMAT,
    tensorflow_checkpoint.FORMAT,
    tensorflow_graph.FORMAT,
    tfjs.FORMAT,
)
