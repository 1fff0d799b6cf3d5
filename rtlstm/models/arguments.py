"""Arguments of the models for streams, typed, checked, and as their specifications hold them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from rtlstm.errors import LimitError, SpecError
from rtlstm.layouts.forecaster import MAX_HORIZON
from rtlstm.spec import Layer
from rtlstm.training import Rule


class RowOptions(TypedDict, total=False):
    """How a :class:`rtlstm.Forecaster` takes its rows, and whether it tells means or medians."""

    missing: str
    times: str
    missing_values: Sequence[float]
    point: str


class ForecasterOptions(RowOptions, total=False):
    """The options of a :class:`rtlstm.Forecaster` that a model built around one hands on to it."""

    lags: int
    layers: Layer | Sequence[Layer]
    rule: str | Rule
    seed: int
    coverage: float


class SupervisedOptions(TypedDict, total=False):
    """The rarer options of a :class:`rtlstm.Classifier` or :class:`rtlstm.Regressor`."""

    rule: str | Rule
    seed: int
    missing: str


def check_options(owner: type, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise TypeError, as Python does for a call of `owner`, for an option that is not known."""
    for name in options:
        if name not in known:
            names = [*inspect.signature(owner).parameters, *sorted(known)]
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            message = f"{owner.__name__}() got an unexpected keyword argument {name!r}{hint}"
            raise TypeError(message)


def as_row_options(owner: type, options: RowOptions) -> dict[str, Any]:
    """Return the options as fields of a specification.

    owner: the class that was called. Raises TypeError for a name that is none of them, and
    SpecError for missing values that are not numbers.
    """
    check_options(owner, options, RowOptions.__optional_keys__)
    fields: dict[str, Any] = {**options}
    if "missing_values" in fields:
        fields["missing_values"] = _numbers(fields["missing_values"])
    return fields


def as_names(what: str, names: Any) -> tuple[str, ...]:
    """Return names as a tuple; raises SpecError for a single string, or what is no list."""
    if isinstance(names, str | bytes):
        raise SpecError(f"{what} is a list of names, got {names!r}")
    return as_list(what, names, "names")


def as_list(what: str, values: Any, of: str) -> tuple[Any, ...]:
    """Return values as a tuple; raises SpecError for what is no list of any."""
    try:
        return tuple(values)
    except TypeError:
        raise SpecError(f"{what} is a list of {of}, got {values!r}") from None


def as_horizons(horizon: Any) -> tuple[int, ...]:
    """Return 1 … n for a number n, or the given horizons as a tuple."""
    most = MAX_HORIZON
    if isinstance(horizon, np.integer | np.ndarray):
        horizon = horizon.tolist()
    if isinstance(horizon, bool) or not isinstance(horizon, int | Sequence | range):
        raise SpecError(f"horizon must be a whole number or several, got {horizon!r}")
    if isinstance(horizon, int):
        if not 1 <= horizon <= MAX_HORIZON:
            raise SpecError(
                f"horizon must be a whole number from 1 to {MAX_HORIZON}, got {horizon}"
            )
        return tuple(range(1, horizon + 1))
    if len(horizon) > most:
        raise LimitError(f"at most {most} horizons, got {len(horizon)}")
    return tuple(int(ahead) if isinstance(ahead, np.integer) else ahead for ahead in horizon)


def _numbers(values: Any) -> tuple[float, ...]:
    """The numbers that stand for missing cells; what is not a number is left to be refused."""
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise SpecError(f"missing_values must be numbers, got {values!r}") from None
