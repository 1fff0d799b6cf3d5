"""Fast calls: a step from Python that goes past numba's way in, and past nothing else.

A kernel of Python's own kind (`fastcall_kernels`) looks at its arguments, makes the array of the
answer, steps and returns it. With numba's way in, the checks in Python that it leaves to the
caller, and a lock, a step of 8 units took 555 ns from Python and one of 32 took 628; so they take
200 and 280. The interpreter's lock keeps others out meanwhile; where a step is long it is let go,
and the object's own lock is held. Whatever is not just as it should be (another dtype, a list,
arrays that overlap, somebody holding the lock) is declined: the caller goes the checked way then.

No object has a fast call before the fields that its kernel reads were found where they are thought
to be (`capi.is_supported`), and one fast step on a copy has done just what the checked one does.
"""

from __future__ import annotations

import warnings
from _thread import RLock
from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler import entries
from rtlstm.kernels.compiler.single import once
from rtlstm.kernels.native import capi
from rtlstm.kernels.native import fastcall_plan as s
from rtlstm.kernels.native.bind import BoundKernel, bind, compiled
from rtlstm.kernels.native.capi import address

Array = np.ndarray[Any, Any]
CANARY_BYTES = 1 << 24  # of what a canary copies; the steps of larger objects gain nothing anyway


class FastCallWarning(RuntimeWarning):
    """Steps take the checked way, some 350 ns longer; results are right."""


class _Table(np.ndarray):  # type: ignore[type-arg]
    """A table, and all that has its address in it: a call that still runs keeps both alive."""

    keeps: tuple[Any, ...]


class FastCall:
    """A fast call, `call`, and what it keeps in its table.

    way: "step" (x, out) or "learn" (x, y, out). code: the bound kernel; lock: the object's, of a
    type that `capi.lock_word_offset` knows; block: all that the kernel writes to; lengths: (inputs,
    outputs); dtype: of all arrays; long: whether the GIL is worth letting go. checked: False for a
    canary's own.
    """

    def __init__(
        self,
        way: str,
        code: BoundKernel,
        lock: Any,
        block: Array,
        lengths: tuple[int, int],
        dtype: Any,
        long: bool,
        checked: bool = True,
    ) -> None:
        self.table = np.zeros(s.LENGTH, np.int64).view(_Table)
        self.call: Callable[..., Any] = unavailable
        self._who = np.zeros(1, np.int64)
        if not (code.address and capi.is_supported()):
            return
        if checked and not _is_sound(way, code, lengths, dtype):
            return
        rooms = np.empty(lengths[0], dtype), np.empty(lengths[1], dtype)
        unknown, methods = np.full(lengths[1], np.nan, dtype), (lock.acquire, lock.release)
        lock_word = id(lock) + capi.lock_word_offset()
        self.table[[s.LOCKED, s.CODE, s.AT]] = lock_word, code.address, address(code.table)
        double = id(np.dtype(float)) if dtype.itemsize == 4 else 0
        kinds = id(np.ndarray), id(dtype), id(None), double
        self.table[[s.ARRAY, s.KIND, s.NONE, s.DOUBLE]] = kinds
        self.table[[s.INPUTS, s.OUTPUTS, s.ITEM, s.LONG]] = *lengths, dtype.itemsize, long
        self.table[[s.BLOCK, s.BLOCK_END]] = address(block), address(block) + block.nbytes
        self.table[[s.ACQUIRE, s.RELEASE]] = [id(method) for method in methods]
        arrays = *rooms, unknown, self._who
        self.table[[s.ROOM_X, s.ROOM_Y, s.UNKNOWN, s.WHO]] = [address(array) for array in arrays]
        self.table[s.IN_ROW] = address(code.arrays[-1]) + p.Q_IN_ROW * 8 if way == "learn" else 0
        self.table[s.NEW : s.CLOCK + 1] = capi.functions()
        self.table.keeps = (code, lock, methods, block, dtype, *arrays)
        self.call = capi.function(_method(way), self.table)

    def retire(self) -> None:
        """Decline every call from here on: the object has moved elsewhere."""
        self.table[s.LOCKED] = address(_ALWAYS_LOCKED)

    @property
    def worst(self) -> int:
        """The longest step so far, in nanoseconds; 0 of "step"."""
        return int(self.table[s.WORST])


_ALWAYS_LOCKED = np.ones(1, np.int64)  # as the word of a lock that somebody holds


@once
def _method(way: str) -> capi.Method:
    """The description of a fast call, which must live as long as any made from it."""
    _, code_at = compiled(f"fast.{way}", ())
    return capi.Method(way.encode(), code_at, capi.FASTCALL, None)


def unavailable(*_: Any) -> None:
    """What stands for a fast call where there can be none."""


# ---------------------------------------------------------------- the canary
_sound: dict[tuple[str, entries.Entry, str], bool] = {}


def _is_sound(way: str, code: BoundKernel, lengths: tuple[int, int], dtype: Any) -> bool:
    """Whether fast steps of this kind have been seen to do what checked ones do."""
    key = way, code.entry, dtype.name
    if key not in _sound:
        if sum(array.nbytes for array in code.arrays) > CANARY_BYTES:
            return False
        _sound[key] = _agrees(way, code, lengths, dtype)
        if not _sound[key]:
            text = f"a fast {way} did not do what a checked one does: rtlstm goes the checked way"
            warnings.warn(text, FastCallWarning, stacklevel=4)
    return _sound[key]


def _agrees(way: str, code: BoundKernel, lengths: tuple[int, int], dtype: Any) -> bool:
    """Compare the two ways on copies: results, refusals and every byte that they leave behind."""
    fast, slow, block = _copy(code), _copy(code), np.zeros(1, dtype)
    made = FastCall(way, fast, RLock(), block, lengths, dtype, False, checked=False)
    x, y = (np.linspace(-0.5, 0.75, length).astype(dtype) for length in lengths)
    unknown = np.full(lengths[1], np.nan, dtype)
    for sample, target in ((x, y), (x, unknown), (np.full_like(x, np.nan), y)):
        out, given = np.empty(lengths[1], dtype), [sample]
        if way == "learn":
            given.append(target)
        who = [made._who] if way == "learn" else []
        status = slow.run(*map(address, (*who, *given, out)), 1)
        returned = made.call(*given, None)
        if status != (returned if isinstance(returned, int) else 0):
            return False
        if not status and (type(returned) is not np.ndarray or returned.tobytes() != out.tobytes()):
            return False
    return all(a.tobytes() == b.tobytes() for a, b in zip(fast.arrays, slow.arrays))


def _copy(code: BoundKernel) -> BoundKernel:
    """The same kernel over copies of its arrays; what was one array is one again."""
    copies = {id(array): array.copy() for array in code.arrays}
    return bind(code.entry.name, *(copies[id(array)] for array in code.arrays))
