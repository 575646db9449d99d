"""Errors of bad input: a message for the user and a stable id, `message [id]`, to search for and to match in tests.

Every id is listed here and nowhere else. An id never changes its meaning; a message may be reworded at any time. The
comment beside an id says what it means and what to do; docs/reference/errors.md is made from it.

Bad input is whatever a user's file, option, name, row or environment can cause. An argument that only a mistake in
Python code can cause is refused with a plain ValueError.
"""

from typing import Any, Literal, get_args

ErrorId = Literal[
    # Options and arguments
    "option-conflict",  # two options exclude each other, or one needs another: leave one out, or give both
    "precision-fallback",  # another precision is executed than was requested: request that one, or add --allow-fallback
    "option-range",  # a number is too small or too large: use one that the message allows
    "option-unsupported",  # this model, runtime or format has no such option: leave it out, or choose another one
    "option-value",  # the value of an option is not one of the allowed ones: use one that the message lists
    "size-unsupported",  # the network cannot take this input size: use one that the message allows
    "device-missing",  # the device is not on this machine: use another one, such as cpu
    "input-missing",  # nothing was given to work on: name a file, a folder or a detector
    "extra-missing",  # an optional library is not installed: run the command that the message states
    # Names
    "name-unknown",  # no detector, model, module or function has this name: use one of the nearest names
    "module-failed",  # a Python function raised an error, or returned something other than a candidate: correct it
    # Output
    "output-changed",  # another process wrote to the folder at the same time: name a new folder
    "output-ending",  # the name of an output file has the wrong ending: use one that the message allows
    "output-exists",  # the output exists and is not replaced: name a new file or folder
    "output-folder",  # a folder was given for a file, or the folder of a file is missing: name a file in a folder
    "output-is-input",  # the output would replace an input, or lie inside of it: name another place
    "output-name",  # two outputs would have the same name: rename an input, or name another folder
    "output-unwritable",  # the operating system refuses to write: free disk space, or name another place
    "cache-unsafe",  # other users can write where native code is kept: run the chmod of the message
    "folder-busy",  # another process writes to the same folder: wait until it ends, or name another folder
    "export-failed",  # a network cannot be written in this format: use another format or runtime
    # Files
    "file-changed",  # the file is not the one that was measured: give the file with the stated SHA-256
    "file-missing",  # a file does not exist: correct the path
    "file-too-large",  # a file is larger than the limit: check that it is the right file
    "file-unreadable",  # the operating system refuses to read a file: check its permissions
    "json-invalid",  # a file is not JSON: correct it at the place that the message states
    "json-schema",  # a field of a JSON document is missing, unknown or of another type: correct the field
    "system-refused",  # the operating system refuses something else: its message says what
    "value-refused",  # a value is refused by a library or function: its message says which, correct the value
    # Images and videos
    "image-format",  # a file is not an image of a supported format: convert it
    "image-missing",  # an image or video does not exist: correct the path
    "image-size",  # an image has another size than its labels state: correct the size in the labels
    "image-dark",  # an image of 16 bits holds values of 14 bits or fewer: write 8 bits, or multiply them up to 65535
    "image-too-large",  # an image or video has too many pixels or bytes: make it smaller
    "image-unreadable",  # an image or video is damaged or cannot be read: copy it again from its source
    "images-none",  # no image of a folder or list can be used: correct the first one, which the message names
    # Labels
    "labels-format",  # the labels have none of the known formats: convert them to one that the message lists
    "labels-malformed",  # a file of labels or class names lacks something, or it is not text: correct it
    "labels-none",  # no labeled image or box can be used: correct the first entry, which the message names
    "labels-image-unknown",  # an image is not one of the labeled images: use other labels, or leave the image out
    "labels-no-video",  # a video was given together with labels of images: leave one of them out
    "label-unknown",  # a label or category is not among those of the labels: use labels with the same classes
    "masks-missing",  # the detector learns masks, and the labels have none: outline the objects
    "split-unknown",  # the data has no split of this name: use one that the message lists
    "split-unnamed",  # the data has several splits, and none was named: name one of them
    "split-missing",  # a file names a split and nothing is there: correct its path, or remove it
    # Entries of labels; they are left out, and `paretodet doctor` lists them by these ids
    "box-empty",  # a box has no area: draw it again, or remove it
    "box-malformed",  # a box is not four numbers: write x, y, width and height in pixels
    "box-not-finite",  # a box has NaN, infinity or a huge number: draw it again, or remove it
    "box-outside",  # a box lies outside of its image: check its image and its unit
    "box-swapped",  # a box has swapped corners or a negative side: exchange the corners
    "box-without-image",  # a box belongs to no listed image: add the image, or remove the box
    "category-unknown",  # a box has a class that is not listed: name the class, or correct its number
    "entry-unusable",  # an entry cannot be used for another reason: correct or remove it
    "field-malformed",  # an id, a name or a flag has the wrong type: write the field as the message says
    "image-id-repeated",  # two images have the same id: give each image its own
    "image-size-malformed",  # the stated size of an image is no size: write height and width in pixels
    "label-file-unreadable",  # the label file of an image cannot be read: save it as UTF-8 text
    "line-malformed",  # a line of labels is no box or polygon: write a class and coordinates
    "line-not-normalized",  # coordinates are fractions, and some are above 1: divide them by the size of the image
    "mask-malformed",  # an outline is neither polygons nor run lengths: export it again, or remove it
    "mask-of-another-size",  # a mask has another size than its image: draw it on the labeled image
    "name-unsafe",  # the file name of an image leaves the folder of the images: write a name inside of it
    "set-names-missing",  # an image set names an image without labels: add its xml, or remove the line
    "shape-unread",  # a shape has no extent, such as a line or point: draw a box, polygon or mask
    "xml-malformed",  # an xml file lacks an element, or it is no XML: export it again
    # Results
    "results-malformed",  # a file of results is no list of detections, or one lacks a field: correct the field
    # Rows and stores
    "field-unknown",  # rows have no field of this name: use one of the nearest names
    "machine-unknown",  # not exactly one machine has rows and is named like this: give one of the listed fingerprints
    "row-incomplete",  # a row lacks a field that the command needs: measure again
    "row-invalid",  # a line or a field is not as rows are: correct the field, or delete the line
    "row-unknown",  # not exactly one row has an id that begins like this: give one of the listed ids
    "run-busy",  # another process measures the same run into the same store: wait until it ends, or name another store
    "rows-missing",  # a store or file of rows does not exist: correct the path, or measure first
    "rows-none",  # no row has what the command needs: measure first, or change the options
    "space-empty",  # a search has nothing to compare: name detectors, or change the options as the message says
    "rows-unfit",  # the rows are too few or too different to predict from: measure more rows on one machine
    "store-damaged",  # a store holds something that is not a row: restore it from a copy
    "store-failed",  # the database reports an error: the message says which
    "store-format",  # a store was given for a file of rows, or a file for a store: give the other one
    "store-newer",  # a newer version wrote the store: update paretodet
    # Weights and networks
    "weights-anchors",  # a file of an SSD does not tell the order of its anchors: import the graph, or put it beside
    "weights-format",  # a file holds no weights in a known format: convert it to safetensors
    "weights-metadata",  # a file of weights does not say which detector it fits: give the name and --weights
    "weights-needed",  # the detector has only random weights: give --weights, or --untrained to try the command
    "weights-norm-eps",  # a file does not say the epsilon of its norms, or has another one: import it with --norm-eps
    "weights-not-finite",  # weights have NaN, infinity or impossible values: use other weights
    "weights-other",  # the weights belong to another detector: use those of this one
    "weights-shape",  # tensors are missing, unused or of another shape: use the weights of this network
    "weights-size",  # a darknet file has too few or too many numbers: use the weights of this network
    "cfg-malformed",  # a section or option of a darknet cfg is wrong: correct the line
    "cfg-unsupported",  # a layer or option of a darknet cfg is not known: the network cannot be read
    "graph-failed",  # a runtime cannot load or run the network: check the file, or use another runtime
    "operator-missing",  # a runtime lacks an operator of the network: use one of the runtimes that the message names
    "onnx-layout",  # inputs or outputs of a detector file have no known layout: give one by --layout, or module:make
    "onnx-contradicted",  # what a detector file returns contradicts its layout: give the right one by --layout
    "onnx-task",  # a detector file is for a task other than detection: use another file
    "trust-needed",  # opening a file can run code of its author: add --trust if you trust it
    "pixels-unknown",  # a detector file does not say how pixels are scaled: state it in a file for --layout
    "layout-malformed",  # a layout file has a wrong field: correct it, or write it anew with `paretodet inspect FILE`
    # Downloads
    "archive-damaged",  # an archive cannot be read, or lacks the weights: download it again
    "archive-unsafe",  # an archive has members outside of it or links, or expands too far: get it from its publisher
    "download-by-hand",  # the file cannot be downloaded from here: put it where the message says
    "download-failed",  # a server is not reached, refuses, or stops early: run the command again, which continues
    "download-other",  # a file is not the listed one: get it from the page of its publisher
    # Bundles
    "bundle-altered",  # a file of a bundle is missing, truncated or changed: copy the bundle or export it again
    "bundle-newer",  # a newer version wrote the bundle: update paretodet
    "parity-failed",  # an artifact detects something other than its detector: use another precision, or report it
    "bundle-elsewhere",  # native code of a bundle is for another processor or version of torch: export it here
    "bundle-unsafe",  # a bundle leaves its folder or needs code of others: export it again
    # Training
    "recipe-unpublished",  # no recipe is published for this detector: use --recipe quick
    "batch-unfit",  # the batch is too small, or cannot be divided: change --batch, --accumulate or processes
    "processes-unfit",  # the processes and the environment contradict each other: start them with torchrun
    "memory-out",  # the memory is too small: use the smaller passes or the options that the message states
    "tracker-failed",  # a tracker of --track cannot start: start its server, log in to it, or leave it out
    "training-diverged",  # the loss is not finite: check the named images, lower --learning-rate, or use --recipe quick
    "checkpoint-damaged",  # a checkpoint is not complete: delete it, training resumes from the one before
    "checkpoint-other",  # a checkpoint belongs to another training or version: name a new folder
    # Measuring
    "profile-failed",  # a runtime does not time its layers, or the candidate failed: use another runtime
    "place-unreachable",  # a machine of --on is not reached, or the connection ended: run the command again
    "place-unfit",  # a machine of --on lacks something, or cannot measure this: do what the message says
    "place-answer",  # a machine of --on answers something other than rows of what was asked: check what runs there
    "contract-broken",  # a candidate breaks a rule of measuring: run `paretodet doctor NAME`
    "selftest-failed",  # the clock measures a known time wrongly, or the test failed: the message says which
]
ERROR_IDS: tuple[str, ...] = get_args(ErrorId)
MAX_MESSAGE = 1000
ENDINGS = tuple(f" [{id}]" for id in ERROR_IDS)


