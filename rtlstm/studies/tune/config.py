"""The file of settings that a search writes and a forecaster is made from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from rtlstm.errors import SpecError
from rtlstm.studies.tune import space

KNOWN = {"targets", "horizon", "lags", "rule", "cell", "units", "layers"}


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the arguments of a Forecaster in a file that a search wrote.

    Raises SpecError for what is no such file; its values are checked by the Forecaster. A setting
    that is absent keeps its default.
    """
    try:
        plain = tomllib.loads(Path(path).read_text())["forecaster"]
        unknown = sorted(set(plain) - KNOWN)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is no configuration of a forecaster: {error}") from None
    if unknown:
        raise SpecError(f"{path}: unknown settings {', '.join(unknown)}")
    settings = {**space.DEFAULT, **plain}
    if settings["cell"] not in space.CELLS:
        raise SpecError(f"{path}: cell must be one of {', '.join(space.CELLS)}")
    for name in ("units", "layers", "lags", "horizon"):
        if name in settings and type(settings[name]) is not int:
            raise SpecError(f"{path}: {name} must be a whole number, got {settings[name]!r}")
    arguments = {name: plain[name] for name in ("targets", "lags") if name in plain}
    if "horizon" in plain:
        arguments["horizon"] = [plain["horizon"]]
    if KNOWN & {"cell", "units", "layers", "rule"} & set(plain):
        arguments["layers"] = space.layers_of(settings)
        arguments["rule"] = space.rule_of(settings)
    return arguments
