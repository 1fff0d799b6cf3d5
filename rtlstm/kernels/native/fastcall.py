"""Functions of Python's own kind that make one step: kernels that read their arguments themselves.

Such a function looks at its arguments, makes the array of the answer, steps and returns it. With
numba's way in, the checks in Python that it leaves to the caller, and a lock, a step of 8 units
took 555 ns from Python and one of 32 took 628; so they take 200 and 280. The interpreter's lock
keeps others out meanwhile; where a step is long it is let go, and the object's `Lock` waits for its
end. Whatever is not just as it should be (another dtype, a list, somebody holding the lock) is
declined, and so is every call where `capi.usable` says no: the caller goes the careful way then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import code_address, kernel
from rtlstm.kernels.native import capi, views
from rtlstm.kernels.native.bind import BoundKernel
from rtlstm.kernels.native.capi import DATA, DTYPE, FLAGS, NDIM, SHAPE, TYPE, address
from rtlstm.kernels.native.memory import (
    call,
    call2,
    call8,
    load_int32,
    load_int64,
    run6,
    run7,
    store_int64,
)

Array = np.ndarray[Any, Any]

READABLE, WRITABLE = 0x101, 0x501  # flags: contiguous and aligned; writeable, too

# The table of a fast call.
(
    HELD,  # address of the lock's two numbers
    ARRAY,  # identities of numpy's array type, the dtype, None
    KIND,
    DOUBLE,  # that of float64 where it has to be cast, or 0
    NONE,
    NEW,  # addresses of C functions, in the order of capi.FUNCTIONS
    OWN,
    DROP,
    NUMBER,
    LET_GO,
    TAKE_BACK,
    CLOCK,
    CODE,  # of the machine code, and of its table
    AT,
    INPUTS,
    OUTPUTS,
    ROOM_X,  # addresses of room for cast inputs (INPUTS) and targets (OUTPUTS)
    ROOM_Y,
    UNKNOWN,  # address of targets (OUTPUTS) that are all NaN
    WHO,  # address of a 0
    LONG,  # 1: let the GIL go meanwhile
    WORST,  # the longest step, in ns
    SECONDS,  # what the clock answers
    NANOSECONDS,
    LENGTH,
) = range(25)


# ---------------------------------------------------------------- inside
@kernel
def is_plain_array(t, thing, length, kind, flags):
    """Whether an object is an array (length,) of this dtype that has all of these flags."""
    return (
        load_int64(thing + TYPE) == t[ARRAY]
        and load_int32(thing + NDIM) == 1
        and load_int64(load_int64(thing + SHAPE)) == length
        and load_int64(thing + DTYPE) == kind
        and load_int32(thing + FLAGS) & flags == flags
    )


@kernel
def vector_address(t, thing, length, room):
    """Where the numbers of an array (length,) lie, 0 if it does not fit; float64 ones are cast."""
    if is_plain_array(t, thing, length, t[KIND], READABLE):
        return load_int64(thing + DATA)
    if t[DOUBLE] == 0 or not is_plain_array(t, thing, length, t[DOUBLE], READABLE):
        return 0
    wide, cast = views.doubles_at(load_int64(thing + DATA), length), views.singles_at(room, length)
    for j in range(length):
        cast[j] = wide[j]
    return room


@kernel
def can_run(t, out):
    """Whether out (or None) is as it should be, and nobody holds the lock."""
    return (
        (out == t[NONE] or is_plain_array(t, out, t[OUTPUTS], t[KIND], WRITABLE))
        and load_int64(t[HELD]) == 0
        and load_int64(t[HELD] + views.WORD) == 0
    )


@kernel
def new_reference(t, thing):
    """The object, with a reference more."""
    call(t[OWN], thing)
    return thing


@kernel
def output_array(t, at, out):
    """The array to answer into, owned: `out`, or a new one for None; 0 if there is no memory."""
    if out != t[NONE]:
        return new_reference(t, out)
    shape = at + OUTPUTS * views.WORD
    return call8(t[NEW], t[ARRAY], new_reference(t, t[KIND]), 1, shape, 0, 0, 0, 0)


@kernel
def release_gil(t):
    """Let the GIL go if the step is long; returns what `acquire_gil` needs."""
    if t[LONG]:
        store_int64(t[HELD] + views.WORD, 1)
        return call(t[LET_GO], 0)
    return 0


@kernel
def acquire_gil(t, thread):
    """Take the GIL back."""
    if t[LONG]:
        call(t[TAKE_BACK], thread)
        store_int64(t[HELD] + views.WORD, 0)


@kernel
def clock(t, at):
    """Nanoseconds of a clock that never goes back."""
    call2(t[CLOCK], time.CLOCK_MONOTONIC, at + SECONDS * views.WORD)
    return t[SECONDS] * 1_000_000_000 + t[NANOSECONDS]


@kernel
def result(t, status, y):
    """The answer, or the status of a refusal as one of Python's numbers."""
    if status == p.OK:
        return y
    call(t[DROP], y)
    return call(t[NUMBER], status)


