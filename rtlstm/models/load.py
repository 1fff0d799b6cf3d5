"""Loading of a model file as the class that wrote it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from rtlstm.errors import DamagedFileError, MismatchedFileError, RtlstmError
from rtlstm.files import store
from rtlstm.layouts.ranges import must_be_finite
from rtlstm.models.base import Model

# kind in the file -> module, class, class of its specification; imported when such a file is read
KINDS = {
    "network": ("rtlstm.models.network", "Network", "NetworkSpec"),
    "fleet": ("rtlstm.models.fleet", "Fleet", "FleetSpec"),
    "learner": ("rtlstm.models.learner", "Learner", "LearnerSpec"),
    "forecaster": ("rtlstm.models.forecaster", "Forecaster", "ForecasterSpec"),
    "detector": ("rtlstm.models.detector", "Detector", "DetectorSpec"),
    "classifier": ("rtlstm.models.classifier", "Classifier", "SupervisedSpec"),
    "regressor": ("rtlstm.models.regressor", "Regressor", "SupervisedSpec"),
}


def _classes(kind: str) -> tuple[type[Model], Any]:
    if kind not in KINDS:
        raise MismatchedFileError(f"it holds a {kind!r}, and this version knows {', '.join(KINDS)}")
    module_name, name, spec_name = KINDS[kind]
    module = import_module(module_name)
    return getattr(module, name), getattr(module, spec_name)


def load(path: str | os.PathLike[str], max_bytes: int = store.MAX_BYTES) -> Any:
    """Load a model file: a Network, a Learner, or a model built on one; it continues bit for bit.

    Nothing in the file is executed or believed before it is checked: names, dtypes, shapes, sizes,
    digest, and the range of every number that is used as an index. Raises a kind of ModelFileError
    for a damaged, foreign, too large or newer file.
    """

    def expect(kind: str, plain: dict[str, Any]) -> dict[str, Any]:
        held, spec = _classes(kind)
        return held.expected(spec.from_dict(plain))

    kind, plain, tensors = store.read(path, expect, must_be_finite, max_bytes)
    held, spec = _classes(kind)
    try:
        return held.from_tensors(spec.from_dict(plain), tensors)
    except (RtlstmError, ValueError, TypeError, OverflowError) as error:
        name = os.fspath(path)
        raise DamagedFileError(f"model file {name!r}: {error}; nothing was loaded") from error
