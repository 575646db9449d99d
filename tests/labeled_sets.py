"""A data set without faults in each format, to be damaged: two splits of six noisy images with four boxes each."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 64)  # height, width
SPLITS = ("train", "val")
NAMES = ("dog", "cat")
BOXES = ((0, (4, 4, 20, 20)), (0, (30, 4, 50, 20)), (1, (4, 24, 20, 44)), (1, (30, 24, 56, 44)))  # class, xyxy


def write_image(path: Path, seed: int, *, size=SIZE, mode="RGB", **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **more)


def numbered() -> Iterator[tuple[str, int, int]]:
    """(split, number in the split, seed) of every image."""
    return ((split, number, 10 * place + number) for place, split in enumerate(SPLITS) for number in range(6))


def coco(folder: Path) -> Path:
    truths = {split: {"images": [], "annotations": [], "categories": []} for split in SPLITS}
    for split, number, seed in numbered():
        write_image(folder / "images" / split / f"{number}.jpg", seed)
        truth = truths[split]
        image = {"id": number + 1, "file_name": f"{number}.jpg", "height": SIZE[0], "width": SIZE[1]}
        truth["images"].append(image)
        for label, (x1, y1, x2, y2) in BOXES:
            about = {"id": len(truth["annotations"]) + 1, "image_id": number + 1, "category_id": label, "iscrowd": 0}
            ring = [x1, y1, x2, y1, x2, y2, x1, y2]
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "segmentation": [ring]}
            truth["annotations"].append(about | box)
    for split, truth in truths.items():
        truth["categories"] = [{"id": key, "name": name} for key, name in enumerate(NAMES)]
        write_truth(folder, truth, split)
    return folder


def truth_of(folder: Path, split="train") -> dict:
    return json.loads((folder / "annotations" / f"instances_{split}.json").read_text())


def write_truth(folder: Path, truth: dict, split="train") -> None:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(truth))


def voc(folder: Path) -> Path:
    for split, number, seed in numbered():
        stem = f"{split}{number}"
        write_image(folder / "JPEGImages" / f"{stem}.jpg", seed)
        write_xml(folder, stem, "".join(thing(NAMES[label], box) for label, box in BOXES))
        line_of(folder, split, stem)
    return folder


def thing(name: str, box: tuple) -> str:
    x1, y1, x2, y2 = box
    corners = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def write_xml(folder: Path, stem: str, objects: str, *, size=SIZE, filename=None) -> None:
    sides = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    text = f"<annotation><filename>{filename or f'{stem}.jpg'}</filename>{sides}{objects}</annotation>"
    (folder / "Annotations").mkdir(exist_ok=True)
    (folder / "Annotations" / f"{stem}.xml").write_text(text)


def line_of(folder: Path, split: str, line: str) -> None:
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{line}\n")


def yolo(folder: Path) -> Path:
    for split, number, seed in numbered():
        write_image(folder / "images" / split / f"{number}.jpg", seed)
        write_lines(folder, split, number, "\n".join(line(label, box) for label, box in BOXES))
    (folder / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: [dog, cat]\n")
    return folder


def line(label: int, box: tuple) -> str:
    x1, y1, x2, y2 = box
    height, width = SIZE
    return f"{label} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"


def write_lines(folder: Path, split: str, number: int, text: str) -> None:
    path = folder / "labels" / split / f"{number}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def lvis(folder: Path) -> Path:
    """The first image of a split verifiably has no cat, and no box of one; the second has more dogs than boxes."""
    coco(folder)
    for split in SPLITS:
        truth = truth_of(folder, split)
        truth["annotations"] = [
            each for each in truth["annotations"] if each["image_id"] > 1 or not each["category_id"]
        ]
        for place, image in enumerate(truth["images"]):
            image["coco_url"] = f"http://images.example.org/{split}/{image.pop('file_name')}"
            image |= {"neg_category_ids": [1] * (place == 0), "not_exhaustive_category_ids": [0] * (place == 1)}
        for category, frequency in zip(truth["categories"], "fr", strict=True):
            category["frequency"] = frequency
        write_truth(folder, truth, split)
    return folder


def cvat(folder: Path) -> Path:
    images = []
    for split, number, seed in numbered():
        write_image(folder / "images" / split / f"{number}.jpg", seed)
        images.append(cvat_image(split, number, "".join(cvat_box(NAMES[label], box) for label, box in BOXES)))
    write_cvat(folder, "".join(images))
    return folder


def cvat_image(split: str, number: int, shapes: str) -> str:
    sides = f'width="{SIZE[1]}" height="{SIZE[0]}"'
    return f'<image id="{number}" name="{number}.jpg" subset="{split}" {sides}>{shapes}</image>'


def cvat_box(name: str, box: tuple, **more: str) -> str:
    corners = " ".join(f'{field}="{side}"' for field, side in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    return f'<box label="{name}" occluded="0" {corners} {" ".join(f"{key}={value!r}" for key, value in more.items())}/>'


def write_cvat(folder: Path, images: str) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    meta = f"<meta><project><labels>{labels}</labels></project></meta>"
    text = f"<annotations><version>1.1</version>{meta}{images}</annotations>"
    (folder / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}')


IDS = ("/m/0bt9lr", "/m/01yrx")  # of NAMES


def openimages(folder: Path) -> Path:
    rows = {split: [BOXES_HEADER] for split in SPLITS}
    for split, number, seed in numbered():
        write_image(folder / split / f"{split}{number}.jpg", seed)
        rows[split] += [openimages_row(f"{split}{number}", IDS[label], box) for label, box in BOXES]
    for split, lines in rows.items():
        (folder / f"{split}-annotations-bbox.csv").write_text("\n".join(lines) + "\n")
    names = (f"{key},{name}\n" for key, name in zip(IDS, NAMES, strict=True))
    (folder / "class-descriptions-boxable.csv").write_text("".join(names))
    return folder


BOXES_HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)


def openimages_row(image: str, label: str, box: tuple, *, group: int = 0) -> str:
    x1, y1, x2, y2 = box
    height, width = SIZE
    return f"{image},xclick,{label},1,{x1 / width},{x2 / width},{y1 / height},{y2 / height},0,0,{group},0,0"


def labelme(folder: Path) -> Path:
    for split, number, seed in numbered():
        write_image(folder / split / f"{number}.jpg", seed)
        write_labelme(folder / split / f"{number}.json", [labelme_shape(NAMES[label], box) for label, box in BOXES])
    return folder


def labelme_shape(name: str, box: tuple) -> dict:
    x1, y1, x2, y2 = box
    return {"label": name, "points": [[x1, y1], [x2, y2]], "group_id": None, "shape_type": "rectangle", "flags": {}}


def write_labelme(path: Path, shapes: list, **more) -> None:
    about = {"imagePath": f"{path.stem}.jpg", "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    path.write_text(json.dumps({"version": "5.5.0", "flags": {}, "shapes": shapes} | about | more))


def labelstudio(folder: Path) -> Path:
    tasks = {split: [] for split in SPLITS}
    for split, number, seed in numbered():
        name = f"{split}{number}.jpg"
        write_image(folder / "images" / name, seed)
        results = [studio_region(NAMES[label], box) for label, box in BOXES]
        data = {"image": f"/data/upload/1/0a1b2c3d-{name}"}
        tasks[split].append({"id": number, "annotations": [{"id": 1, "result": results}], "data": data})
    for split, listed in tasks.items():
        (folder / f"{split}.json").write_text(json.dumps(listed))
    return folder


def studio_region(name: str, box: tuple) -> dict:
    x1, y1, x2, y2 = box
    height, width = SIZE
    sides = {"x": 100 * x1 / width, "y": 100 * y1 / height}
    sides |= {"width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height, "rotation": 0}
    size = {"original_width": width, "original_height": height}
    return size | {"type": "rectanglelabels", "from_name": "label", "value": sides | {"rectanglelabels": [name]}}


def datumaro(folder: Path) -> Path:
    items = {split: [] for split in SPLITS}
    for split, number, seed in numbered():
        write_image(folder / "images" / split / f"{number}.jpg", seed)
        annotations = [datumaro_box(place, label, box) for place, (label, box) in enumerate(BOXES)]
        image = {"path": f"{number}.jpg", "size": list(SIZE)}
        items[split].append({"id": str(number), "annotations": annotations, "image": image})
    for split, listed in items.items():
        write_datumaro(folder, split, listed)
    return folder


def datumaro_box(number: int, label: int, box: tuple) -> dict:
    x1, y1, x2, y2 = box
    about = {"id": number, "type": "bbox", "label_id": label, "group": 0, "attributes": {"occluded": False}}
    return about | {"bbox": [x1, y1, x2 - x1, y2 - y1]}


def write_datumaro(folder: Path, split: str, items: list) -> None:
    names = [{"name": name, "parent": "", "attributes": []} for name in NAMES]
    document = {"info": {}, "categories": {"label": {"labels": names, "attributes": []}}, "items": items}
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / f"annotations/{split}.json").write_text(json.dumps(document))


def fiftyone(folder: Path) -> Path:
    samples = []
    for split, number, seed in numbered():
        write_image(folder / "data" / f"{split}{number}.jpg", seed)
        detections = {"_cls": "Detections", "detections": [fiftyone_box(NAMES[label], box) for label, box in BOXES]}
        metadata = {"_cls": "ImageMetadata", "width": SIZE[1], "height": SIZE[0]}
        about = {"filepath": f"data/{split}{number}.jpg", "tags": [split], "metadata": metadata}
        samples.append(about | {"ground_truth": detections})
    (folder / "metadata.json").write_text('{"name": "set", "version": "1.0"}')
    (folder / "samples.json").write_text(json.dumps({"samples": samples}))
    return folder


def fiftyone_box(name: str, box: tuple) -> dict:
    x1, y1, x2, y2 = box
    height, width = SIZE
    fractions = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
    return {"_cls": "Detection", "label": name, "bounding_box": fractions}


def table(folder: Path) -> Path:
    rows = {split: ["filename,width,height,class,xmin,ymin,xmax,ymax"] for split in SPLITS}
    for split, number, seed in numbered():
        write_image(folder / "images" / f"{split}{number}.jpg", seed)
        sides = f"{split}{number}.jpg,{SIZE[1]},{SIZE[0]}"
        rows[split] += [f"{sides},{NAMES[label]},{','.join(map(str, box))}" for label, box in BOXES]
    for split, lines in rows.items():
        (folder / f"{split}_labels.csv").write_text("\n".join(lines) + "\n")
    return folder


SOUND = {
    "coco": coco, "voc": voc, "yolo": yolo, "lvis": lvis, "cvat": cvat, "openimages": openimages, "labelme": labelme,
    "labelstudio": labelstudio, "datumaro": datumaro, "fiftyone": fiftyone, "csv": table,
}  # fmt: skip
