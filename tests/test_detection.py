"""Detections on images and videos: as data, drawn, and as COCO results."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from paretodet.bench.accuracy import detect_image
from paretodet.bench.contract import ContractError
from paretodet.bench.job import Progress
from paretodet.detection import (
    DetectionResults,
    coco_ids,
    detect,
    detect_files,
    image_json,
    media_files,
    output_paths,
    unread_media,
)
from paretodet.errors import FileError, InputError
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.images import ImageError
from paretodet.labels.image_index import images_below
from paretodet.labels.model import ImageEntry
from paretodet.labels.rle import decode
from paretodet.media.photographs import Photographs
from paretodet.scoring import evaluate_file
from paretodet.types import Detections

PHOTOS = Photographs((np.full((40, 60, 3), 9, np.uint8), np.full((30, 20, 3), 9, np.uint8)), ("a.png", "b.png"), "here")


class Corner:
    """Finds the whole image as label 2, its left half as label 0, and leaves a slot empty."""

    name = "corner"
    labels = ("half", None, "whole")

    def prepare(self, images: Sequence[np.ndarray]) -> int:
        return len(images)

    def infer(self, batch: int) -> Tensor:
        return torch.tensor([[0.75, 0.25, 0.0]]).expand(batch, 3)

    def finish(self, outputs: Tensor, sizes: Tensor) -> Detections:
        (height, width), zero = sizes[0], torch.tensor(0.0)
        whole, half = torch.stack((zero, zero, width, height)), torch.stack((zero, zero, width / 2, height))
        return Detections(torch.stack((whole, half, whole))[None], outputs, torch.tensor([[2, 0, 0]]))


def test_boxes_are_named_in_pixels_of_each_photograph() -> None:
    first, second = detect(Corner(), PHOTOS.images)
    assert [(item.label, item.score, item.box) for item in first] == [
        ("whole", 0.75, (0, 0, 60, 40)),
        ("half", 0.25, (0, 0, 30, 40)),
    ]
    assert second[0].box == (0, 0, 20, 30)


def test_names_may_be_given_and_numbers_replace_missing_ones() -> None:
    assert [item.label for item in next(detect(Corner(), PHOTOS.images, labels=("x",)))] == ["2", "x"]


def test_the_document() -> None:
    _, found = detect(Corner(), PHOTOS.images)
    assert image_json("b.png", PHOTOS.images[1], found) == {
        "image": "b.png",
        "width": 20,
        "height": 30,
        "detections": [
            {"label": "whole", "score": 0.75, "box": [0, 0, 20, 30]},
            {"label": "half", "score": 0.25, "box": [0, 0, 10, 30]},
        ],
    }


class Shaped(Corner):
    """As `Corner`, each box with a full mask."""

    def finish(self, outputs: Tensor, sizes: Tensor) -> Detections:
        return super().finish(outputs, sizes)._replace(masks=torch.ones(1, 3, 28, 28))


def test_masks_are_in_the_document_as_run_lengths() -> None:
    found, _ = detect(Shaped(), PHOTOS.images)
    whole, half = image_json("a.png", PHOTOS.images[0], found)["detections"]
    assert whole["segmentation"]["size"] == half["segmentation"]["size"] == [40, 60]
    assert decode(whole["segmentation"])[1:39, 1:59].all()
    assert decode(half["segmentation"])[1:39, 1:29].all() and not decode(half["segmentation"])[:, 32:].any()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one of them in a subfolder, a text file, and a file that is no image."""
    for name, image in (("b.png", PHOTOS.images[1]), ("a.png", PHOTOS.images[0]), ("in/c.png", PHOTOS.images[0])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path


def test_a_folder_means_its_images(folder: Path) -> None:
    names = ["a.png", "b.png", "cut.jpg"]
    assert media_files([folder]) == tuple(folder / name for name in names)
    assert media_files([folder / "in" / "c.png", folder, folder / "a.png"])[0] == folder / "in" / "c.png"
    assert len(media_files([folder, folder / "a.png", folder])) == 3
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match=r"empty: .*\[images-none\]"):
        media_files([folder / "empty"])


def test_images_in_formats_that_are_not_read_are_named(folder: Path) -> None:
    assert unread_media([folder, folder / "a.png"]) == ()
    for name in ("IMG_1.HEIC", "scan.tif", "._IMG_1.HEIC"):
        (folder / name).touch()
    assert media_files([folder]) == (folder / "a.png", folder / "b.png", folder / "cut.jpg")
    (sentence,) = unread_media([folder, folder, folder / "a.png"])
    assert sentence.startswith(f"{folder}: IMG_1.HEIC and 1 more, ")


