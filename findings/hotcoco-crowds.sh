#!/usr/bin/env bash
# Expect:   hotcoco's converters keep COCO's crowds apart from objects, or say how many they left out, as those to YOLO and
#           Pascal VOC do. Open Images has a column for groups.
# Happens:  those to CVAT and to Open Images write a crowd as one object, with IsGroupOf 0, and count it with the others. A
#           detector that finds the one object, and three more in the crowd, has AP 1 for the COCO file, and 0.126 for what
#           was written to CVAT and read again.
# Versions: hotcoco 1.3.0, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="hotcoco==1.3.0 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - <<'PY' || status=$?
import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO

from hotcoco import COCO, COCOeval

IMAGE = {"id": 1, "file_name": "1.jpg", "width": 200, "height": 100}
OBJECT, CROWD = [10, 10, 40, 40], [100, 0, 100, 100]
SCORES = [(OBJECT, 0.5), ([110, 10, 40, 40], 0.9), ([150, 10, 40, 40], 0.8), ([110, 50, 40, 40], 0.7)]


def annotation(number, box, crowd):
    area = box[2] * box[3]
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": area, "iscrowd": crowd}


def precision(truth):
    results = [{"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in SCORES]
    evaluator = COCOeval(truth, truth.load_res(results), "bbox")
    with redirect_stdout(StringIO()):
        evaluator.run()
    return round(float(evaluator.stats[0]), 3)


def crowds(truth):
    return sum(bool(each.get("iscrowd") or each.get("is_group_of")) for each in truth.dataset["annotations"])


truth = COCO(
    {
        "images": [IMAGE],
        "categories": [{"id": 1, "name": "bird"}],
        "annotations": [annotation(1, OBJECT, 0), annotation(2, CROWD, 1)],
    }
)
print("versions:", {name: version(name) for name in ("hotcoco", "numpy")})
for name, count in (("YOLO", truth.to_yolo("yolo")), ("VOC", truth.to_voc("voc"))):
    print(f"to {name}:", count)
for name, count in (("CVAT", truth.to_cvat("boxes.xml")), ("Open Images", truth.to_oid("boxes.csv"))):
    print(f"to {name}:", count)
print(open("boxes.csv").read().strip())
read = {"COCO": truth, "VOC": COCO.from_voc("voc"), "CVAT": COCO.from_cvat("boxes.xml")}
seen = {name: (crowds(each), precision(each)) for name, each in read.items()}
groups = [line.rsplit(",", 1)[1] for line in open("boxes.csv").read().split()[1:]]
print("crowds and AP, read back:", seen, "IsGroupOf:", groups)
same = seen["COCO"] == seen["VOC"] == (1, 1) and seen["CVAT"][0] == 0 and seen["CVAT"][1] < 0.5
sys.exit(0 if same and groups == ["0", "0"] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
