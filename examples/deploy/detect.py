"""Detects objects with an exported bundle. It needs numpy, Pillow and the library that runs the bundle, onnxruntime,
openvino, ai-edge-litert, executorch, ncnn or torch, alone:

python detect.py BUNDLE PHOTO [SCORE]
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

UNSELECTED = ["boxes", "scores"]
FINISHED = [*UNSELECTED, "labels"]
PLACES = {  # by sampling: the place in the photo of which output i of a side is read
    "opencv": lambda i, source, target: (i + 0.5) * source / target - 0.5,
    "torch": lambda i, source, target: (i + 0.5) * source / target - 0.5,
    "tf1": lambda i, source, target: i * source / target,
    "corners": lambda i, source, target: i * (source - 1) / max(target - 1, 1),
}


def layout(fit, width, height):
    """Size of the resized photo and the place of its corner on the canvas, both (width, height)."""
    canvas = np.array([fit["width"], fit["height"]])
    if fit["kind"] == "stretch":
        return canvas, np.zeros(2, int)
    scales = canvas / [width, height]
    if fit["kind"] == "letterbox":
        axis = int(fit["width"] * height >= fit["height"] * width)  # whose length fits exactly
        resized = np.maximum(np.array([width, height]) * canvas[axis] // (width, height)[axis], 1)
        return resized, (canvas - resized) // 2
    resized = np.maximum(canvas, (np.array([width, height]) * scales.max() + 0.5).astype(int))  # short-side-crop
    return resized, -((resized - canvas) // 2)


def resize(photo, size, sampling):
    """The photo in another size (width, height): with Pillow's filter, or between two pixels of each side."""
    if sampling == "antialiased":
        return photo.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(photo, np.float32)
    for axis, target in ((1, size[0]), (0, size[1])):
        last = pixels.shape[axis] - 1
        place = PLACES[sampling](np.arange(target), last + 1, target).clip(0, last)
        first = np.floor(place).astype(int)
        one, two = pixels.take(first, axis), pixels.take((first + 1).clip(max=last), axis)
        pixels = one + (two - one) * (place - first).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
    return Image.fromarray(pixels.round().astype(np.uint8))


def run_onnx(path, bundle, pixels):
    """Boxes, scores and labels of finished detections, on the canvas."""
    import onnxruntime

    return finished(onnxruntime.InferenceSession(path).run(names(bundle), feed(bundle, pixels)), bundle)


def run_openvino(path, bundle, pixels):
    """The same of a model of OpenVINO, which would round boxes to bf16 where the processor has it."""
    import openvino

    found = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(feed(bundle, pixels))
    return finished([found[name] for name in names(bundle)], bundle)


def is_unselected(bundle):
    """Whether its artifact ends before suppression, as one of `export --suppression out` does."""
    return bundle.get("suppression") == "out"


def feed(bundle, pixels):
    """The inputs of a graph."""
    sizes = {} if is_unselected(bundle) else {"sizes": np.array([pixels.shape[1:3]], np.float32)}
    return {"pixels": planes(pixels), **sizes}


def names(bundle):
    """The outputs of a graph."""
    return UNSELECTED if is_unselected(bundle) else FINISHED


def finished(outputs, bundle):
    """Boxes, scores and labels of its outputs."""
    parts = [part[0] for part in outputs]
    return selected(*parts, bundle) if is_unselected(bundle) else parts


