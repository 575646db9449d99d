"""Detects objects with an exported bundle. It needs onnxruntime, numpy and Pillow alone:

python detect.py BUNDLE PHOTO [SCORE]
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


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


def detect(folder, photo, least=0.3):
    """Label, score and box (x1, y1, x2, y2 in pixels of the photo) of everything that scores more than `least`."""
    bundle = json.loads(Path(folder, "bundle.json").read_text("utf-8"))
    fit, size = bundle["fit"], np.array(photo.size)
    if fit.get("sampling", "antialiased") != "antialiased" or bundle["batch"] != 1:
        raise SystemExit("this example resizes as Pillow does, one photo at a time")
    resized, offset = layout(fit, *photo.size)
    canvas = Image.new("RGB", (bundle["width"], bundle["height"]), (fit.get("fill", 0),) * 3)
    canvas.paste(photo.resize(tuple(resized.tolist()), Image.Resampling.BILINEAR), tuple(offset.tolist()))
    pixels = np.asarray(canvas).transpose(2, 0, 1)[None]
    sizes = np.array([[bundle["height"], bundle["width"]]], np.float32)
    session = onnxruntime.InferenceSession(Path(folder, bundle["artifact"]))
    boxes, scores, labels = session.run(["boxes", "scores", "labels"], {"pixels": pixels, "sizes": sizes})
    shift = (canvas.size - resized) / 2 if fit.get("undo") == "darknet" else offset
    boxes = ((boxes[0].reshape(-1, 2, 2) - shift) / (resized / size)).clip(0, size).reshape(-1, 4)
    for box, score, label in zip(boxes, scores[0], labels[0], strict=True):
        if score > least:
            yield bundle["labels"][label], float(score), box.tolist()


if __name__ == "__main__":
    photo = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
    for label, score, box in detect(sys.argv[1], photo, *map(float, sys.argv[3:4])):
        print(json.dumps({"label": label, "score": round(score, 4), "box": [round(side, 2) for side in box]}))