def test_a_folder_of_other_formats_is_not_called_empty(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").touch()
    with pytest.raises(ImageError, match=r"JPEG.*IMG_1\.HEIC.*\[images-none\]"):
        media_files([tmp_path])


@pytest.mark.parametrize("hidden", ["._a.png", ".b.png", "._clip.mp4"])
def test_a_folder_s_hidden_files_are_none_of_its_images(folder: Path, hidden: str) -> None:
    (folder / hidden).write_bytes(b"\0\5\x16\7")
    assert [file.name for file in media_files([folder])] == ["a.png", "b.png", "cut.jpg"]


def test_each_file_is_drawn_under_its_name_and_an_unreadable_one_reported(folder: Path) -> None:
    (folder / "out").mkdir()
    progress: list[Progress] = []
    found = detect_files(Corner(), media_files([folder]), out=folder / "out", on_progress=progress.append)
    assert found.drawn == [folder / "out" / "a.png", folder / "out" / "b.png"]
    assert [each["image"] for each in found.documents] == [str(folder / "a.png"), str(folder / "b.png")]
    assert len(found.skipped) == 1 and "cut.jpg" in found.skipped[0] and found.rows == []
    assert [(each.done, each.total) for each in progress] == [(0, 3), (1, 3), (2, 3)]
    drawn = np.asarray(Image.open(found.drawn[0]))
    assert (drawn[-1] != 9).any() and (drawn[20:-3, 28:32] == 9).all()  # the half, of 0.25, is faint
    again = detect_files(Corner(), [folder / "a.png"], out=folder / "out", score=0.1)
    assert (np.asarray(Image.open(again.drawn[0]))[20:-3, 28:32] != 9).any()
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "b.png"]


def test_drawings_below_a_folder_of_data_are_no_data(folder: Path) -> None:
    """Unless they lie in a folder that was there before."""
    photographs = sorted(images_below(folder))
    detect_files(Corner(), media_files([folder]), out=folder / "detections" / "new")
    assert sorted(images_below(folder)) == photographs
    assert sorted(images_below(folder / "detections" / "new")) == ["a.png", "b.png"]
    (folder / "mine").mkdir()
    detect_files(Corner(), media_files([folder]), out=folder / "mine")
    assert sorted(images_below(folder)) == [*photographs, "mine/a.png", "mine/b.png"]


def test_no_photograph_is_ever_replaced(folder: Path) -> None:
    with pytest.raises(InputError, match=r"\[output-is-input\]"):
        output_paths([folder / "a.png"], folder)
    with pytest.raises(InputError, match="x/a.png and x/../x/a.png would both be drawn as a.png"):
        output_paths([Path("x/a.png"), Path("x/../x/a.png")], folder / "out")
    with pytest.raises(InputError, match="x/a.mov and x/a.mp4 would both be drawn as a.mp4"):
        output_paths([Path("x/a.mov"), Path("x/a.mp4")], folder / "out")
    assert output_paths([Path("x/a.MOV")], folder) == {Path("x/a.MOV"): folder / "a.mp4"}


def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert output_paths([tmp_path / "loop.png"], tmp_path / "out") == {
        tmp_path / "loop.png": tmp_path / "out" / "loop.png"
    }


def test_images_with_equal_names_are_drawn_into_their_folders(folder: Path) -> None:
    files = [folder / "a.png", folder / "in" / "c.png", folder / "in" / "deep" / "a.png"]
    files[2].parent.mkdir()
    Image.fromarray(PHOTOS.images[1]).save(files[2])
    out = folder / "out"
    found = detect_files(Corner(), files, out=out)
    assert found.drawn == [out / "a.png", out / "in" / "c.png", out / "in" / "deep" / "a.png"]
    assert Image.open(found.drawn[2]).size == (20, 30)
    assert output_paths(files[1:], out)[files[2]] == out / "a.png"  # no other is called so
    with pytest.raises(InputError, match=r"\[output-is-input\]"):
        output_paths(files, folder)


LABELS = {
    "images": [
        {"id": 900, "file_name": "a.png", "width": 60, "height": 40},
        {"id": 7, "file_name": "in/c.png", "width": 60, "height": 40},
    ],
    "categories": [{"id": 90, "name": "whole"}, {"id": 3, "name": "other"}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [0, 0, 60, 40], "area": 2400, "iscrowd": 0}],
}


