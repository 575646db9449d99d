"""Every runtime by name, known without importing one: all import torch. A new one is its file and its line here."""

CLASSES = {  # name -> class, in the file of this name; of those that take networks of a form, the first is the default
    "eager": "Eager",
    "winograd": "Winograd",
    "compiled": "Compiled",
    "aotinductor": "AotInductor",
    "onnxruntime": "OnnxRuntime",
    "openvino": "OpenVino",
    "opencv": "OpenCv",
    "ncnn": "Ncnn",
    "litert": "LiteRt",
    "executorch": "ExecuTorch",
    "torch-program": "TorchPrograms",
    "web": "Web",
}
