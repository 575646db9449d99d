"""Runs a candidate on images and videos. Boxes are given in pixels of the image: drawn, as JSON or as COCO results."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paretodet.bench.accuracy import category_ids, detections_of, label_names, pasting_of
from paretodet.bench.candidate import Candidate
from paretodet.bench.job import Progress, ProgressReporter
from paretodet.errors import InputError
from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.evaluation.masks import Pasting, segmentations
from paretodet.images import ImageError, is_image_name, other_size, read_image, unread_images, without_images
from paretodet.labels.model import ImageEntry
from paretodet.media.draw import MIN_DRAWN_SCORE, LabeledBox, draw, mark_drawings
from paretodet.media.fonts import undrawable
from paretodet.reading import real_path
from paretodet.types import Detections
from paretodet.writing import check_folder, explained_disk_errors, written

QUALITY = 92  # of JPEG and WEBP, high enough for clean letters
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
MORE_SPACE = "free disk space, name another folder, or draw no images"

Json = dict[str, Any]
Names = Sequence[str | None]
ImageSource = np.ndarray | Path | str


@dataclass(frozen=True, kw_only=True)
class CocoIds:
    """The ids that COCO results use for image files and labels."""

    images: dict[Path, int | str]  # real path -> image id
    categories: list[int | None] | None  # label -> category id, None if it has none; None: the label itself is the id
    sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)  # real path -> height and width in the labels
    names: dict[Path, str] = field(default_factory=dict)  # real path -> file name, if the labels have no ids of images


@dataclass(kw_only=True)
class DetectionResults:
    """The detections of several files."""

    documents: list[Json] = field(default_factory=list)  # one per image or video
    rows: list[Json] = field(default_factory=list)  # COCO results, if ids were given
    drawn: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # one sentence per unreadable file
    numbered: dict[int, str] = field(default_factory=dict)  # labels that no font has; their numbers are drawn

    @property
    def done(self) -> int:
        """The number of files that have results, the last one perhaps in part, or were skipped."""
        return len(self.documents) + len(self.skipped)


def detect(
    candidate: Candidate, images: ImageSource | Iterable[ImageSource], *, labels: Names | None = None
) -> Iterator[tuple[LabeledBox, ...]]:
    """The detections in each image, by descending score, as boxes x1, y1, x2, y2 in pixels of the image.

    An image is an array [H, W, 3] of uint8 RGB or the path of a file; `images` may be one alone. `labels` are the class
    names, by default the candidate's own; a label without a name is given as its number. Raises ImageError for a file
    that cannot be read.

    >>> import paretodet
    >>> candidate = paretodet.open("ssd-mobilenet_v1-300")
    >>> for boxes in paretodet.detect(candidate, ["photo.jpg"]):
    ...     best = boxes[0]
    >>> 0 < best.score <= 1, len(best.box)
    (True, 4)
    """
    named = label_names(candidate, labels)
    for image in _several(images):
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        size = (pixels.shape[0], pixels.shape[1])
        yield _labeled_boxes(detections_of(candidate, pixels), named, size, pasting_of(candidate))


def _several(images: ImageSource | Iterable[ImageSource]) -> Iterable[ImageSource]:
    """The images, of which one alone may be given."""
    if isinstance(images, Path | str) or (isinstance(images, np.ndarray) and images.ndim == 3):
        return [images]
    return images


def detect_files(
    candidate: Candidate,
    files: Sequence[Path],
    *,
    labels: Names | None = None,
    ids: CocoIds | None = None,
    out: Path | None = None,
    score: float | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    results: DetectionResults | None = None,
) -> DetectionResults:
    """The detections in image and video files, with one file in memory at a time. Unreadable files are skipped.

    `results` is filled meanwhile, so that a caller has what was detected before an error or an interruption.

    If `out` is given, every file is drawn into that folder under the name that `output_paths` gives, with the boxes
    of at least `score`, by default 0.3. Raises InputError as `output_paths` does, or if a video cannot be written;
    ImportError if a video needs a library that is not installed.
    """
    targets = output_paths(files, out) if out else {}
    if out and not out.exists():
        check_folder(out, "out")
        mark_drawings(out)
    for folder in dict.fromkeys(target.parent for target in targets.values()):
        check_folder(folder, "out")
    results = DetectionResults() if results is None else results
    report = ProgressReporter(candidate.name, "detect", len(files), on_progress)
    run = _Run(candidate, labels, ids, MIN_DRAWN_SCORE if score is None else score, on_progress)
    for done, file in enumerate(files):
        report(done)
        documents, rows = len(results.documents), len(results.rows)
        try:
            (run.video if is_video(file) else run.image)(file, targets.get(file), results)
        except ImageError as error:
            if error.id == "output-unwritable":  # a fault of the disk, not of the file
                raise
            del results.documents[documents:], results.rows[rows:]  # of a video that is damaged further on
            results.skipped.append(str(error))
    return results


def media_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The given files, and the images and videos in the given folders (not in their subfolders) by name, without
    repetition.

    Raises ImageError for a folder without images and videos, ImportError if there is a video and no library for it.
    """
    files = tuple(dict.fromkeys(file for path in paths for file in (_media_in(path) if path.is_dir() else [path])))
    if any(map(is_video, files)):
        import paretodet.media.video  # noqa: F401
    return files


