"""`module:make`: a function of the user's that makes a Candidate."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from paretodet.bench.candidate import Candidate
from paretodet.config import PERMISSIONS, CandidateConfig
from paretodet.detectors.families import UnknownName
from paretodet.errors import InputError, words
from paretodet.sources.source import Source, no_option
from paretodet.transforms.resize_policy import FITS

PACKAGE = __name__.partition(".")[0]


class PythonModule(Source):
    """Calls the function with the options that are set; `fit` is a function of height and width.

    The module may be in the working folder. It runs whatever its author wrote, so `load` raises InputError without
    `trust`, before it is imported; modules of this package need none.
    """

    options = frozenset(field.name for field in fields(CandidateConfig))  # `make` decides which of them
    form = None
    is_code = True

    def owns(self, name: str) -> bool:
        return ":" in name

    def load(self, config: CandidateConfig) -> Candidate:
        make = _function(config.name, trust=config.trust is True)
        parameters = inspect.signature(make).parameters
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        options = config.options | ({"fit": FITS[config.fit]} if config.fit else {})
        for name in {"labels", *PERMISSIONS} - {*parameters}:
            options.pop(name, None)  # who reads the detections names the classes; no function need take a permission
        if not takes_all and (unknown := sorted(options.keys() - set(parameters))):
            raise no_option(config.name, unknown[0])
        try:
            candidate = make(**options)
        except (Exception, SystemExit) as error:
            raise InputError(f"{config.name} raised {type(error).__name__}: {words(error)}", "module-failed") from error
        if not isinstance(candidate, Candidate):
            made = type(candidate).__name__
            raise InputError(
                f"{config.name} returned {made}, which lacks name, prepare, infer or finish", "module-failed"
            )
        return candidate


def _function(name: str, *, trust: bool) -> Callable[..., Any]:
    """Raises UnknownName if there is no such module or function, InputError without trust and if it cannot be
    imported.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if not all(map(str.isidentifier, module.split("."))):
        raise UnknownName(f"{name!r}: {module!r} is not the name of a module; give what `import` takes, not a path")
    top = module.partition(".")[0]
    if top not in sys.modules and find_spec(top) is None:
        raise UnknownName(f"{name!r}: there is no module {top!r}")
    if not trust and top != PACKAGE:
        message = f"{name}: it runs the code of a module; add --trust if you trust its author"
        raise InputError(message, "trust-needed")
    try:
        make = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UnknownName(f"{name!r}: there is no module {error.name!r}") from error
    except (Exception, SystemExit) as error:  # a script that exits when it has run
        raise InputError(
            f"{name}: importing {module} raised {type(error).__name__}: {words(error)}", "module-failed"
        ) from error
    if not callable(make):
        raise UnknownName(f"{name!r}: module {module} has no function {attribute!r}")
    return make
