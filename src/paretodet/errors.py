"""Errors of bad input: a message for the user and a stable id, `message [id]`, to search for and to match in tests.

Every id is listed here and nowhere else. An id never changes its meaning; a message may be reworded at any time.
"""

from typing import Literal, get_args

ErrorId = Literal[
    # options and arguments
    "option-conflict",  # two options exclude each other, or one needs another
    "precision-fallback",  # a runtime executes another precision than the one asked for
    "option-value",  # the value of an option is not one of the allowed ones
    "input-missing",  # nothing was given to work on
    # output
    "output-ending",  # the name of an output file has the wrong ending
    "output-exists",  # an output file exists and is not replaced
    "output-folder",  # a folder was given and a file is needed, or the folder of an output file is missing
    "output-is-input",  # an output file would replace an input file
    "output-name",  # two outputs would have the same name
    "output-unwritable",  # the operating system refuses to write there
    "folder-busy",  # another process is writing to the same folder
    # files
    "file-too-large",
    "json-invalid",  # a file is not JSON
    "json-schema",  # a field of a JSON document is missing, unknown or of another type
    # images and videos
    "image-format",  # a file is not an image of a supported format
    "image-missing",
    "image-size",  # an image has another size than its labels state
    "image-too-large",
    "image-unreadable",  # a file is damaged, or cannot be read
    "images-none",  # a folder or list holds no usable image
    # labels and results
    "label-unknown",  # a detector returned a label beyond the categories
    "labels-image-unknown",  # an image is not one of the labeled images
    "labels-no-video",  # a video was given together with labels of images
    # rows
    "rows-missing",  # a file of rows does not exist
    "store-format",  # a store was expected and a file of JSON lines was given, or the other way round
    # weights
    "weights-not-finite",
    # bundles
    "bundle-altered",  # a file of a bundle is missing, truncated or changed: copy the bundle or export it again
    "bundle-newer",  # a newer version wrote the bundle: update paretodet
    "bundle-unsafe",  # a bundle leaves its folder or needs code of others: export it again
    "export-failed",  # a network or an image cannot be written in this format: choose another format
    "size-unsupported",  # the network cannot take this input size: use one that the message allows
]
ERROR_IDS: tuple[str, ...] = get_args(ErrorId)


class InputError(ValueError):
    """Input that cannot be used. `str` gives the message with the id in brackets."""

    def __init__(self, message: str, id: ErrorId) -> None:
        super().__init__(message, id)  # both are arguments, so that the error survives pickling
        self.message = message
        self.id = id

    def __str__(self) -> str:
        return f"{self.message} [{self.id}]"