def test_results_have_the_ids_of_the_labels(folder: Path) -> None:
    (folder / "labels.json").write_text(json.dumps(LABELS))
    known = read_ground_truth(folder / "labels.json")
    found = detect_files(Shaped(), known.files, ids=coco_ids(known.files, Shaped(), None, known))
    assert [(row["image_id"], row["category_id"]) for row in found.rows] == [
        (900, 90),
        (7, 90),
    ]  # "half" is no category
    assert found.rows[0]["bbox"] == [0, 0, 60, 40] and found.rows[0]["segmentation"]["size"] == [40, 60]
    (folder / "results.json").write_text(json.dumps(found.rows))
    assert evaluate_file(folder / "results.json", folder / "labels.json").boxes.whole.ap == pytest.approx(100)
    Image.fromarray(PHOTOS.images[1]).save(folder / "a.png")
    again = detect_files(Shaped(), known.files, ids=coco_ids(known.files, Shaped(), None, known))
    assert {row["image_id"] for row in again.rows} == {7}
    assert again.skipped == [f"{folder / 'a.png'}: 30x20, its labels say 40x60 (height x width, px) [image-size]"]
    with pytest.raises(ValueError, match=r"labels: corner .*\[label-unknown\]"):
        detect_files(Shaped(), known.files, ids=coco_ids(known.files, Shaped(), ("whole",), known))
    (folder / "copy").mkdir()
    copied = (folder / "in" / "c.png").rename(folder / "copy" / "c.png")
    assert coco_ids([copied], Shaped(), None, known).images == {copied.resolve(): 7}
    with pytest.raises(ValueError, match=r"data: .*b\.png .*labels\.json \[labels-image-unknown\]"):
        coco_ids([folder / "b.png"], Shaped(), None, known)
    with pytest.raises(ValueError, match=r"data: labels\.json .*a\.mp4 .*\[labels-no-video\]"):
        coco_ids([folder / "a.mp4"], Shaped(), None, known)


def test_results_have_ids_that_are_texts(folder: Path) -> None:
    def named(rows: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
        return [row | {field: f"scene-{row[field]}"} for row in rows]

    lists = {"images": named(LABELS["images"], "id"), "annotations": named(LABELS["annotations"], "image_id")}
    (folder / "labels.json").write_text(json.dumps(LABELS | lists))
    known = read_ground_truth(folder / "labels.json")
    found = detect_files(Shaped(), known.files, ids=coco_ids(known.files, Shaped(), None, known))
    assert [row["image_id"] for row in found.rows] == ["scene-900", "scene-7"]
    (folder / "results.json").write_text(json.dumps(found.rows))
    assert evaluate_file(folder / "results.json", folder / "labels.json").boxes.whole.ap == pytest.approx(100)


def test_results_without_labels_are_called_as_the_files(folder: Path) -> None:
    files = media_files([folder])
    found = detect_files(Corner(), files, ids=coco_ids(files, Corner(), ("x",), None), labels=("x",))
    about = [(row["image_id"], row["category_id"], row["category"]) for row in found.rows]
    assert about == [("a", 2, "2"), ("a", 0, "x"), ("b", 2, "2"), ("b", 0, "x")]
    assert found.rows[1]["bbox"] == [0, 0, 30, 40]
    with pytest.raises(ValueError, match=r"results-out: .*'a'.*\[output-name\]"):
        coco_ids([Path("x/a.png"), Path("y/a.jpg")], Corner(), None, None)


def test_a_video_without_its_library_is_one_sentence(folder: Path) -> None:
    (folder / "a.mp4").touch()
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "from pathlib import Path; from paretodet.detection import media_files\n"
        "try: media_files([Path(sys.argv[1])])\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder / "a.mp4"], capture_output=True, text=True)
    assert done.stdout.endswith("pip install 'paretodet[video]' [extra-missing]\n"), done.stderr


def test_a_video_is_drawn_and_listed_frame_by_frame(folder: Path) -> None:
    pytest.importorskip("cv2", reason="the extra `video` is not installed")
    from paretodet.media.video import Frame, drawing, opened

    with drawing(folder / "clip.mov", 10) as put:
        for number in range(5):
            put(Frame(number, number / 10, np.full((48, 64, 3), 9, np.uint8)))
    (folder / "cut.mp4").write_bytes((folder / "clip.mov").read_bytes()[:900])
    (folder / "out").mkdir()
    files, progress = media_files([folder / "clip.mov", folder / "cut.mp4", folder / "a.png"]), list[Progress]()
    ids = coco_ids(files, Corner(), None, None)
    found = detect_files(Corner(), files, ids=ids, out=folder / "out", on_progress=progress.append)
    video, image = found.documents
    assert (video["video"], video["width"], video["height"]) == (str(folder / "clip.mov"), 64, 48)
    assert [(each["frame"], each["seconds"]) for each in video["frames"]] == [(n, n / 10) for n in range(5)]
    assert video["frames"][3]["detections"][1] == {"label": "half", "score": 0.25, "box": [0, 0, 32, 48]}
    assert [row["image_id"] for row in found.rows][::2] == [*(f"clip/{n}" for n in range(5)), "a"]
    assert found.drawn == [folder / "out" / "clip.mp4", folder / "out" / "a.png"]
    assert len(found.skipped) == 1 and "cut.mp4" in found.skipped[0]
    assert [(each.done, each.total) for each in progress if each.name == "clip.mov"] == [(n, 5) for n in range(5)]
    with opened(found.drawn[0]) as drawn:
        frames = list(drawn)
    assert [each.seconds for each in frames] == pytest.approx([n / 10 for n in range(5)])
    assert (abs(frames[2].pixels.astype(int) - 9) > 60).any()  # the box and its name
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "clip.mp4"]