class WithId(Exception):
    """What every error of bad input is, beside a built-in class that callers catch."""

    def __init__(self, message: str, id: ErrorId) -> None:
        super().__init__(message)
        self.message = message
        self.id = id

    def __str__(self) -> str:
        return f"{self.message} [{self.id}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.id)  # so that the error survives pickling


class InputError(WithId, ValueError):
    """Input that cannot be used: `message` says why, and `id` is one of the listed ids. `str` gives `message [id]`."""


class FileError(WithId, OSError):
    """A file that the operating system does not let us read or write."""


def words(error: object) -> str:
    """An error, or its text, without the id: to be quoted in another message."""
    text = str(error)
    return next((text.removesuffix(ending) for ending in ENDINGS if text.endswith(ending)), text)


def with_id(error: Exception) -> str:
    """The message of any error with an id: one of ours, or one that Python or a library raises for bad input.

    A message is cut after `MAX_MESSAGE` characters: libraries quote what they cannot read, however long it is.
    """
    if isinstance(error, WithId):
        return str(WithId(_cut(error.message), error.id))
    id: ErrorId = "system-refused" if isinstance(error, OSError) else "value-refused"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)  # a KeyError adds quotes
    return str(WithId(_cut(text), id))


def first_line(error: Exception) -> str:
    """What another library's error says, or its type if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"
