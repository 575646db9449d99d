"""Train a detector on labels: data, recipe, training loop, validation, and the run folder that keeps all of it.

Calling `train` again with the same folder resumes from the newest checkpoint there. The run folder contains:

- `run.json`: the configuration, the data, the versions and the machine;
- `log.jsonl` and TensorBoard's event files: the metrics;
- `.tracking-id`: by which another tracker finds the run on a resume;
- `checkpoints/`;
- `samples/`: images with the detections of each validated checkpoint. They are validation images, or training images
  if there are no validation labels;
- `weights.safetensors`: the weights of the newest checkpoint;
- `best.safetensors`: the weights with the highest validation AP.

Both weights files can be opened by their path, like a catalogue name.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from paretodet.bench import machine
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, UnknownName, spec
from paretodet.detectors.spec import to_data
from paretodet.errors import InputError
from paretodet.export.inductor import require_compiler
from paretodet.labels.model import Labels, doctor, left_out
from paretodet.loader.batches import Batches
from paretodet.media.fonts import explained, undrawable
from paretodet.network import detector_network
from paretodet.reading import is_file, real_path, sha256
from paretodet.runtimes.eager import Eager
from paretodet.training.checkpoint import WEIGHTS, latest
from paretodet.training.checkpoint_schedule import CheckpointSchedule
from paretodet.training.config import RunOptions, TrainConfig, TrainResult
from paretodet.training.data import open_training_data
from paretodet.training.distributed import ProcessGroup, process_group
from paretodet.training.folder import CHECKPOINTS, RUN, locked_folder, previous_validation
from paretodet.training.inputs import list_names
from paretodet.training.log import JsonLines, Recorder, Tracker, read_lines
from paretodet.training.loop import CheckpointPolicy, Event, MemoryEstimated, Saved, Started, training_loop
from paretodet.training.recipes import batching
from paretodet.training.sample_renderer import SampleRenderer, first_images
from paretodet.training.tensorboard import TensorBoard
from paretodet.training.tracking import GuardedTracker, closing, open_tracker
from paretodet.training.validator import ValidationProgress, ValidationResult, Validator
from paretodet.version import __version__
from paretodet.weights import files, safe
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.finetune import check_imported, initialize_from
from paretodet.writing import explained_disk_errors, write_text

LOG, NEWEST, BEST = "log.jsonl", "weights.safetensors", "best.safetensors"
Notify = Callable[[str], None]
Listener = Callable[[Event | ValidationProgress], None]


def train(
    config: TrainConfig,
    folder: Path | str,
    options: RunOptions | None = None,
    *,
    notify: Notify = print,
    listener: Listener = lambda event: None,
) -> TrainResult:
    """Train until the updates of the recipe are made, or resume the training in `folder`.

    Args:
        config: What to train.
        folder: The run folder; it is created if it does not exist.
        options: How to execute the training.
        notify: Called with one sentence for each event that a user should read.
        listener: Called with every event of the loop and of the validation.

    Under torchrun every process trains on its share of each batch; only the first one validates, writes and calls
    `notify` and `listener`.

    Raises:
        ValueError: The configuration or the data cannot be used, or another training is running in the folder. It is
            raised before the detector is built.
        CheckpointError, NotFinite, OutOfMemory: As `training.loop.training_loop`.

    >>> import paretodet
    >>> from pathlib import Path
    >>> name = "ssd-mobilenet_v1-300"
    >>> recipe = paretodet.training_recipe("quick", name, steps=1, batch=2)
    >>> config = paretodet.TrainConfig(name=name, data=Path("shapes/instances.json"), recipe=recipe, width=0.125)
    >>> result = paretodet.train(config, Path("run"), notify=lambda sentence: None)
    >>> paretodet.open(str(result.weights)).name
    'ssd-mobilenet_v1-300 at width 0.125'
    """
    folder, options = Path(folder), options or RunOptions()
    _check_files(config, folder)
    with process_group(options.device) as group, locked_folder(folder, group):
        return TrainingRun(config, folder, options, notify, group).run(listener)


class TrainingRun:
    """A checked configuration with its data and its validation labels, ready to run."""

    def __init__(self, config: TrainConfig, folder: Path, options: RunOptions, notify: Notify, group: ProcessGroup):
        self.config, self.folder, self.options, self.group = config, folder, options, group
        self.notify = notify if group.is_first else _ignore
        self.runtime = Eager(device=options.device)
        if config.recipe.frozen and config.weights is None:
            self.notify(
                "No layer is frozen: without initial weights (--weights) every layer starts from random values."
            )
            self.config = config = replace(config, recipe=replace(config.recipe, frozen=()))
        if config.recipe.assumption:
            self.notify(f"Recipe assumption: {config.recipe.assumption}.")
        if options.compiled:
            require_compiler("--compile")
        initial = _initial_metadata(config)
        initial.apply_to(spec(config.name))  # refuses an unknown name before labels are read
        if config.weights and self._starts_anew:
            check_imported(config.weights, config.name)
        self.data = open_training_data(config, self.notify)
        labels = self.data.labels
        self.spec = initial.apply_to(spec(config.name, Override(labels=labels.labels)))
        self.metadata = replace(initial, labels=labels.labels, sampling=self.spec.fit.sampling)
        if self.spec.masks and labels.outlines is None:
            raise InputError(
                f"data: {config.data} has no masks, and {config.name} is trained on masks", "masks-missing"
            )
        self.batches = Batches(
            labels,
            batching(config.recipe, self.spec),
            shard=group.shard,
            workers=options.workers,
            tell=self._report_left_out,
            gather=group.gather,
        )
        self.schedule = CheckpointSchedule(steps=config.recipe.steps, every=options.every)
        names = options.track if group.is_first else ()
        self.extra = [GuardedTracker(name, open_tracker(name, folder), self.notify) for name in names]
        self.validations: list[ValidationResult] = []
        self.since = 0  # AP in the log is of the current validation labels from this update on

    def run(self, listener: Listener) -> TrainResult:
        detector = self._detector()
        trackers: list[Tracker] = [JsonLines(self.folder / LOG), TensorBoard(self.folder), *self.extra]
        listeners: list[Callable[[Event], None]] = [self._update_folder, Recorder(trackers)]
        listeners += [self._validator(trackers, listener), listener]

        def on_event(event: Event) -> None:
            with explained_disk_errors(self.folder, "its checkpoints are unchanged"):
                for each in listeners:
                    each(event)

        with self._closing(trackers):
            last = training_loop(
                detector,
                self.batches,
                recipe=self.config.recipe,
                checkpoints=self._checkpoints,
                listener=on_event,
                device=self.options.device,
                group=self.group,
                data=self._data_identity(),
                compiled=self.options.compiled,
            )
        return TrainResult(
            folder=self.folder,
            weights=self.folder / NEWEST,
            checkpoint=last,
            split=self.data.split,
            val_split=self.data.val_split,
            val_images=self.data.val_images,
            validations=tuple(self.validations),
        )

    @contextmanager
    def _closing(self, trackers: Sequence[Tracker]) -> Iterator[None]:
        """Report what was left out, even after an error, and close the trackers.

        After an error in one of several processes nothing is reported: gathering could wait for the others forever.
        """
        with closing(trackers, self.notify):
            try:
                yield
            except BaseException:
                if self.group.processes == 1:
                    self.batches.tell_left_out()
                raise
            else:
                self.batches.tell_left_out()

    @property
    def _checkpoints(self) -> CheckpointPolicy:
        return CheckpointPolicy(
            folder=self.folder / CHECKPOINTS, every=self.schedule.interval, metadata=files.header(self.metadata)
        )

    @property
    def _starts_anew(self) -> bool:
        return latest(self.folder / CHECKPOINTS) is None

    def _detector(self) -> Detector:
        detector = build(self.spec, self.config.recipe.seed)
        if self.config.weights and self._starts_anew:
            random = initialize_from(detector, self.config.weights, self.config.name)
            self.notify(f"Initialized from {self.config.weights}{_origin(self.config.weights)}, {_taken(random)}.")
        return detector

    def _data_identity(self) -> dict[str, Any]:
        """What a resumed training must have in common with the earlier one: its data and its initial weights."""
        weights = self.config.weights
        return self.data.identity | ({"weights": sha256(weights)} if weights else {})

    def _validator(self, trackers: Sequence[Tracker], listener: Listener) -> Validator:
        """The listener that validates checkpoints, or only draws samples if there are no validation labels."""
        samples = self.folder / "samples"
        if self.data.validation is None:
            kind: type[Validator] = SampleRenderer
            ground_truth = first_images(self.data.labels)
            names = (each.name.removeprefix("step-") for each in samples.glob("step-*"))
            steps = {int(name) for name in names if name.isdigit()}
        else:
            kind, ground_truth = Validator, self.data.validation.labels
            steps = {line["step"] for line in read_lines(self.folder / LOG) if "val/ap" in line}
        self._explain_numbers(ground_truth)
        return kind(
            open_checkpoint=self._open,
            ground_truth=ground_truth,
            folder=samples,
            trackers=trackers,
            validated=steps,
            on_result=self._on_validation,
            on_progress=listener,
            is_due=self.schedule.is_validated,
        )

    def _explain_numbers(self, drawn: Labels) -> None:
        """Tells which classes the samples show as numbers."""
        names = (name for _, name in sorted(drawn.categories.items()))
        for sentence in explained(undrawable(enumerate(names))):
            self.notify(sentence)

    def _open(self, checkpoint: Path) -> NetworkCandidate:
        detector = build(self.spec, self.config.recipe.seed)
        safe.load(detector, checkpoint / WEIGHTS)
        network = detector_network(detector, weights=sha256(checkpoint / WEIGHTS))
        return NetworkCandidate(network, self.runtime)

    def _update_folder(self, event: Event) -> None:
        if isinstance(event, Started):  # the loop has refused another training in this folder before
            self.since = self._comparable_since(event.step)
            write_text(self.folder / RUN, json.dumps(self._document(), indent=1) + "\n")
        newest = event.path if isinstance(event, Saved) else event.resumed if isinstance(event, Started) else None
        if newest:  # on a resume too: a crash may have come between a checkpoint and its copy
            self._write_weights(newest, NEWEST)
        if isinstance(event, MemoryEstimated):
            self.notify(event.advice or f"{event.forecast.describe(event.images)}.")

    def _on_validation(self, result: ValidationResult) -> None:
        if (skipped := result.accuracy.skipped) and not self.validations:
            path = self.config.val_path
            kind = f"images of {path} cannot be used"
            self.notify(f"Validation: {left_out(len(skipped), kind, skipped[0], path, self.data.val_images)}.")
        self.validations.append(result)
        self.notify(f"After {result.step} update{'s' * (result.step > 1)}: {_scores(result)}.")
        lines = read_lines(self.folder / LOG)
        earlier = [line["val/ap"] for line in lines if line.get("val/ap") is not None and line["step"] >= self.since]
        if (ap := result.accuracy.boxes.ap) is not None and ap >= max(earlier, default=0.0):
            self._write_weights(result.path, BEST)

    def _comparable_since(self, step: int) -> int:
        """The update from which on AP in the log is of the same validation labels as now."""
        before, validation = previous_validation(self.folder), self.data.validation
        if not before or not validation:
            return 0
        return before.since if before.sha256 == validation.sha256 else step + 1

    def _write_weights(self, checkpoint: Path, name: str) -> None:
        """Copy the weights of a checkpoint into the run folder, with the metadata that opening them needs."""
        source = checkpoint / WEIGHTS
        metadata = replace(self.metadata, file=f"{checkpoint.name}/{source.name}", sha256=sha256(source))
        files.save(safe.read(source), self.folder / name, metadata)

    def _report_left_out(self, sentence: str) -> None:
        self.notify(f"Training: {sentence}. Details: `{doctor(self.config.data, self.config.images)}`.")

    def _document(self) -> dict[str, Any]:
        """What `run.json` holds: everything needed to repeat the training, with files by name and hash, not by path."""
        config, weights, labels = self.config, self.config.weights, self.data.validation
        return {
            "name": config.name,
            "width": config.width,
            "weights": weights and {"file": weights.name, "sha256": sha256(weights)},
            "data": self.data.identity | {"split": self.data.split},
            "val": labels
            and {"name": labels.name, "sha256": labels.sha256, "split": self.data.val_split, "since": self.since},
            "recipe": to_data(config.recipe),
            "spec": to_data(self.spec),
            "options": asdict(self.options),
            "processes": self.group.processes,
            "versions": {"paretodet": __version__} | machine.versions(),
            "machine": machine.facts(),
        }


def _check_files(config: TrainConfig, folder: Path) -> None:
    """Raises UnknownName, with a way out for a file, and InputError if the initial weights would be replaced."""
    try:
        spec(config.name)
    except UnknownName as error:
        if is_file(Path(config.name)):
            metadata = files.read_metadata(Path(config.name))
            known = metadata.name if metadata else "its NAME in the catalogue"
            message = f"{config.name} is a file: train {known} with --weights {config.name}, if these are its weights"
            raise UnknownName(message) from error
        raise
    if config.weights and real_path(config.weights) in {real_path(folder / name) for name in (NEWEST, BEST)}:
        message = f"weights: {config.weights} would be replaced by this training; name another folder with --out"
        raise InputError(message, "output-is-input")


def _initial_metadata(config: TrainConfig) -> WeightsMetadata:
    """How the detector differs from the catalogue's: as the initial weights say, else with every norm trainable."""
    if config.weights is None:
        return WeightsMetadata(name=config.name, scratch=True, width=config.width)
    metadata = files.read_metadata(config.weights) or WeightsMetadata(name=config.name)
    width = metadata.width if config.width == 1 else config.width
    return replace(metadata.of_detector(), name=config.name, width=width)


def _origin(weights: Path) -> str:
    """What a file of weights says of where it comes from, in brackets; empty if it says nothing."""
    metadata = files.read_metadata(weights)
    if metadata is None or not metadata.sha256:
        return ""
    return f" ({metadata.name} of {metadata.file}, SHA-256 {metadata.sha256[:12]})"


def _taken(random: tuple[str, ...]) -> str:
    """Which tensors were initialized, if those of these names start random."""
    if not random:
        return "all tensors"
    return f"except {len(random)} tensors, which start random: {list_names(random, 5)}"


def _scores(result: ValidationResult) -> str:
    metrics = result.metrics
    wanted = (("AP", "val/ap"), ("AP50", "val/ap50"), ("mask AP", "val/mask_ap"))
    scores = ", ".join(f"{name} {metrics[key]:.1f}" for name, key in wanted if key in metrics)
    return scores or "no AP, as no validation image has an object"


def _ignore(sentence: str) -> None:
    """`notify` of every process but the first."""
