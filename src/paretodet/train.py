"""A detector taught on the user's own labels: data, recipe, loop, judgement, and the folder that keeps all of it.

The same call goes on from the folder's newest checkpoint. In the folder: `run.json` (what was asked, of what, with
what), `log.jsonl` and TensorBoard's events, `checkpoints/`, `samples/` (images drawn at each checkpoint: validation's,
or where there are none those that are learned), `weights.safetensors` (the newest checkpoint's) and `best.safetensors`
(of the highest validation AP), which open like any other name.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paretodet import __version__
from paretodet.bench import machine
from paretodet.candidate import NetworkCandidate
from paretodet.data.annotations import Annotations, doctor, left_out
from paretodet.data.batches import Batches, Batching
from paretodet.data.coco import PROBED
from paretodet.data.dataset import TRAIN, VAL, fingerprint, open_dataset, splits
from paretodet.data.ground_truth import Instances, pictured
from paretodet.data.targets import SIDE
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.spec import DetectorSpec, to_data
from paretodet.network import detector_network
from paretodet.reading import is_file, sha256
from paretodet.runtimes.eager import Eager
from paretodet.training.checkpoint import WEIGHTS, latest
from paretodet.training.distributed import ProcessGroup, together
from paretodet.training.folder import CHECKPOINTS, RUN, earlier_judgement, taken
from paretodet.training.log import Lines, Recorder, Tracker, read_lines
from paretodet.training.loop import Event, Keeping, MemoryForeseen, Saved, Started
from paretodet.training.loop import train as learn
from paretodet.training.published import published
from paretodet.training.quick_recipe import quick_recipe
from paretodet.training.recipe import Recipe
from paretodet.training.sample_renderer import SampleRenderer, shown
from paretodet.training.tensorboard import TensorBoard
from paretodet.training.tracking import open_tracker
from paretodet.training.truth import require_readable, shared_images
from paretodet.training.validator import ValidationProgress, ValidationResult, Validator
from paretodet.weights import files, safe
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.finetune import initialize_from
from paretodet.writing import full_disk_told, write_text

LOG, NEWEST, BEST = "log.jsonl", "weights.safetensors", "best.safetensors"
MOST_LOST = 1000  # updates that a crash may cost
Tell = Callable[[str], None]
Listener = Callable[[Event | ValidationProgress], None]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is taught to which detector, and what it is judged by."""

    name: str  # of the catalogue's form
    data: Path  # labels of any known format
    recipe: Recipe
    split: str | None = None  # none: the one called train, else all there is
    val: Path | None = None  # labels to judge by; none: `data`
    val_split: str | None = None  # none: the one called val; where there is none, nothing is judged
    images: Path | None = None  # where a COCO file's pictures lie, and `val`'s where none is near it; none: found
    weights: Path | None = None  # to begin from; none: random ones, and every norm learned
    width: float = 1.0  # of every layer


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What does not change what is learned."""

    device: str = "cpu"
    workers: int = 0  # processes that load images
    every: int | None = None  # updates between checkpoints, each judged; none: 1,000 at most, ten judged
    compiled: bool = False  # one program of the loss, by torch.compile
    track: tuple[str, ...] = ()  # further trackers, of `tracking.TRACKERS`


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of it."""

    folder: Path
    weights: Path  # the last checkpoint's
    last: Path
    split: str | None  # that it learned from, where its labels have several
    val_split: str | None  # that it was judged by, where its labels have several
    val_images: Path | None = None  # the lesson's `images`, where the labels to judge by need them
    judged: tuple[ValidationResult, ...]  # of this call


def train(
    lesson: TrainConfig,
    folder: Path,
    how: RunOptions | None = None,
    *,
    tell: Tell = print,
    listener: Listener = lambda event: None,
) -> TrainResult:
    """Teach until the recipe's updates are made. `tell` hears one sentence about each thing worth knowing.

    Raises ValueError for what cannot be learned or read, before anything is allocated, and where another training is in
    the folder; CheckpointError and NotFinite as
    the loop does. Of several processes that torchrun started, each learns from its share of every batch, and the first
    speaks, judges and writes.
    """
    how = how or RunOptions()
    with together(how.device) as world, taken(folder, world):
        return TrainingRun(lesson, folder, how, tell, world).run(listener)


