"""Make something once in a process, by one thread alone, however many ask for it first."""

from __future__ import annotations

from _thread import RLock  # `threading` takes a millisecond to import
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

LOCK = RLock()


def once(make: Callable[..., Any]) -> Callable[..., Any]:
    """`functools.cache`, but that all threads are given the one thing that was made.

    With `cache` two threads may each make one, and the address of a thing that was thrown away is
    in use for good.
    """
    made = cache(make)

    @wraps(make)
    def get(*args: Any) -> Any:
        with LOCK:
            return made(*args)

    return get
