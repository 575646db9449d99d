"""The published accuracy of the hub's models and of torchvision's, torch-free: COCO val2017 in percent.

The hub's are for square inputs, with AP50 where the authors state it; D-FINE's N and the DEIMv2 models below S were
published with AP only. torchvision's are those of its metadata.
"""

import json
from importlib.resources import files
from typing import Any

from paretodet.detectors.catalogue import DetectorEntry, PublishedAP, by_split
from paretodet.sources import torchvision_models
from paretodet.sources.hub_models import MODELS

SPLIT = "val2017"
D_FINE = "github.com/Peterande/D-FINE README, trained on COCO only"
D_FINE_SM = f"{D_FINE}; AP50: Peng et al. 2024 (arXiv 2410.13842), appendix, comparison with lighter detectors"
D_FINE_LX = f"{D_FINE}; AP50: Peng et al. 2024 (arXiv 2410.13842) Table 1"
RT_DETR = "github.com/lyuwenyu/RT-DETR rtdetrv2_pytorch README"
DEIM = "github.com/Intellindust-AI-Lab/DEIMv2 README"
DEIM_VIT = f"{DEIM}; AP50: Huang et al. 2025 (arXiv 2509.20787) Table 3"


PUBLISHED: dict[str, tuple[PublishedAP, ...]] = {
    "hf:d_fine-n": (PublishedAP(split="val2017", ap=42.8, source=D_FINE),),
    "hf:d_fine-s": (PublishedAP(split="val2017", ap=48.5, ap50=65.6, source=D_FINE_SM),),
    "hf:d_fine-m": (PublishedAP(split="val2017", ap=52.3, ap50=69.8, source=D_FINE_SM),),
    "hf:d_fine-l": (PublishedAP(split="val2017", ap=54.0, ap50=71.6, source=D_FINE_LX),),
    "hf:d_fine-x": (PublishedAP(split="val2017", ap=55.8, ap50=73.7, source=D_FINE_LX),),
    "hf:rt_detr_v2-r18": (PublishedAP(split="val2017", ap=48.1, ap50=65.1, source=f"{RT_DETR} (S)"),),
    "hf:rt_detr_v2-r50": (PublishedAP(split="val2017", ap=53.4, ap50=71.6, source=f"{RT_DETR} (L)"),),
    "hf:deimv2-atto": (PublishedAP(split="val2017", ap=23.8, source=DEIM),),
    "hf:deimv2-femto": (PublishedAP(split="val2017", ap=31.0, source=DEIM),),
    "hf:deimv2-pico": (PublishedAP(split="val2017", ap=38.5, source=DEIM),),
    "hf:deimv2-n": (PublishedAP(split="val2017", ap=43.0, source=DEIM),),
    "hf:deimv2-s": (PublishedAP(split="val2017", ap=50.9, ap50=68.3, source=DEIM_VIT),),
    "hf:deimv2-m": (PublishedAP(split="val2017", ap=53.0, ap50=70.2, source=DEIM_VIT),),
    "hf:deimv2-l": (PublishedAP(split="val2017", ap=56.0, ap50=73.4, source=DEIM_VIT),),
    "hf:deimv2-x": (PublishedAP(split="val2017", ap=57.8, ap50=75.4, source=DEIM_VIT),),
}


TORCHVISION: dict[str, tuple[PublishedAP, ...]] = {
    f"{torchvision_models.PREFIX}{name}": (
        PublishedAP(
            split=SPLIT,
            ap=model.ap,
            mask_ap=model.mask_ap,
            source=f"torchvision's metadata of {model.weights}.COCO_V1",
        ),
    )
    for name, model in torchvision_models.MODELS.items()
}


def entries() -> tuple[DetectorEntry, ...]:
    """These models as lines of `paretodet list`; `counts.json` holds the numbers that need a built network."""
    counts = json.loads(files("paretodet.sources").joinpath("counts.json").read_text())
    listed = (*PUBLISHED.items(), *TORCHVISION.items())
    return tuple(_entry(name, known[0], counts[name]) for name, known in listed)


def _entry(name: str, known: PublishedAP, counted: dict[str, Any]) -> DetectorEntry:
    own = _hub(name) if name in PUBLISHED else _torchvision(name)
    return DetectorEntry(
        name=name,
        output_stride=None,
        flops=2 * counted["macs"],
        ap=known.ap,
        ap50=known.ap50,
        mask_ap=known.mask_ap,
        mask_ap50=known.mask_ap50,
        ap_split=known.split,
        ap_source=known.source,
        published=by_split([known]),
        assumption=None,
        **own | counted,
    )


def _hub(name: str) -> dict[str, Any]:
    key = name.removeprefix("hf:")
    side = MODELS[key].side
    shape = {"height": side, "width": side, "proposals": None, "classes": 80}
    return {"meta_architecture": key.partition("-")[0], "backbone": MODELS[key].backbone, **shape}


def _torchvision(name: str) -> dict[str, Any]:
    """What its name says; canvas, proposals and classes are counted."""
    architecture, _, rest = name.removeprefix(torchvision_models.PREFIX).partition("_")
    backbone = next(each for each in torchvision_models.BACKBONES if rest.startswith(each))
    known = torchvision_models.ARCHITECTURES
    return {"meta_architecture": known.get(architecture, architecture), "backbone": backbone}