class TrainingRun:
    """Everything a training needs, made ready."""

    def __init__(self, lesson: TrainConfig, folder: Path, how: RunOptions, tell: Tell, world: ProcessGroup):
        self.lesson, self.folder, self.how, self.world = lesson, folder, how, world
        self.tell = tell if world.first else _nobody
        self.runtime = Eager(device=how.device)
        if lesson.recipe.frozen and lesson.weights is None:
            self.tell("Nothing is frozen: what begins at random must learn.")
            self.lesson = lesson = replace(lesson, recipe=replace(lesson.recipe, frozen=()))
        if lesson.recipe.assumption:
            self.tell(f"Of the recipe: {lesson.recipe.assumption}.")
        begun = _begun(lesson)
        begun.apply_to(spec(lesson.name))  # a name nobody knows is refused before labels are read
        self.split = _split(lesson.data, lesson.split, TRAIN)
        self.data = _read(lesson, self.split, self.tell)
        self.truth = self._truth()
        self.told = replace(begun, labels=self.data.labels)
        self.spec = self.told.apply_to(spec(lesson.name, Override(labels=self.data.labels)))
        if self.spec.masks and self.data.outlines is None:
            raise ValueError(f"data: {lesson.name} learns masks, and {lesson.data} has none")
        choices = batching(lesson.recipe, self.spec)
        self.batches = Batches(
            self.data, choices, shard=world.shard, workers=how.workers, tell=self._left_out, gather=world.gather
        )
        self.extra = [open_tracker(name, folder) for name in how.track if world.first]
        self.judged: list[ValidationResult] = []
        self.since = 0  # the update from which on the folder's AP are of the labels judged by now

    def run(self, listener: Listener) -> TrainResult:
        detector = self._detector()
        trackers: list[Tracker] = [Lines(self.folder / LOG), TensorBoard(self.folder), *self.extra]
        hearers: list[Callable[[Event], None]] = [self._keep, Recorder(trackers)]
        hearers += [*self._judges(trackers, listener), listener]

        def hear(event: Event) -> None:
            with full_disk_told(self.folder, "its checkpoints are as they were"):
                for each in hearers:
                    each(event)

        with self._ended(trackers):
            last = learn(
                detector,
                self.batches,
                recipe=self.lesson.recipe,
                keeping=Keeping(folder=self.folder / CHECKPOINTS, every=self._every),
                listener=hear,
                device=self.how.device,
                world=self.world,
                data=self._identity(),
                compiled=self.how.compiled,
            )
        return TrainResult(
            folder=self.folder,
            weights=self.folder / NEWEST,
            last=last,
            split=self.split,
            val_split=self.val_split,
            val_images=self.val_images,
            judged=tuple(self.judged),
        )

    @contextmanager
    def _ended(self, trackers: Sequence[Tracker]) -> Iterator[None]:
        """However it ends, trackers are closed and what a training shorter than an epoch left out is told; where one of
        several processes fails the others are not asked, as they may wait for something else.
        """
        try:
            yield
        except BaseException:
            if self.world.processes == 1:
                self.batches.tell_left_out()
            raise
        else:
            self.batches.tell_left_out()
        finally:
            for tracker in trackers:
                self._close(tracker)

    def _close(self, tracker: Tracker) -> None:
        """What goes wrong here is told and no more: it hides no error that ended the training."""
        try:
            tracker.close()
        except Exception as error:
            self.tell(f"{type(tracker).__name__} did not end well, its last numbers may be missing: {error}.")

    @property
    def _every(self) -> int:
        return self.how.every or max(1, self._tenth // -(-self._tenth // MOST_LOST))

    @property
    def _tenth(self) -> int:
        return max(1, self.lesson.recipe.steps // 10)

    def _due(self, step: int) -> bool:
        """Whether a checkpoint is judged: every one that was asked for, else ten a training and the last."""
        if self.how.every or step == self.lesson.recipe.steps:
            return True
        return step % (self._every * (self._tenth // self._every)) == 0

    def _truth(self) -> Instances | None:
        """What to judge by, in COCO's form; None where there is nothing."""
        path = self.lesson.val or self.lesson.data
        self.val_split = split = _split(path, self.lesson.val_split, VAL)
        if self.split is None and self.lesson.val is None and split is not None:
            known = ", ".join(splits(path))
            raise ValueError(
                f"data: {path} has {known}, and none is called train: give --data-split NAME to learn from"
            )
        if split is None and self.lesson.val is None:
            self.tell(f"{path} has no split called val, so nothing is judged: give --val LABELS or --val-split NAME.")
            return None
        found = pictured(path, split=split, images=None if self.lesson.val else self.lesson.images)
        if self.lesson.val and self.lesson.images and not any(map(is_file, found.files[:PROBED])):
            found = found._replace(folder=self.lesson.images)
        for sentence in found.skipped:
            self.tell(f"Judging: {sentence}.")
        used = {each["category_id"] for each in found.truth["annotations"]}
        names = [each["name"] for each in found.truth["categories"] if each["id"] in used]
        if strange := sorted(set(names) - set(self.data.labels)):
            ours = f"{self.lesson.data} has the classes {_few(self.data.labels)}"
            raise ValueError(f"val: {path} has objects of {_few(strange)}, which are not learned: {ours}")
        require_readable(found)
        if shared := shared_images(self.data, found):
            self.tell(f"Judging: {shared} of {len(found.files)} images are learned from too, so their AP flatters.")
        return found

    @property
    def val_images(self) -> Path | None:
        given = self.lesson.images
        return given if self.truth is None or self.truth.folder == given else None

    def _detector(self) -> Detector:
        detector = build(self.spec, self.lesson.recipe.seed)
        if self.lesson.weights and latest(self.folder / CHECKPOINTS) is None:
            anew = initialize_from(detector, self.lesson.weights, self.lesson.name)
            new = f"{len(anew)} tensors begin anew: {_few(anew)}" if anew else "nothing begins anew"
            self.tell(f"Begins from {self.lesson.weights}; {new}.")
        return detector

    def _identity(self) -> dict[str, Any]:
        """What a training in this folder goes on with: its data, and the weights it began from."""
        weights = self.lesson.weights
        return identity(self.data, self.lesson.data) | ({"weights": sha256(weights)} if weights else {})

    def _judges(self, trackers: Sequence[Tracker], listener: Listener) -> list[Validator]:
        samples = self.folder / "samples"
        if self.truth is None:
            drawn = {int(each.name.removeprefix("step-")) for each in samples.glob("step-*")}
            learned, place = shown(self.data), self.data.folder
            return [
                SampleRenderer(
                    self._open, learned, place, samples, trackers, drawn, self._heard, listener, due=self._due
                )
            ]
        seen = {line["step"] for line in read_lines(self.folder / LOG) if "val/ap" in line}
        truth, images = self.truth.truth, self.truth.folder
        return [Validator(self._open, truth, images, samples, trackers, seen, self._heard, listener, due=self._due)]

    def _open(self, checkpoint: Path) -> NetworkCandidate:
        detector = build(self.spec, self.lesson.recipe.seed)
        safe.load(detector, checkpoint / WEIGHTS)
        network = detector_network(detector, weights=sha256(checkpoint / WEIGHTS))
        return NetworkCandidate(network, self.runtime)

    def _keep(self, event: Event) -> None:
        if isinstance(event, Started):  # another training in this folder was refused before
            self.since = self._judged_since(event.step)
            write_text(self.folder / RUN, json.dumps(self._document(), indent=1) + "\n")
        newest = event.path if isinstance(event, Saved) else event.resumed if isinstance(event, Started) else None
        if newest:  # a crash may have come between a checkpoint and its copy
            self._write(newest, NEWEST)
        if isinstance(event, MemoryForeseen):
            self.tell(event.advice or f"{event.forecast.said(event.images)}.")

    def _heard(self, judged: ValidationResult) -> None:
        if (skipped := judged.accuracy.skipped) and not self.judged:
            path = self.lesson.val or self.lesson.data
            kind = f"images of {path} cannot be judged"
            self.tell(f"Judging: {left_out(len(skipped), kind, skipped[0], path, self.val_images)}.")
        self.judged.append(judged)
        self.tell(f"After {judged.step} updates: {_scores(judged)}.")
        lines = read_lines(self.folder / LOG)
        earlier = [line["val/ap"] for line in lines if line.get("val/ap") is not None and line["step"] >= self.since]
        if (ap := judged.accuracy.boxes.ap) is not None and ap >= max(earlier, default=0.0):
            self._write(judged.path, BEST)

    def _judged_since(self, step: int) -> int:
        """AP of other labels are not compared with those of the same training's later checkpoints."""
        before = earlier_judgement(self.folder)
        if not before or not self.truth:
            return 0
        return before.since if before.sha256 == self.truth.sha256 else step + 1

    def _write(self, checkpoint: Path, name: str) -> None:
        """The checkpoint's weights with what opening them takes."""
        source = checkpoint / WEIGHTS
        told = replace(self.told, file=f"{checkpoint.name}/{source.name}", sha256=sha256(source))
        files.save(safe.read(source), self.folder / name, told)

    def _left_out(self, sentence: str) -> None:
        self.tell(f"While learning, {sentence}. `{doctor(self.lesson.data, self.lesson.images)}` explains.")

    def _document(self) -> dict[str, Any]:
        """Everything needed to repeat the training; files are told by name and content, never by where they lie."""
        lesson, weights = self.lesson, self.lesson.weights
        truth = self.truth and {"name": self.truth.name, "sha256": self.truth.sha256, "split": self.val_split}
        return {
            "name": lesson.name,
            "width": lesson.width,
            "weights": weights and {"file": weights.name, "sha256": sha256(weights)},
            "data": identity(self.data, lesson.data) | {"split": self.split},
            "val": truth and truth | {"since": self.since},
            "recipe": to_data(lesson.recipe),
            "spec": to_data(self.spec),
            "how": asdict(self.how),
            "processes": self.world.processes,
            "versions": {"paretodet": __version__} | machine.versions(),
            "machine": machine.facts(),
        }


def recipe_of(kind: str, name: str, *, seed: int = 0, **asked: int | str | None) -> Recipe:
    """The recipe `kind`, "quick" or "published", of a catalogue name, with what is asked for in place of its own.

    A quick recipe's schedule follows the number of steps, a published one's does not and says so. Raises ValueError for
    another kind or an impossible value.
    """
    if kind not in ("quick", "published"):
        raise ValueError(f"recipe: got {kind!r:.40}, allowed quick, published")
    given: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if kind == "published":
        return _cut(published(name), replace(published(name), seed=seed, **given))
    sized = {key: given.pop(key) for key in ("steps", "batch") if key in given}
    return replace(quick_recipe(**sized), seed=seed, **given)


def _cut(whole: Recipe, asked: Recipe) -> Recipe:
    """Of another length: averages, made for a long training, must not hold a short one at its random start."""
    if asked.steps == whole.steps:
        return asked
    said = f"its schedule is that of {whole.steps:,} updates, not scaled to another length"
    said = f"{whole.assumption}; {said}" if whole.assumption else said
    return replace(asked, average=asked.average and replace(asked.average, ramp=True), assumption=said)


def batching(recipe: Recipe, made: DetectorSpec) -> Batching:
    """How samples become the batches of a recipe."""
    return Batching(
        fits=recipe.canvases or (made.fit,),
        images=recipe.batch,
        augmentation=recipe.augmentation,
        masks=SIDE if made.masks else None,
        seed=recipe.seed,
    )


def identity(data: Annotations, path: Path) -> dict[str, Any]:
    """What a training remembers of its data: its name and content, not where it lies."""
    return {"name": path.name, "sha256": fingerprint(data), "images": len(data), "boxes": len(data.boxes)}


def _begun(lesson: TrainConfig) -> WeightsMetadata:
    """How the detector differs from the catalogue's: as the weights it begins from say, or with every norm learned."""
    if lesson.weights is None:
        return WeightsMetadata(name=lesson.name, scratch=True, width=lesson.width)
    told = files.origin(lesson.weights) or WeightsMetadata(name=lesson.name)
    return WeightsMetadata(
        name=lesson.name, scratch=told.scratch, width=told.width if lesson.width == 1 else lesson.width
    )


def _read(lesson: TrainConfig, split: str | None, tell: Tell) -> Annotations:
    """Labels; what their reader left out is told once."""
    data = open_dataset(lesson.data, split=split, images=lesson.images)
    for sentence in data.left_out(lesson.data, lesson.images):
        tell(f"{sentence}.")
    return data


def _split(path: Path, asked: str | None, usual: tuple[str, ...]) -> str | None:
    """The split asked for, else the one of a usual name, its year left out."""
    known = () if asked else splits(path)
    return asked or next((name for name in known if name.rstrip("0123456789") in usual), None)


def _scores(judged: ValidationResult) -> str:
    known = judged.numbers
    wanted = (("AP", "val/ap"), ("AP50", "val/ap50"), ("mask AP", "val/mask_ap"))
    return ", ".join(f"{name} {known[key]:.1f}" for name, key in wanted if key in known) or "nothing to find"


def _nobody(sentence: str) -> None:
    """Of several processes one speaks."""


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
