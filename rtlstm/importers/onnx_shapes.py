"""Operators of ONNX that only move elements about, on NumPy arrays.

`import_onnx` runs them on constants, and on arrays that hold where each element came from: what
arrives then tells, for any chain of them, whether anything was lost, doubled or out of order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Attributes = Mapping[str, Any]
ENDLESS = (1 << 31) - 1  # from here on a slice has no end, whatever the length
MOST = 1 << 24  # elements of what a graph computes from its own constants


def _axes(inputs: list[Any], attributes: Attributes, rank: int) -> tuple[int, ...]:
    """Axes as an input (opset 13 on) or an attribute (before); there is no default here."""
    axes = attributes.get("axes") if len(inputs) < 2 or inputs[1] is None else inputs[1]
    if axes is None:
        raise ValueError("which axes go depends on the length of the sequence")
    if np.ndim(axes) != 1:
        raise ValueError("axes that are not a list")
    found = tuple(int(axis) + rank * (axis < 0) for axis in axes)
    if len(set(found)) < len(found) or not all(0 <= axis < rank for axis in found):
        raise ValueError(f"axes {[int(axis) for axis in axes]} of {rank}")
    return found


def _reshape(inputs: list[Any], attributes: Attributes) -> Array:
    array, shape = inputs
    if attributes.get("allowzero", 0):
        raise ValueError("allowzero=1")
    wanted = [int(n) if n else array.shape[i] for i, n in enumerate(shape)]
    return array.reshape(wanted)  # type: ignore[no-any-return]


def _squeeze(inputs: list[Any], attributes: Attributes) -> Array:
    found: Array = np.squeeze(inputs[0], _axes(inputs, attributes, inputs[0].ndim))
    return found


def _unsqueeze(inputs: list[Any], attributes: Attributes) -> Array:
    axes = attributes.get("axes") if len(inputs) < 2 else inputs[1]
    rank = inputs[0].ndim + np.size(() if axes is None else axes)
    return np.expand_dims(inputs[0], _axes([None], {"axes": axes}, rank))


def _flatten(inputs: list[Any], attributes: Attributes) -> Array:
    axis = int(attributes.get("axis", 1))
    shape = inputs[0].shape
    axis += len(shape) * (axis < 0)
    return inputs[0].reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))  # type: ignore[no-any-return]


def _slice_of_any(inputs: list[Any], attributes: Attributes) -> Array:
    """A slice that cuts no longer array at other places than the one that is tried."""
    array, starts, ends, axes, _ = _cuts(inputs, attributes)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = array.shape[int(axis)]
        for place in (int(start), int(end)):
            if size < abs(place) < ENDLESS:
                raise ValueError(f"it cuts at {place}, which longer sequences reach")
    return _slice(inputs, attributes)


def _slice(inputs: list[Any], attributes: Attributes) -> Array:
    array, starts, ends, axes, steps = _cuts(inputs, attributes)
    where = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop: int | None = int(end)
        if step < 0 and end < -array.shape[axis]:
            stop = None
        where[int(axis)] = slice(int(start), stop, int(step))
    return array[tuple(where)]  # type: ignore[no-any-return]


def _cuts(inputs: list[Any], attributes: Attributes) -> tuple[Any, ...]:
    """Array, starts, ends, axes and steps, which inputs say, or attributes (before opset 10)."""
    if len(inputs) == 1:
        inputs = [inputs[0], *(np.array(attributes[n]) for n in ("starts", "ends"))]
        if "axes" in attributes:
            inputs.append(np.array(attributes["axes"]))
    array, starts, ends, axes, steps = (*inputs, None, None)[:5]
    axes = range(len(starts)) if axes is None else axes
    return array, starts, ends, axes, np.ones(len(starts), int) if steps is None else steps


def _gather(inputs: list[Any], attributes: Attributes) -> Array:
    array, indices = inputs
    return _bounded(np.take(array, indices, axis=int(attributes.get("axis", 0)), mode="raise"))


def _concat(inputs: list[Any], attributes: Attributes) -> Array:
    if sum(part.size for part in inputs) > MOST:
        raise ValueError(f"more than {MOST} elements")
    return np.concatenate(inputs, int(attributes["axis"]))


def _expand(inputs: list[Any], _: Attributes) -> Array:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(n) for n in inputs[1]))
    if math.prod(shape) > MOST:
        raise ValueError(f"more than {MOST} elements")
    return np.broadcast_to(inputs[0], shape)


def _constant_of_shape(inputs: list[Any], attributes: Attributes) -> Array:
    shape = tuple(int(n) for n in inputs[0])
    if math.prod(shape) > MOST:
        raise ValueError(f"more than {MOST} elements")
    value = attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape, np.asarray(value).reshape(-1)[0])


def _shape(inputs: list[Any], attributes: Attributes) -> Array:
    shape = inputs[0].shape[attributes.get("start", 0) : attributes.get("end")]
    return np.array(shape, np.int64)


def _bounded(array: Array) -> Array:
    if array.size > MOST:
        raise ValueError(f"more than {MOST} elements")
    return array


def _same(inputs: list[Any], _: Attributes) -> Array:
    return inputs[0]  # type: ignore[no-any-return]


def _dropout(inputs: list[Any], _: Attributes) -> Array:
    if len(inputs) > 2 and inputs[2] is not None and np.any(inputs[2]):
        raise ValueError("it drops elements: training_mode is set")
    return inputs[0]  # type: ignore[no-any-return]


def _transpose(inputs: list[Any], attributes: Attributes) -> Array:
    return np.transpose(inputs[0], attributes.get("perm"))


MOVES: dict[str, Callable[[list[Any], Attributes], Array]] = {
    "Identity": _same,
    "Dropout": _dropout,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Slice": _slice_of_any,
    "Gather": _gather,
}
"""On a value that depends on the input, all others constant."""

FOLDS = MOVES | {
    "Slice": _slice,
    "Concat": _concat,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
}
"""On constants alone."""

SHAPE = _shape
