"""A candidate on photographs and videos: labeled boxes in their pixels, drawn, as data and as COCO results."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from paretodet.bench.accuracy import category_ids, names
from paretodet.bench.candidate import Candidate
from paretodet.bench.job import Progress, ProgressReporter
from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.evaluation.masks import segmentations
from paretodet.images import SUFFIXES, ImageError, other_size, read_image
from paretodet.labels.model import ImageEntry
from paretodet.media.draw import DRAWN_FROM, LabeledBox, draw
from paretodet.reading import place_of
from paretodet.types import Detections
from paretodet.writing import check_folder, written

QUALITY = 92  # of JPEG and WEBP: letters stay clean
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")

Row = dict[str, Any]
Names = Sequence[str | None]


@dataclass(frozen=True, kw_only=True)
class Ids:
    """What COCO results call an image, by its resolved path, and a label, by its number; None: it is no category."""

    images: dict[Path, int | str]
    categories: list[int | None] | None  # None: the label's number, its name beside it
    sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)  # as labels say, where they do


@dataclass(kw_only=True)
class Detected:
    """What was found, file by file."""

    documents: list[Row] = field(default_factory=list)  # JSON-ready, one an image or video
    rows: list[Row] = field(default_factory=list)  # COCO results, where ids were given
    drawn: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # one sentence a file


def detect(
    candidate: Candidate, images: Iterable[np.ndarray], *, labels: Names | None = None
) -> Iterator[tuple[LabeledBox, ...]]:
    """What is found in each image [H, W, 3] uint8, by falling score; empty slots are none.

    `labels` are the candidate's own unless given; one without a name is called by its number.
    """
    named = names(candidate, labels)
    for image in images:
        size = torch.tensor([image.shape[:2]], dtype=torch.float32)
        detections = candidate.finish(candidate.infer(candidate.prepare([image])), size)
        yield _found(detections, named, (image.shape[0], image.shape[1]))


def detect_files(
    candidate: Candidate,
    files: Sequence[Path],
    *,
    labels: Names | None = None,
    ids: Ids | None = None,
    out: Path | None = None,
    score: float | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Detected:
    """Images and videos, one in memory at a time; what cannot be read is skipped.

    Where `out` is given, each is drawn into that folder as `drawn_as` says, boxes from `score` on, or
    from 0.3. Raises ValueError as `drawn_as` does, ImportError where a video needs what is not installed.
    """
    targets = drawn_as(files, out) if out else {}
    for folder in dict.fromkeys(target.parent for target in targets.values()):
        check_folder(folder, "out")
    told, heard = Detected(), ProgressReporter(candidate.name, "detect", len(files), on_progress)
    work = _Work(candidate, labels, ids, DRAWN_FROM if score is None else score, on_progress)
    for done, file in enumerate(files):
        heard(done)
        try:
            (work.video if is_video(file) else work.image)(file, targets.get(file), told)
        except ImageError as error:
            told.skipped.append(str(error))
    return told


def listed(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Files as they are, and of each folder its images and videos by name, those of its own folders aside; each once.
    Where there is a video, its library is looked for.

    Raises ImageError for a folder that holds none, ImportError where the library is not installed.
    """
    files = tuple(dict.fromkeys(file for path in paths for file in (_inside(path) if path.is_dir() else [path])))
    if any(map(is_video, files)):
        import paretodet.media.video  # noqa: F401
    return files


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS


