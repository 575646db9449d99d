"""Labels as the evaluator library takes them: COCO's dictionary. It is made here and nowhere else."""

from typing import Any

from paretodet.labels.model import Federated, Labels

Row = dict[str, Any]


def coco_dictionary(data: Labels, *, outlines: bool) -> dict[str, list[Row]]:
    """`data` has an area of every box. Annotations are numbered from 1; `outlines`: they have their `segmentation`."""
    keys, ids = data.keys.tolist(), data.category_ids
    images = [_image(key, size) for key, size in zip(keys, data.sizes.tolist(), strict=True)]
    categories: list[Row] = [{"id": key, "name": name} for key, name in data.categories.items()]
    assert data.areas is not None
    columns = (data.owners, data.classes, data.xywh, data.areas, data.crowd)
    rows = zip(*(each.tolist() for each in columns), strict=True)
    annotations = [
        _annotation(number, keys[owner], ids[label], box, area, crowd)
        for number, (owner, label, box, area, crowd) in enumerate(rows, 1)
    ]
    for row, annotation in enumerate(annotations) if outlines else ():
        if (mask := data.mask(row)) is not None:
            annotation["segmentation"] = mask.to_json()
    if data.federated is not None:
        _federate(images, categories, data.federated, ids)
    return {"images": images, "annotations": annotations, "categories": categories}


def _image(key: int, size: list[int]) -> Row:
    height, width = size
    return {"id": key, **({"height": height} if height else {}), **({"width": width} if width else {})}


def _annotation(number: int, image: int, category: int, box: list[float], area: float, crowd: bool) -> Row:
    about = {"id": number, "image_id": image, "category_id": category}
    return about | {"bbox": box, "area": area, "iscrowd": int(crowd)}


def _federate(images: list[Row], categories: list[Row], known: Federated, ids: tuple[int, ...]) -> None:
    """LVIS's fields."""
    for index, image in enumerate(images):
        image |= known.to_json(index, ids)
    for category, frequency in zip(categories, known.frequency, strict=False):
        category["frequency"] = frequency
