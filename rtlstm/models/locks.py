"""The lock of an object, which neither an interrupt nor a fork leaves held."""

from __future__ import annotations

import os
import sys
import time
from _thread import RLock
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, WeakSet

FORK_SECONDS = 60.0  # how long a fork waits for calls that run in other threads


class Lock(RLock):  # type: ignore[misc]
    """A re-entrant lock that machine code can look at (see kernels/native/fastcall.py).

    ``with`` takes and releases it by functions in C, between which and the block no interrupt
    comes: a method in Python would be interrupted with the lock already taken.
    """

    def __init__(self) -> None:
        _locks.add(self)


_locks: WeakSet[Lock] = WeakSet()
_held: list[Any] = []  # by the thread that forks
_threads: list[WeakMethod[Any]] = []  # weak methods that forget threads, which a child has not


def forget_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in every child of a fork, as long as its object lives."""
    _threads[:] = [weak for weak in _threads if weak() is not None]
    _threads.append(WeakMethod(method))


def _before_fork() -> None:
    """Wait until no object is in the middle of a call, so that a child finds all of them whole."""
    until = time.monotonic() + FORK_SECONDS
    compiler = sys.modules.get("numba.core.compiler_lock")
    locks: list[Any] = list(_locks)
    single = sys.modules.get("rtlstm.kernels.compiler.single")
    if single is not None:
        locks.append(single.LOCK)
    if compiler is not None:
        locks.append(compiler.global_compiler_lock._lock)  # last: whoever has it may have others
    for lock in locks:
        if lock.acquire(timeout=max(until - time.monotonic(), 0.0)):
            _held.append(lock)


def _after_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    waited = {id(lock) for lock in _held}
    for lock in list(_locks):
        if id(lock) not in waited:
            lock._at_fork_reinit()  # type: ignore[attr-defined]
    _after_in_parent()
    for weak in _threads:
        method = weak()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

__all__ = ["Lock", "forget_in_child"]
