"""Functions of Python's own kind that make one step: kernels that read their arguments themselves.

They run under the GIL, read objects where `capi` says that fields lie, and hand back an object with
a reference of its own. See `fastcall`, which decides where they may be used.
"""

from __future__ import annotations

import time

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native import fastcall_plan as s
from rtlstm.kernels.native import views
from rtlstm.kernels.native.capi import DATA, DTYPE, FLAGS, NDIM, SHAPE, TYPE
from rtlstm.kernels.native.memory import (
    call,
    call2,
    call8,
    load_int32,
    load_int64,
    run6,
    run7,
)


@kernel
def is_plain_array(t, thing, length, kind, flags):
    """Whether an object is an array (length,) of this dtype that has all of these flags."""
    return (
        load_int64(thing + TYPE) == t[s.ARRAY]
        and load_int32(thing + NDIM) == 1
        and load_int64(load_int64(thing + SHAPE)) == length
        and load_int64(thing + DTYPE) == kind
        and load_int32(thing + FLAGS) & flags == flags
    )


@kernel
def is_apart(t, data, length, start, end):
    """Whether an array (length,) at an address shares no byte with those from start to end."""
    return data + length * t[s.ITEM] <= start or data >= end


@kernel
def can_write(t, out, data, length):
    """Whether out, if given, lies apart from the object's memory and an array that is read."""
    if out == t[s.NONE]:
        return True
    start, n = load_int64(out + DATA), t[s.OUTPUTS]
    return is_apart(t, start, n, t[s.BLOCK], t[s.BLOCK_END]) and is_apart(
        t, start, n, data, data + length * t[s.ITEM]
    )


@kernel
def vector_address(t, thing, length, room):
    """Where the numbers of an array (length,) lie, 0 if it does not fit; float64 ones are cast."""
    if is_plain_array(t, thing, length, t[s.KIND], s.READABLE):
        start = load_int64(thing + DATA)
        return start if is_apart(t, start, length, t[s.BLOCK], t[s.BLOCK_END]) else 0
    if t[s.DOUBLE] == 0 or not is_plain_array(t, thing, length, t[s.DOUBLE], s.READABLE):
        return 0
    wide, cast = views.doubles_at(load_int64(thing + DATA), length), views.singles_at(room, length)
    for j in range(length):
        cast[j] = wide[j]
    return room


@kernel
def can_run(t, out):
    """Whether out (or None) is as it should be, and nobody holds the lock."""
    return load_int64(t[s.LOCKED]) == 0 and (
        out == t[s.NONE] or is_plain_array(t, out, t[s.OUTPUTS], t[s.KIND], s.WRITABLE)
    )


@kernel
def new_reference(t, thing):
    """The object, with a reference more."""
    call(t[s.OWN], thing)
    return thing


@kernel
def output_array(t, at, out):
    """The array for the result, owned: `out`, or a new one for None; 0 if there is no memory."""
    if out != t[s.NONE]:
        return new_reference(t, out)
    shape = at + s.OUTPUTS * views.WORD
    return call8(t[s.NEW], t[s.ARRAY], new_reference(t, t[s.KIND]), 1, shape, 0, 0, 0, 0)


@kernel
def release_gil(t):
    """Hold the lock and let the GIL go if the step is long; returns what `acquire_gil` needs."""
    if t[s.LONG]:
        call(t[s.DROP], call(t[s.INVOKE], t[s.ACQUIRE]))  # at once: nobody holds it
        return call(t[s.LET_GO], 0)
    return 0


@kernel
def acquire_gil(t, thread):
    """Take the GIL back, and release the lock."""
    if t[s.LONG]:
        call(t[s.TAKE_BACK], thread)
        call(t[s.DROP], call(t[s.INVOKE], t[s.RELEASE]))


@kernel
def clock(t, at):
    """Nanoseconds of a clock that never goes back."""
    call2(t[s.CLOCK], time.CLOCK_MONOTONIC, at + s.SECONDS * views.WORD)
    return t[s.SECONDS] * 1_000_000_000 + t[s.NANOSECONDS]


@kernel
def result(t, status, y):
    """The prediction, or the status of a refusal as one of Python's numbers."""
    if status == p.OK:
        return y
    call(t[s.DROP], y)
    return call(t[s.NUMBER], status)


def step(table, arguments, count):
    """Network.step(x, out), of what may be stepped at once.

    table: an array; arguments: x (inputs,), out (outputs,) or None. Returns the prediction, or the
    status of a refusal, or None where only the checked way will do.
    """
    at = load_int64(table + DATA)
    t, out = views.ints_at(at, s.LENGTH), load_int64(arguments + views.WORD)
    x = vector_address(t, load_int64(arguments), t[s.INPUTS], t[s.ROOM_X]) if can_run(t, out) else 0
    if x == 0 or not can_write(t, out, x, t[s.INPUTS]):
        return new_reference(t, t[s.NONE])
    y = output_array(t, at, out)
    if y == 0:
        return 0
    thread = release_gil(t)
    status = run6(t[s.CODE], t[s.AT], 0, 0, x, load_int64(y + DATA), 1)
    acquire_gil(t, thread)
    return result(t, status, y)


def learn(table, arguments, count):
    """Learner.step(x, target, out), as `step`; target (outputs,), or None where it is unknown."""
    at = load_int64(table + DATA)
    t, target = views.ints_at(at, s.LENGTH), load_int64(arguments + views.WORD)
    out = load_int64(arguments + 2 * views.WORD)
    ready = can_run(t, out) and load_int64(t[s.IN_ROW]) < p.PATIENCE  # else somebody has to tell
    x = vector_address(t, load_int64(arguments), t[s.INPUTS], t[s.ROOM_X]) if ready else 0
    known = t[s.UNKNOWN]
    if x != 0 and target != t[s.NONE]:
        known = vector_address(t, target, t[s.OUTPUTS], t[s.ROOM_Y])
    fits = x != 0 and known != 0 and can_write(t, out, x, t[s.INPUTS])
    if not fits or not can_write(t, out, known, t[s.OUTPUTS]):
        return new_reference(t, t[s.NONE])
    y = output_array(t, at, out)
    if y == 0:
        return 0
    thread = release_gil(t)
    started = clock(t, at)
    status = run7(t[s.CODE], t[s.AT], 0, t[s.WHO], x, known, load_int64(y + DATA), 1)
    t[s.WORST] = max(t[s.WORST], clock(t, at) - started)
    acquire_gil(t, thread)
    return result(t, status, y)


step_method, learn_method = kernel(step, c=True), kernel(learn, c=True)