def planes(pixels):
    """[1, height, width, 3] -> [1, 3, height, width]."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def run_litert(path, bundle, pixels):
    """The same of a LiteRT file, which ends with the scores of all boxes."""
    from ai_edge_litert.interpreter import Interpreter

    found = Interpreter(model_path=str(path)).get_signature_runner()(pixels=pixels)
    return selected(found["boxes"][0], found["scores"][0], bundle)


def run_torch(path, bundle, pixels):
    """The same of a program of torch.export, which can run code of its author: load those that you trust."""
    import torch

    program = torch.export.load(path).module()
    with torch.inference_mode():
        boxes, scores = program(torch.from_numpy(planes(pixels)))
    return selected(boxes[0].numpy(), scores[0].numpy(), bundle)


def run_executorch(path, bundle, pixels):
    """The same of a program of ExecuTorch."""
    import torch
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(str(path)).load_method("forward")
    boxes, scores = method.execute([torch.from_numpy(planes(pixels))])
    return selected(boxes[0].numpy(), scores[0].numpy(), bundle)


def run_ncnn(path, bundle, pixels):
    """The same of a network of ncnn, in float32: on phones it would round to 16 bits by itself."""
    import ncnn

    network = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, option, False)
    network.load_param(str(path))
    network.load_model(str(path.with_suffix(".bin")))
    extractor, values = network.create_extractor(), planes(pixels)[0].astype(np.float32)
    extractor.input("in0", ncnn.Mat(values))  # which reads the memory of `values`
    boxes, scores = (np.array(extractor.extract(name)[1]) for name in ("out0", "out1"))
    return selected(boxes.reshape(-1, 4), scores.reshape(-1, len(bundle["labels"])), bundle)


def selected(boxes, scores, bundle):
    """Boxes, scores and labels of the best pairs."""
    kept = select(boxes, scores, bundle["score"] or 0, bundle["nms"], bundle["keep"])
    rows, labels = np.array(kept, int).reshape(-1, 2).T
    return boxes[rows], scores[rows, labels], labels


def select(boxes, scores, least, most, keep):
    """Box and label of the best pairs: of two of a label that overlap by more than `most`, the better one."""
    kept = []
    for box, label in sorted(np.argwhere(scores > least).tolist(), key=lambda pair: -scores[tuple(pair)]):
        rivals = [other for other, same in kept if same == label]
        if not any(overlap(boxes[box], boxes[other]) > most for other in rivals):
            kept.append((box, label))
        if len(kept) == keep:
            break
    return kept


def overlap(one, other):
    """The intersection of two boxes as a share of their union."""
    width, height = (np.minimum(one, other)[2:] - np.maximum(one, other)[:2]).clip(0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height) if width * height else 0


RUN = {
    "onnx": run_onnx,
    "openvino": run_openvino,
    "litert": run_litert,
    "torch": run_torch,
    "executorch": run_executorch,
    "ncnn": run_ncnn,
}


def detect(folder, photo, least=0.3):
    """Label, score and box (x1, y1, x2, y2 in pixels of the photo) of everything that scores more than `least`."""
    bundle = json.loads(Path(folder, "bundle.json").read_text("utf-8"))
    fit, size = bundle["fit"], np.array(photo.size)
    if bundle["batch"] not in (None, 1):  # None: any number
        raise SystemExit("this example takes one photo at a time")
    resized, offset = layout(fit, *photo.size)
    canvas = Image.new("RGB", (bundle["width"], bundle["height"]), (fit.get("fill", 0),) * 3)
    photo = resize(photo, tuple(resized.tolist()), fit.get("sampling", "antialiased"))
    canvas.paste(photo, tuple(offset.tolist()))
    if bundle["target"] not in RUN:
        raise SystemExit(f"this example runs bundles of {', '.join(RUN)}, and this one is of {bundle['target']}")
    path = Path(folder, bundle["artifact"])
    boxes, scores, labels = RUN[bundle["target"]](path, bundle, np.asarray(canvas)[None])
    shift = (canvas.size - resized) / 2 if fit.get("undo") == "darknet" else offset
    boxes = ((boxes.reshape(-1, 2, 2) - shift) / (resized / size)).clip(0, size).reshape(-1, 4)
    for box, score, label in zip(boxes, scores, labels, strict=True):
        if score > least:
            yield bundle["labels"][label], float(score), box.tolist()


if __name__ == "__main__":
    photo = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
    for label, score, box in detect(sys.argv[1], photo, *map(float, sys.argv[3:4])):
        print(json.dumps({"label": label, "score": round(score, 4), "box": [round(side, 2) for side in box]}))
