#!/usr/bin/env bash
# Expect:   pylabel writes every object once into a COCO file, and none for an image without objects.
# Happens:  for an image without objects it writes the object before it once more, with the same id: one object in three
#           images, two of them empty, becomes three annotations of the first image.
# Versions: pylabel 0.1.55, pandas 2.3.3
# Seen:     2026-11-30
set -euo pipefail
packages="pylabel==0.1.55 pandas==2.3.3 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - <<'PY' || status=$?
import contextlib
import io
import json
import sys
from importlib.metadata import version
from pathlib import Path

from PIL import Image
from pylabel import importer

LINES = {"a": "0 0.5 0.5 0.2 0.4\n", "b": "", "c": ""}

for place in ("images", "labels"):
    Path(place).mkdir()
for name, lines in LINES.items():
    Image.new("RGB", (200, 100)).save(f"images/{name}.jpg")
    Path(f"labels/{name}.txt").write_text(lines)
with contextlib.redirect_stderr(io.StringIO()):
    data = importer.ImportYoloV5("labels", img_ext="jpg", cat_names=["object"], path_to_images="../images")
    data.df = data.df.sort_values("img_filename").reset_index(drop=True)
    data.export.ExportToCoco(output_path="labels.json")
labels = json.loads(Path("labels.json").read_text())
found = [(row["image_id"], row["id"], row["bbox"]) for row in labels["annotations"]]
print("versions:", {name: version(name) for name in ("pylabel", "pandas")})
print("images:", [(row["id"], row["file_name"]) for row in labels["images"]])
print("annotations (image, id, box):", found)
sys.exit(0 if len(found) == 3 and len({str(row) for row in found}) == 1 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