def drawn_as(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where each file is drawn: under its own name, a video as .mp4; where several are called alike, in folders as they
    lie below the one that holds all. Raises ImageError rather than write over a photograph or over another.
    """
    targets, read = dict[Path, Path](), {place_of(path) for path in files}
    drawn = dict[Path, Path]()
    folders = _folders(files) if len({file.name for file in files}) < len(files) else {}
    for file in files:
        target = folder / folders.get(file, "") / (f"{file.stem}.mp4" if is_video(file) else file.name)
        if place_of(target) in read:
            raise ImageError(f"{target}: drawing there would replace a picture; give another --out")
        if other := drawn.get(place_of(target)):
            raise ImageError(f"{other} and {file} would both be drawn as {target.name}; draw them one after the other")
        drawn[place_of(target)] = file
        targets[file] = target
    return targets


def _folders(files: Sequence[Path]) -> dict[Path, str]:
    """Each file's folder, from the nearest that holds all of them."""
    absolute = {file: os.path.dirname(os.path.abspath(file)) for file in files}
    top = os.path.commonpath(absolute.values())
    return {file: os.path.relpath(folder, top) for file, folder in absolute.items()}


def ids_of(files: Sequence[Path], candidate: Candidate, labels: Names | None, known: GroundTruth | None) -> Ids:
    """Of COCO results: those of the labels `known`; without labels an image is called as its file, without the ending.

    Raises ValueError where an image is none of the labels', two are called alike, or no label fits the categories.
    """
    if known is None:
        twice = [stem for stem, times in Counter(file.stem for file in files).items() if times > 1]
        if twice:
            raise ValueError(
                f"results-out: several files are called {twice[0]!r}, so their results could not be told apart"
            )
        return Ids(images={place_of(file): file.stem for file in files}, categories=None)
    if videos := [file for file in files if is_video(file)]:
        raise ValueError(f"data: {known.name} is of images, {videos[0]} is a video")
    found = {place_of(file): image for file, image in _known(files, known)}
    return Ids(
        images={file: image.key for file, image in found.items()},
        categories=category_ids(names(candidate, labels), known.labels.categories),
        sizes={file: image.size for file, image in found.items() if all(image.size)},
    )


def _known(files: Sequence[Path], known: GroundTruth) -> Iterator[tuple[Path, ImageEntry]]:
    """The labels' image of each file: of the same place, else of the same name, where one image alone has it."""
    images = [known.labels.image(index) for index in range(len(known.labels))]
    places = {place_of(image.file): image for image in images}
    times = Counter(image.file.name for image in images)
    alone = {image.file.name: image for image in images if times[image.file.name] == 1}
    for file in files:
        image = places.get(place_of(file), alone.get(file.name))
        if image is None:
            raise ValueError(f"data: {file} is none of the {len(images)} images of {known.name}")
        yield file, image


def _inside(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES + VIDEOS)
    if not found:
        raise ImageError(f"{folder}: no image and no video lies there, its own folders aside")
    return found


@dataclass(frozen=True)
class _Work:
    candidate: Candidate
    labels: Names | None
    ids: Ids | None
    least: float  # score that is drawn
    on_progress: Callable[[Progress], None]

    def image(self, file: Path, target: Path | None, told: Detected) -> None:
        pixels = read_image(file)
        if problem := other_size(file, pixels, self._said(file, pixels)):
            raise ImageError(problem)
        (found,) = detect(self.candidate, [pixels], labels=self.labels)
        told.documents.append(document(str(file), pixels, found))
        told.rows += self._rows(file, found)
        if target:
            form = Image.registered_extensions().get(file.suffix.lower(), "PNG")
            with written(target) as temporary:
                self._drawn(pixels, found).save(temporary, format=form, quality=QUALITY)
            told.drawn.append(target)

    def video(self, file: Path, target: Path | None, told: Detected) -> None:
        from paretodet.media.video import drawing, opened

        frames, rows = list[Row](), list[Row]()
        with opened(file) as video, drawing(target, video.rate) if target else nullcontext() as put:
            heard = ProgressReporter(file.name, "detect", video.frames, self.on_progress)
            for frame in video:
                heard(frame.number)
                (found,) = detect(self.candidate, [frame.pixels], labels=self.labels)
                about = {"frame": frame.number, "seconds": round(frame.seconds, 3)}
                frames.append(about | {"detections": [_object(item) for item in found]})
                rows += self._rows(file, found, frame.number)
                if put:
                    put(frame._replace(pixels=np.asarray(self._drawn(frame.pixels, found))))
                size = {"width": frame.pixels.shape[1], "height": frame.pixels.shape[0]}
            if not frames:
                raise ImageError(f"{file}: holds no frame")
        told.documents.append({"video": str(file), **size, "frames": frames})
        told.rows += rows
        told.drawn += [target] if target else []

    def _said(self, file: Path, pixels: np.ndarray) -> tuple[int, int]:
        """Height and width by the labels; its own where nothing is said."""
        own = (pixels.shape[0], pixels.shape[1])
        return self.ids.sizes.get(place_of(file), own) if self.ids else own

    def _drawn(self, pixels: np.ndarray, found: Sequence[LabeledBox]) -> Image.Image:
        return draw(pixels, [item for item in found if item.score >= self.least])

    def _rows(self, file: Path, found: Sequence[LabeledBox], frame: int | None = None) -> Iterator[Row]:
        if self.ids is None:
            return
        image = self.ids.images[place_of(file)]
        known = self.ids.categories
        for item in found:
            if known is not None and not 0 <= item.number < len(known):
                name, count = self.candidate.name, len(known)
                raise ValueError(f"labels: {name} says label {item.number}, the labels have {count} categories")
            category = item.number if known is None else known[item.number]
            if category is None:
                continue
            x1, y1, x2, y2 = item.box
            row: Row = {"image_id": image if frame is None else f"{image}/{frame}", "category_id": category}
            row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": item.score}
            row |= {} if item.segmentation is None else {"segmentation": item.segmentation}
            yield row if known is not None else row | {"category": item.label}


def _found(detections: Detections, labels: Names, size: tuple[int, int]) -> tuple[LabeledBox, ...]:
    columns = (column[0].tolist() for column in (detections.boxes, detections.scores, detections.labels))
    rows = zip(*columns, segmentations(detections, 0, size), strict=True)
    return tuple(
        LabeledBox(label=_name(label, labels), number=label, score=number, box=(x1, y1, x2, y2), segmentation=mask)
        for (x1, y1, x2, y2), number, label, mask in rows
        if number > 0
    )


def _name(label: int, labels: Names) -> str:
    return (labels[label] if 0 <= label < len(labels) else None) or str(label)


def document(name: str, image: np.ndarray, found: Sequence[LabeledBox]) -> Row:
    """JSON-ready: boxes as x1, y1, x2, y2 in pixels of the image [H, W, 3], to a hundredth; masks as COCO's RLE."""
    size = {"width": image.shape[1], "height": image.shape[0]}
    return {"image": name, **size, "detections": [_object(item) for item in found]}


def _object(item: LabeledBox) -> Row:
    data = {"label": item.label, "score": item.score, "box": [round(side, 2) for side in item.box]}
    return data if item.segmentation is None else data | {"segmentation": item.segmentation}