def unread_media(paths: Iterable[Path]) -> tuple[str, ...]:
    """A sentence for every given folder with images in formats that are not read, which `media_files` leaves out."""
    unread = ((path, unread_images(path)) for path in dict.fromkeys(paths) if path.is_dir())
    return tuple(f"{path}: {words}" for path, words in unread if words)


def is_video(path: Path) -> bool:
    """Whether the ending of the file is a video's."""
    return path.suffix.lower() in VIDEOS


def output_paths(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """The path under which each file is drawn in `folder`: its own name, with .mp4 for a video. If two files have the
    same name, the folders below their common folder are kept.

    Raises InputError if a drawing would replace an input file or another drawing.
    """
    targets, inputs = dict[Path, Path](), {real_path(path) for path in files}
    drawn = dict[Path, Path]()
    folders = _relative_folders(files) if len({file.name for file in files}) < len(files) else {}
    for file in files:
        target = folder / folders.get(file, "") / (f"{file.stem}.mp4" if is_video(file) else file.name)
        if real_path(target) in inputs:
            raise InputError(f"out: {target} is one of the images to read; give another --out", "output-is-input")
        if other := drawn.get(real_path(target)):
            message = f"out: {other} and {file} would both be drawn as {target.name}; draw them in two runs"
            raise InputError(message, "output-name")
        drawn[real_path(target)] = file
        targets[file] = target
    return targets


def _relative_folders(files: Sequence[Path]) -> dict[Path, str]:
    """The folder of each file, relative to the common folder of all."""
    absolute = {file: os.path.dirname(os.path.abspath(file)) for file in files}
    top = os.path.commonpath(absolute.values())
    return {file: os.path.relpath(folder, top) for file, folder in absolute.items()}


def coco_ids(files: Sequence[Path], candidate: Candidate, labels: Names | None, known: GroundTruth | None) -> CocoIds:
    """The ids for COCO results: those of the labeled images `known`, or, without them, the file name without ending.

    Raises InputError if a file is not one of the labeled images or two files have the same id, ValueError if no label
    is a category.
    """
    if known is None:
        if twice := [stem for stem, times in Counter(file.stem for file in files).items() if times > 1]:
            message = f"results-out: several files are called {twice[0]!r}, and their results would have the same id"
            raise InputError(message, "output-name")
        return CocoIds(images={real_path(file): file.stem for file in files}, categories=None)
    if videos := [file for file in files if is_video(file)]:
        raise InputError(f"data: {known.name} labels images, and {videos[0]} is a video", "labels-no-video")
    images = {real_path(file): image for file, image in _labeled_images(files, known)}
    return CocoIds(
        images={file: known.labels.image_id(image.key) for file, image in images.items()},
        names={file: image.name for file, image in images.items()} if known.labels.named else {},
        categories=category_ids(label_names(candidate, labels), known.labels.categories),
        sizes={file: image.size for file, image in images.items() if all(image.size)},
    )


def _labeled_images(files: Sequence[Path], known: GroundTruth) -> Iterator[tuple[Path, ImageEntry]]:
    """Each file with its image in the labels: that of the same path, else the only one of the same name."""
    images = [known.labels.image(index) for index in range(len(known.labels))]
    by_path = {real_path(image.file): image for image in images}
    times = Counter(image.file.name for image in images)
    by_name = {image.file.name: image for image in images if times[image.file.name] == 1}
    for file in files:
        image = by_path.get(real_path(file), by_name.get(file.name))
        if image is None:
            message = f"data: {file} is not one of the {len(images)} images of {known.name}"
            raise InputError(message, "labels-image-unknown")
        yield file, image


def _media_in(folder: Path) -> list[Path]:
    shown = [file for file in folder.iterdir() if not file.name.startswith(".")]
    files = sorted(file for file in shown if is_image_name(file.name) or is_video(file))
    if not files:
        raise ImageError(f"{folder}: has no video, and {without_images(folder)}", "images-none")
    return files


@dataclass(frozen=True)
class _Run:
    candidate: Candidate
    labels: Names | None
    ids: CocoIds | None
    min_score: float  # of a drawn box
    on_progress: Callable[[Progress], None]

    def image(self, file: Path, target: Path | None, results: DetectionResults) -> None:
        pixels = read_image(file)
        if problem := other_size(file, pixels, self._expected_size(file, pixels)):
            raise ImageError(problem, "image-size")
        (boxes,) = detect(self.candidate, [pixels], labels=self.labels)
        results.documents.append(image_json(str(file), pixels, boxes))
        results.rows += self._rows(file, boxes)
        if target:
            form = Image.registered_extensions().get(file.suffix.lower(), "PNG")
            with explained_disk_errors(target, MORE_SPACE), written(target) as temporary:
                self._drawn(pixels, boxes, results).save(temporary, format=form, quality=QUALITY)
            results.drawn.append(target)

    def video(self, file: Path, target: Path | None, results: DetectionResults) -> None:
        from paretodet.media.video import drawing, opened

        frames = list[Json]()
        with opened(file) as video, drawing(target, video.rate) if target else nullcontext() as put:
            report = ProgressReporter(file.name, "detect", video.frames, self.on_progress)
            for frame in video:
                report(frame.number)
                (boxes,) = detect(self.candidate, [frame.pixels], labels=self.labels)
                if not frames:
                    size = {"width": frame.pixels.shape[1], "height": frame.pixels.shape[0]}
                    results.documents.append({"video": str(file), **size, "frames": frames})
                position = {"frame": frame.number, "seconds": round(frame.seconds, 3)}
                frames.append(position | {"detections": [_box_json(box) for box in boxes]})
                results.rows += self._rows(file, boxes, frame.number)
                if put:
                    put(frame._replace(pixels=np.asarray(self._drawn(frame.pixels, boxes, results))))
            if not frames:
                raise ImageError(f"{file}: has no frame")
        results.drawn += [target] if target else []

    def _expected_size(self, file: Path, pixels: np.ndarray) -> tuple[int, int]:
        """Height and width in the labels, or those of the image if the labels have none."""
        actual = (pixels.shape[0], pixels.shape[1])
        return self.ids.sizes.get(real_path(file), actual) if self.ids else actual

    def _drawn(self, pixels: np.ndarray, boxes: Sequence[LabeledBox], results: DetectionResults) -> Image.Image:
        shown = [box for box in boxes if box.score >= self.min_score]
        results.numbered |= undrawable((box.number, box.label) for box in shown)
        return draw(pixels, shown)

    def _rows(self, file: Path, boxes: Sequence[LabeledBox], frame: int | None = None) -> Iterator[Json]:
        """COCO results of one image, or of one frame of a video; a label that is no category is left out."""
        if self.ids is None:
            return
        image = self.ids.images[real_path(file)]
        for box in boxes:
            category = self._category(box)
            if category is None:
                continue
            x1, y1, x2, y2 = box.box
            row: Json = {"image_id": image if frame is None else f"{image}/{frame}", "category_id": category}
            row |= {"file_name": self.ids.names[real_path(file)]} if self.ids.names else {}
            row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": box.score}
            row |= {} if box.segmentation is None else {"segmentation": box.segmentation}
            yield row if self.ids.categories is not None else row | {"category": box.label}

    def _category(self, box: LabeledBox) -> int | None:
        categories = self.ids.categories if self.ids else None
        if categories is None:
            return box.number
        if not 0 <= box.number < len(categories):
            name, count = self.candidate.name, len(categories)
            raise InputError(f"labels: {name} returns label {box.number}, of {count} categories", "label-unknown")
        return categories[box.number]


def _labeled_boxes(
    detections: Detections, labels: Names, size: tuple[int, int], pasting: Pasting
) -> tuple[LabeledBox, ...]:
    columns = (column[0].tolist() for column in (detections.boxes, detections.scores, detections.labels))
    rows = zip(*columns, segmentations(detections, 0, size, pasting), strict=True)
    return tuple(
        LabeledBox(label=_name(label, labels), number=label, score=score, box=(x1, y1, x2, y2), segmentation=mask)
        for (x1, y1, x2, y2), score, label, mask in rows
        if score > 0
    )


def _name(label: int, labels: Names) -> str:
    return (labels[label] if 0 <= label < len(labels) else None) or str(label)


def image_json(name: str, image: np.ndarray, boxes: Sequence[LabeledBox]) -> Json:
    """The detections of an image [H, W, 3] as JSON: boxes as x1, y1, x2, y2 in pixels, to a hundredth; masks as COCO's
    run lengths.
    """
    size = {"width": image.shape[1], "height": image.shape[0]}
    return {"image": name, **size, "detections": [_box_json(box) for box in boxes]}


def _box_json(box: LabeledBox) -> Json:
    data = {"label": box.label, "score": box.score, "box": [round(side, 2) for side in box.box]}
    return data if box.segmentation is None else data | {"segmentation": box.segmentation}