def _step(table, arguments, count):
    """Network.step(x, out): returns the answer, None if it declines, or a refusal's status.

    table: an array; arguments: x (inputs,), out (outputs,) or None.
    """
    at = load_int64(table + DATA)
    t, out = views.ints_at(at, LENGTH), load_int64(arguments + views.WORD)
    x = vector_address(t, load_int64(arguments), t[INPUTS], t[ROOM_X]) if can_run(t, out) else 0
    if x == 0:
        return new_reference(t, t[NONE])
    y = output_array(t, at, out)
    if y == 0:
        return 0
    thread = release_gil(t)
    status = run6(t[CODE], t[AT], 0, 0, x, load_int64(y + DATA), 1)
    acquire_gil(t, thread)
    return result(t, status, y)


def _learn(table, arguments, count):
    """Learner.step(x, target, out), as `_step`; target (outputs,), or None where it is unknown."""
    at = load_int64(table + DATA)
    t, target = views.ints_at(at, LENGTH), load_int64(arguments + views.WORD)
    out = load_int64(arguments + 2 * views.WORD)
    x = vector_address(t, load_int64(arguments), t[INPUTS], t[ROOM_X]) if can_run(t, out) else 0
    known = t[UNKNOWN]
    if x != 0 and target != t[NONE]:
        known = vector_address(t, target, t[OUTPUTS], t[ROOM_Y])
    if x == 0 or known == 0:
        return new_reference(t, t[NONE])
    y = output_array(t, at, out)
    if y == 0:
        return 0
    thread = release_gil(t)
    started = clock(t, at)
    status = run7(t[CODE], t[AT], 0, t[WHO], x, known, load_int64(y + DATA), 1)
    t[WORST] = max(t[WORST], clock(t, at) - started)
    acquire_gil(t, thread)
    return result(t, status, y)


# ---------------------------------------------------------------- from Python
class FastCall:
    """A fast call, `call`, and what it keeps in its table.

    way: "step" (x, out) or "learn" (x, y, out). code: the bound kernel; lock: the address of the
    two numbers of a `Lock`; lengths: (inputs, outputs); dtype: of all arrays; long: whether the
    interpreter's lock is worth letting go. All that has an address here must outlive the function.
    """

    def __init__(
        self,
        way: str,
        code: BoundKernel,
        lock: int,
        lengths: tuple[int, int],
        dtype: Any,
        long: bool,
    ) -> None:
        self.table, self._code = np.zeros(LENGTH, np.int64), code
        self._rooms = np.empty(lengths[0], dtype), np.empty(lengths[1], dtype)
        self._unknown = np.full(lengths[1], np.nan, dtype)
        self._who = np.zeros(1, np.int64)
        if not (code.place and capi.is_supported()):
            self.call: Callable[..., Any] = unavailable
            return
        self.table[[HELD, CODE, AT]] = lock, code.place, address(code.table)
        double = id(np.dtype(float)) if dtype.itemsize == 4 else 0
        self.table[[ARRAY, KIND, NONE, DOUBLE]] = id(np.ndarray), id(dtype), id(None), double
        self.table[[INPUTS, OUTPUTS, LONG]] = *lengths, long
        arrays = *self._rooms, self._unknown, self._who
        self.table[[ROOM_X, ROOM_Y, UNKNOWN, WHO]] = [address(array) for array in arrays]
        self.table[NEW : CLOCK + 1] = capi.functions()
        self.call = capi.function(_method(way), self.table)

    @property
    def worst(self) -> int:
        """The longest step so far, in nanoseconds; 0 of "step"."""
        return int(self.table[WORST])


@cache
def _method(way: str) -> capi.Method:
    """The description of a fast call, which must live as long as any made from it."""
    dispatcher = kernel({"step": _step, "learn": _learn}[way], c=True)
    place = code_address(dispatcher, 3 * (types.int64,), c=True)
    return capi.Method(way.encode(), place, capi.FASTCALL, None)


def unavailable(*_: Any) -> None:
    """What stands for a fast call where there can be none."""
