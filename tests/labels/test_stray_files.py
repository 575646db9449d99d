"""Files beside the labels decide nothing: the format is that of what is there, or what is there is named."""

import json

import pytest

from labeled_sets import BOXES, NAMES, SOUND, line, thing, write_image, write_xml
from paretodet.labels.formats.coco_files import begins
from paretodet.labels.read import find_format, format_of, read_labels, splits

STRAY = {
    "environment.yml": "name: torch\ndependencies: [python=3.11, pip]\n",
    ".pre-commit-config.yaml": "repos: []\n",
    "config.yaml": "model: yolov8n\nepochs: 100\ntrain: {lr: 0.1}\nval: {every: 5}\nnames_of_runs: x\n",
    "docker-compose.yml": "services:\n  db:\n    image: postgres\n",
    "broken.yaml": "a: [",
    ".data.yaml": "train: images\nnames: [x]\n",
    "dataset-metadata.json": json.dumps({"title": "Birds", "id": "me/birds", "licenses": [{"name": "CC0-1.0"}]}),
    "notes.json": json.dumps({"categories": [{"id": 0, "name": "dog"}], "info": {"year": 2026, "version": "1.0"}}),
    "package.json": json.dumps({"name": "labels", "version": "1.0.0"}),
    ".vscode.json": json.dumps({"images": [], "annotations": [], "categories": []}),
    "._instances_train.json": "\0\5\x16\7",
}


def voc_elsewhere(folder):
    for number in range(3):
        write_image(folder / f"images/{number}.jpg", number)
        write_xml(folder, str(number), "".join(thing(NAMES[label], box) for label, box in BOXES))
    (folder / "Annotations").rename(folder / "annots")
    return folder


SETS = {**{name: (make, name) for name, make in SOUND.items()}, "voc elsewhere": (voc_elsewhere, "voc")}


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("name", SETS)
def test_a_stray_file_decides_nothing(tmp_path, name, stray):
    make, form = SETS[name]
    folder = make(tmp_path / "set")
    known, boxes = splits(folder), len(read_labels(folder, split="train" if splits(folder) else None).boxes)
    (folder / stray).write_text(STRAY[stray])
    assert format_of(folder).name == form and splits(folder) == known
    assert len(read_labels(folder, split="train" if known else None).boxes) == boxes


@pytest.mark.parametrize("name", SOUND)
def test_all_of_them_together_decide_nothing(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    for stray, text in STRAY.items():
        (folder / stray).write_text(text)
    assert format_of(folder).name == name and len(read_labels(folder, split="val")) == 6


def yolo_export(folder):
    """As Label Studio writes it."""
    write_image(folder / "images/a.jpg", 1)
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text(line(*BOXES[0]))
    (folder / "classes.txt").write_text("dog\ncat\n")
    return folder


@pytest.mark.parametrize("stray", STRAY)
def test_the_way_out_for_texts_is_named_beside_stray_files(tmp_path, stray):
    (yolo_export(tmp_path / "set") / stray).write_text(STRAY[stray])
    with pytest.raises(ValueError) as refused:
        read_labels(tmp_path / "set")
    assert refused.value.id == "labels-format" and '["dog", "cat"]' in str(refused.value)


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("train: images\n", "has no names"),
        ("names: [dog, cat]\n", "names no images"),
        ("train: images\nnames: [dog, cat\n", "cannot be read as YAML"),
        ('{"train": "images"}', "has no names"),
    ],
)
@pytest.mark.parametrize("name", ["data.yaml", "dogs.yml"])
def test_a_yaml_that_names_a_part_is_named_with_what_it_lacks(tmp_path, name, text, lack):
    (yolo_export(tmp_path / "set") / name).write_text(text)
    with pytest.raises(ValueError, match=lack) as refused:
        read_labels(tmp_path / "set")
    assert str(tmp_path / "set" / name) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "lack"),
    [
        ("environment.yml", STRAY["environment.yml"], "has no names"),
        ("dataset-metadata.json", STRAY["dataset-metadata.json"], "has no list of images"),
        ("damaged.json", '{"images": [', "cannot be read as JSON"),
        ("annotations/notes.json", STRAY["notes.json"], "has no list of images"),
    ],
)
def test_where_nothing_else_is_known_the_only_file_is_named(tmp_path, name, text, lack):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=lack) as refused:
        read_labels(tmp_path)
    assert str(tmp_path / name) in str(refused.value)


def test_of_several_strange_files_none_is_named(tmp_path):
    for name in ("package.json", "dataset-metadata.json", "environment.yml", "docker-compose.yml"):
        (tmp_path / name).write_text(STRAY[name])
    assert find_format(tmp_path) is None
    with pytest.raises(ValueError, match="none of the known formats"):
        format_of(tmp_path)


ROWS = {"images": [{"id": 1, "file_name": "a.jpg", "height": 48, "width": 64}], "annotations": []}
CLASSES = {"categories": [{"id": 1, "name": "dog"}]}


@pytest.mark.parametrize(
    ("document", "is_one"),
    [
        ({"dataset": "birds"} | ROWS | CLASSES, True),
        (CLASSES | {"info": {}} | ROWS, True),
        ({"info": {"description": "x" * 2**17}} | CLASSES | ROWS, True),
        (CLASSES | {"info": {"description": "x" * 2**17}}, False),
        (CLASSES, False),
        ([ROWS], False),
        ({"images": "images/", "annotations": {}}, False),
    ],
)
def test_an_instances_file_is_known_by_its_lists(tmp_path, document, is_one):
    (tmp_path / "labels.json").write_text(json.dumps(document))
    assert begins(tmp_path / "labels.json") is is_one


def test_a_file_with_the_byte_order_mark_begins_too(tmp_path):
    (tmp_path / "labels.json").write_bytes(b"\xef\xbb\xbf\n" + json.dumps(ROWS | CLASSES).encode())
    assert begins(tmp_path / "labels.json") and len(read_labels(tmp_path)) == 1


def test_a_file_that_the_user_names_is_read_as_what_it_is_called(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(CLASSES))
    (tmp_path / "x.yaml").write_text("a: b")
    for name, lack in (("x.json", "has no list of images"), ("x.yaml", "has no names")):
        with pytest.raises(ValueError, match=lack):
            read_labels(tmp_path / name)
