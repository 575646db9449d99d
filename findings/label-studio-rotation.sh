#!/usr/bin/env bash
# Expect:   Label Studio's converter writes one box for a rotated rectangle, whatever the format: the one that encloses it. In
#           an image of 200 by 100, 40 by 10 pixels turned by 90 degrees are enclosed by 10 by 40.
# Happens:  for YOLO and Pascal VOC it ignores the rotation, which is around the upper left corner, and writes 40 by 10 beside
#           the object. For COCO it turns percents as if width and height of the image were equal, and writes 20 by 20.
# Versions: label-studio-sdk 2.1.2, numpy 2.2.6
# Seen:     2026-12-01
set -euo pipefail
packages="label-studio-sdk==2.1.2 numpy==2.2.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - 2>/dev/null <<'PY' || status=$?
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

from label_studio_sdk.converter import Converter

VIEW = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="car"/></RectangleLabels></View>'
)
SHAPE = {"x": 50, "y": 50, "width": 20, "height": 10, "rotation": 90, "rectanglelabels": ["car"]}  # in percent
REGION = {
    "id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": SHAPE,
    "original_width": 200, "original_height": 100, "image_rotation": 0,
}  # fmt: skip
TASKS = [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"id": 1, "completed_by": {"id": 1}, "result": [REGION]}]}]

Path("tasks.json").write_text(json.dumps(TASKS))
converter = Converter(VIEW, ".", download_resources=False)
for name in ("coco", "yolo", "voc"):
    labels = {"output_label_dir": "yolo/labels"} if name == "yolo" else {}
    convert = getattr(converter, f"convert_to_{name}")
    convert("tasks.json", name, is_dir=False, output_image_dir=f"{name}/images", **labels)
x, y, width, height = json.loads(Path("coco/result.json").read_text())["annotations"][0]["bbox"]
boxes = {"coco": [x, y, x + width, y + height]}
_, x, y, width, height = (float(word) for word in next(Path("yolo/labels").glob("*.txt")).read_text().split())
boxes["yolo"] = [200 * (x - width / 2), 100 * (y - height / 2), 200 * (x + width / 2), 100 * (y + height / 2)]
text = next(Path("voc/Annotations").glob("*.xml")).read_text()
boxes["voc"] = [float(re.search(f"<{key}>(.*)</{key}>", text)[1]) for key in ("xmin", "ymin", "xmax", "ymax")]
boxes = {name: [round(side) for side in box] for name, box in boxes.items()}
print("versions:", {name: version(name) for name in ("label-studio-sdk", "numpy")})
print("x1, y1, x2, y2 of the rectangle:", boxes)
print("expected: [90, 50, 100, 90]")
upright, of_percents = [100, 50, 140, 60], [80, 50, 100, 70]
sys.exit(0 if boxes == {"coco": of_percents, "yolo": upright, "voc": upright} else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
