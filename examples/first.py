"""Builds a detector by its name, runs it on an image, and looks at its maps."""

import torch

from paretodet import Detector, Images, detector_names, spec

print(f"{len(detector_names())} detectors; the smallest of them:")
chosen = spec("ssd-mobilenet_v1-300")
print(chosen.name, "detects", chosen.classes, "classes with", type(chosen.backbone).__name__)

torch.manual_seed(0)
detector = Detector(chosen).eval()
pixels = torch.randint(256, (1, 3, chosen.height, chosen.width), dtype=torch.uint8)
images = Images(pixels=pixels, sizes=torch.tensor([[chosen.height, chosen.width]], dtype=torch.float32))
with torch.inference_mode():
    found = detector(images)
    maps = detector.features(images)
print("boxes", tuple(found.boxes.shape), "from maps of", [tuple(m.shape[1:]) for m in maps])