def test_a_video_that_cannot_be_written_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, and the video is not one that cannot be read."""
    pytest.importorskip("cv2", reason="the extra `video` is not installed")
    from paretodet.media import video

    with video.drawing(folder / "clip.mp4", 10) as put:
        put(video.Frame(0, 0.0, np.full((48, 64, 3), 9, np.uint8)))
    monkeypatch.setattr(video, "_count", lambda path: 0)
    with pytest.raises(ImageError) as error:
        detect_files(Corner(), [folder / "clip.mp4", folder / "a.png"], out=folder / "out")
    assert error.value.id == "output-unwritable" and list((folder / "out").glob("[!.]*")) == []


def test_a_full_disk_loses_no_detections(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = Image.Image.save, list[str]()

    def limited(image: Image.Image, path: Path, **how: Any) -> None:
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path.name)
        save(image, path, **how)

    monkeypatch.setattr(Image.Image, "save", limited)
    files, results = [folder / "a.png", folder / "b.png", folder / "in" / "c.png"], DetectionResults()
    with pytest.raises(FileError) as error:
        ids = coco_ids(files, Corner(), None, None)
        detect_files(Corner(), files, ids=ids, out=folder / "out", results=results)
    assert error.value.id == "output-unwritable" and str(folder / "out" / "b.png") in error.value.message
    assert [row["image_id"] for row in results.rows] == ["a", "a", "b", "b"]
    assert len(results.documents) == results.done == 2 and results.drawn == [folder / "out" / "a.png"]


def test_an_interrupted_video_keeps_the_rows_of_its_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is damaged is skipped as a whole."""
    pytest.importorskip("cv2", reason="the extra `video` is not installed")
    from paretodet.media import video

    with video.drawing(folder / "clip.mp4", 10) as put:
        for number in range(4):
            put(video.Frame(number, number / 10, np.full((48, 64, 3), 9, np.uint8)))

    class Interrupted(Corner):
        calls = 0

        def prepare(self, images: Sequence[np.ndarray]) -> int:
            self.calls += 1
            if self.calls > 2:
                raise KeyboardInterrupt
            return super().prepare(images)

    files, results = [folder / "clip.mp4", folder / "a.png"], DetectionResults()
    ids = coco_ids(files, Corner(), None, None)
    with pytest.raises(KeyboardInterrupt):
        detect_files(Interrupted(), files, ids=ids, results=results)
    assert [row["image_id"] for row in results.rows][::2] == ["clip/0", "clip/1"]
    assert [len(each["frames"]) for each in results.documents] == [2]
    whole = video.Video.__iter__

    def damaged(opened: video.Video) -> Iterator[video.Frame]:
        yield from islice(whole(opened), 2)
        raise ImageError("clip.mp4: frame 3 cannot be decoded")

    monkeypatch.setattr(video.Video, "__iter__", damaged)
    found = detect_files(Corner(), files, ids=ids)
    assert [row["image_id"] for row in found.rows] == ["a", "a"] and len(found.skipped) == 1
    assert [each["image"] for each in found.documents] == [str(folder / "a.png")]


@pytest.mark.parametrize("change", [tuple, lambda found: Detections(*(part[0] for part in found[:3]))])
def test_what_is_no_detections_is_refused(change: Callable[[Detections], Any], tmp_path: Path) -> None:
    candidate = Corner()
    candidate.finish = lambda *args: change(Corner().finish(*args))  # type: ignore[method-assign]
    with pytest.raises(ContractError) as refused:
        list(detect(candidate, PHOTOS.images[:1]))
    assert refused.value.id == "contract-broken"
    Image.fromarray(PHOTOS.images[0]).save(tmp_path / "a.png")
    with pytest.raises(ContractError):
        detect_image(candidate, ImageEntry(1, "a.png", tmp_path / "a.png", (40, 60)), [1, None, 2])


def test_one_image_may_stand_alone(folder: Path) -> None:
    (first,) = detect(Corner(), [PHOTOS.images[0]])
    alone: tuple[Any, ...] = (PHOTOS.images[0], folder / "a.png", str(folder / "a.png"), PHOTOS.images[0][None])
    for image in alone:
        assert list(detect(Corner(), image)) == [first]
