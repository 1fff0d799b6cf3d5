"""The learners of a fleet by their keys: rows of matrices that grow and shrink."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from rtlstm.errors import LimitError, SpecError, StateError
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import BoundKernel, Kernels
from rtlstm.layouts import rules
from rtlstm.layouts.arena import Arena, ArrayLayout
from rtlstm.layouts.learner import LearnerLayout, LearnerSpec
from rtlstm.models.base import Model
from rtlstm.models.keys import check_keys
from rtlstm.models.learner import Learner
from rtlstm.models.locks import Lock

Array = np.ndarray[Any, Any]


def strides_of(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the elements from one learner to the next in each buffer, whole cache lines."""
    return {name: -(-size // 16) * 16 for name, size in sizes.items()}


def stacked(
    kept: Mapping[str, ArrayLayout], count: int, strides: Mapping[str, int]
) -> dict[str, ArrayLayout]:
    """Return the layouts of the arrays of ``count`` learners, stacked along a new first axis."""
    return {
        name: ArrayLayout(at.part, at.offset, (count, *at.shape), (strides[at.part], *at.strides))
        for name, at in kept.items()
    }


def _seedless(spec: LearnerSpec) -> LearnerSpec:
    """The specification but for its seeds, which say nothing of how a learner is laid out."""
    return dataclasses.replace(spec, seed=0, network=dataclasses.replace(spec.network, seed=0))


class Members(Model):
    """A learner a row, in the matrices of an arena that doubles when it is full."""

    _arena: Arena
    _capacity: int
    _code: BoundKernel | Any
    _common: Kernels
    _kernels: Kernels
    _keys: list[str | int]
    _learner: LearnerSpec
    _lock: Lock
    _matrices: tuple[Array, ...]
    _max_keys: int | None
    _one: LearnerLayout
    _order: Array
    _row_of: dict[str | int, int]
    _strides: dict[str, int]
    _stuck: Array
    _template: dict[str, Array]

    @property
    def keys(self) -> tuple[str | int, ...]:
        """The keys in the order of the rows of ``step(X, Y)``."""
        return tuple(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._row_of

    def add(self, key: str | int, learner: Learner | None = None) -> None:
        """Add a learner that starts as all others did, or as a copy of ``learner``.

        Full buffers are doubled, so that N calls take time in proportion to N. Raises StateError
        for a key that exists, LimitError above ``max_keys``.
        """
        check_keys([key])
        if not isinstance(learner, Learner | None):
            raise SpecError(f"a learner joins a fleet, not {learner!r}; nothing was changed")
        if learner is not None and _seedless(learner.spec) != _seedless(self._learner):
            raise SpecError("a learner of another specification cannot join; nothing was changed")
        with self._lock:
            self._finish()
            if key in self._row_of:
                raise StateError(f"key {key!r} is there already; nothing was changed")
            row, limit = len(self), self._max_keys
            if limit is not None and row >= limit:
                raise LimitError(f"the fleet is full: max_keys is {limit}; nothing was changed")
            if row == self._capacity:
                self._make_room(2 * self._capacity)
            if learner is None:
                self._put(row, self._template)
            else:
                with learner._lock:
                    self._put(row, learner._arena.parts)
            self._whole(partial(self._join, key, row))

    def _join(self, key: str | int, row: int) -> None:
        self._row_of[key] = row
        if len(self._keys) == row:
            self._keys.append(key)

    def remove(self, key: str | int) -> None:
        """Remove a learner; the last row takes its place."""
        with self._lock:
            self._finish()
            row = int(self._find([key])[0])
            self._whole(partial(self._leave, key, row, len(self) - 1))

    def _leave(self, key: str | int, row: int, last: int) -> None:
        if len(self._keys) == last:
            return
        for matrix in self._matrices:
            matrix[row] = matrix[last]
        self._row_of[self._keys[last]] = row
        self._keys[row] = self._keys[last]
        self._row_of.pop(key, None)
        self._keys.pop()

    def _find(self, named: list[Any]) -> Array:
        try:
            rows = [self._row_of[key] for key in named]
        except (KeyError, TypeError) as error:
            raise StateError(f"no learner has the key {error}; nothing was changed") from None
        if len(set(rows)) != len(rows):
            raise StateError("a key stands twice in one step; nothing was changed")
        return np.array(rows, np.int64)

    @property
    def _who(self) -> Array:
        return self._order[: len(self._keys)]

    def _matrix(self, name: str) -> Array:
        return self._matrices["fdq".index(name)]

    def _put(self, row: int | slice, parts: Mapping[str, Array]) -> None:
        for name, part in parts.items():
            self._matrix(name)[row, : len(part)] = part

    def _make_room(self, capacity: int) -> None:
        """Move to larger matrices; nothing has changed if there is no memory for them."""
        sizes = {name: capacity * stride for name, stride in self._strides.items()}
        arena = Arena(sizes, self._learner.network.dtype)
        matrices = tuple(
            arena.parts[name].reshape(capacity, stride) for name, stride in self._strides.items()
        )
        for to, kept in zip(matrices, self._matrices, strict=False):
            to[: len(kept)] = kept
        plan = self._one.plan.copy()
        if capacity > 1:
            plan[p.NEXT] = self._strides["f"]
        module = rules.rule_row(self._learner.rule).kernels
        self.__dict__.update(
            _kernels=Kernels(module, plan, *matrices),
            _common=Kernels("learner", plan, *matrices),
            _order=np.arange(capacity),
            _stuck=np.full(capacity, -1),  # steps made when a row was refused last
            _arena=arena,
            _matrices=matrices,
            _capacity=capacity,
            _code=None,  # which is bound to where the matrices lie
        )
