"""Labels of any format in the form that COCO's evaluation takes."""

from pathlib import Path
from typing import Any

from paretodet.data.annotations import Annotations


def coco_form(data: Annotations) -> dict[str, Any]:
    """Images by number with absolute paths, annotations with the areas of their boxes, categories."""
    pairs = zip(data.category_ids, data.labels, strict=True)
    truth: dict[str, Any] = {"images": [], "annotations": []}
    truth["categories"] = [{"id": key, "name": name} for key, name in pairs]
    for place in range(len(data)):
        sample = data[place]
        file, (height, width) = str(Path(sample.image).resolve()), sample.size
        truth["images"].append({"id": place, "file_name": file, "height": height, "width": width})
        columns = zip(sample.boxes.tolist(), sample.labels.tolist(), sample.crowd.tolist(), strict=True)
        for (x1, y1, x2, y2), label, crowd in columns:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd)}
            owner = {"image_id": place, "category_id": data.category_ids[label]}
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, **owner, **box})
    return truth
