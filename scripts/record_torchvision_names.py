"""Writes `tests/weights/golden/torchvision-names.json`: names and shapes of the tensors of torchvision's models.

python scripts/record_torchvision_names.py        # needs torchvision
"""

import json
from pathlib import Path
from typing import Any

import torch

FILE = Path(__file__).resolve().parents[1] / "tests/weights/golden/torchvision-names.json"
MODELS = {  # and the module that has it
    "ssd300_vgg16": "detection",
    "retinanet_resnet50_fpn": "detection",
    "fasterrcnn_resnet50_fpn": "detection",
    "maskrcnn_resnet50_fpn": "detection",
    "vgg16": "",
    "resnet50": "",
    "resnet101": "",
    "inception_v3": "",
}


def shapes(model: str) -> dict[str, list[int]]:
    """The shapes of a model's tensors by their names."""
    from torchvision import models

    build = getattr(models.detection if MODELS[model] else models, model)
    options: dict[str, Any] = {"weights_backbone": None} if MODELS[model] else {}
    if model == "inception_v3":
        options |= {"init_weights": False}
    with torch.device("meta"):
        state = build(weights=None, **options).state_dict()
    return {name: list(values.shape) for name, values in state.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps({model: shapes(model) for model in MODELS}, separators=(",", ":")) + "\n")
