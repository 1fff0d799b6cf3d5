"""Check what users pass in, and turn it into plain arrays of the right dtype and shape."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.errors import SampleError
from rtlstm.spec import NetworkSpec

Array = np.ndarray[Any, Any]
REAL_KINDS = "fiub"


def as_sample(x: Any, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> Array:
    """x as a C-contiguous array of this dtype and shape; raises SampleError otherwise.

    Integers, booleans and other floats are cast; complex, object, string, masked and date arrays
    are refused. The common case, an array that fits already, costs four comparisons.
    """
    if type(x) is np.ndarray and x.dtype is dtype and x.shape == shape and x.flags.c_contiguous:
        fits: Array = x
        return fits
    return _cast(x, shape, dtype, what)


def as_rows(X: Any, width: int, dtype: np.dtype[Any], what: str, *, checked: bool = True) -> Array:
    """X as a C-contiguous (T, width) array; every value is finite if it is to be ``checked``."""
    rows = _cast(X, (None, width), dtype, what)
    if checked:
        must_be_finite(rows, what)
    return rows


def must_be_finite(rows: Array, what: str, count: Callable[[Array], Any] | None = None) -> None:
    """Raise SampleError if a row of (T, width) is not finite; ``count`` gets their numbers."""
    good = np.isfinite(rows)
    if not good.all():  # over all at once, which takes a tenth of what it takes row by row
        bad = np.flatnonzero(~good.all(axis=1))
        if count is not None:
            count(bad)
        raise SampleError(
            f"{what} must be finite, got NaN or infinity in row {bad[0]}; no row was taken"
        )


def as_target(y: Any, shape: tuple[int, ...], dtype: np.dtype[Any], spec: NetworkSpec) -> Array:
    """One target as a C-contiguous array (outputs,); see :func:`as_targets` for what it may be."""
    if type(y) is np.ndarray and y.dtype is dtype and y.shape == shape and y.flags.c_contiguous:
        return y
    return as_targets(y, None, spec)


def as_targets(Y: Any, rows: int | None, spec: NetworkSpec, what: str = "y") -> Array:
    """Targets as (rows, outputs), or (outputs,) for rows None; NaN means unknown.

    One output takes plain numbers; a softmax head also takes class indices, made one-hot here.
    """
    dtype, n = np.dtype(spec.dtype), spec.outputs
    lead = () if rows is None else (rows,)
    array = np.asarray(Y)
    if spec.head == "softmax" and n > 1 and array.shape == lead and array.dtype.kind in "iu":
        if array.size and not 0 <= array.min() <= array.max() < n:
            raise SampleError(f"{what} must name classes from 0 to {n - 1}; nothing was learned")
        Y = np.eye(n, dtype=dtype)[array]
    if n == 1 and array.shape == lead:
        Y = array.reshape(*lead, 1)
    return _cast(Y, (*lead, n), dtype, what)


def masked_array() -> Any:
    """The class of masked arrays for isinstance, or no class, without importing numpy.ma.

    Where nobody has imported it nothing can be masked, and importing it is a tenth of a start.
    """
    ma = sys.modules.get("numpy.ma")
    return () if ma is None else ma.MaskedArray


def _cast(x: Any, shape: tuple[int | None, ...], dtype: np.dtype[Any], what: str) -> Array:
    parts = x if isinstance(x, list | tuple) else (x,)
    masked = masked_array()
    if any(isinstance(part, masked) for part in parts):
        raise SampleError(f"{what} must be a plain array, got a masked one; nothing was changed")
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        raise SampleError(f"{what} must be an array of numbers ({error})") from None
    if array.dtype.kind not in REAL_KINDS:
        raise SampleError(
            f"{what} must hold real numbers, got dtype {array.dtype}; nothing was changed"
        )
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape)):
        want = str(shape).replace("None", "T")
        raise SampleError(f"{what} must have shape {want}, got {array.shape}; nothing was changed")
    with np.errstate(over="ignore"):  # what overflows float32 is infinite, and refused as such
        return np.ascontiguousarray(array, dtype)


def output_array(
    out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any], *others: Array
) -> Array:
    """The array for a result: a new one, or ``out`` if it fits and shares nothing with others.

    others: what is read for the result, or written beside it; whether they overlap is judged by
    their bounds.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not (
        type(out) is np.ndarray
        and out.dtype is dtype
        and out.shape == shape
        and out.flags.c_contiguous
        and out.flags.writeable
    ):
        raise SampleError(
            f"out must be a writable C-contiguous {dtype} array of shape {shape};"
            " nothing was changed"
        )
    if any(np.may_share_memory(out, other) for other in others):
        raise SampleError(
            "out shares memory with the samples, the targets or the object's own arrays, which it"
            " would overwrite while they are read; give an array of its own. Nothing was changed"
        )
    return out


def outside(array: Array, block: Array) -> Array:
    """The array, or a copy of it if it may lie in an object's own block, which is about to move."""
    return array.copy() if np.may_share_memory(array, block) else array
