"""Plain `numba.njit`, which takes over where the private way of compiling (`dispatch`) may not run.

That way uses parts of numba that no version promises to keep. Within TESTED both ends are run by
the tests. Outside it, or once the private way has raised, every kernel is compiled as numba comes:
the answers are the same, compiling takes twice as long, and a call from Python 1.7 µs where it took
0.9 (there are no fast calls either).
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba

from rtlstm.kernels.compiler import directory, mode, sources

__all__ = ["FASTMATH", "CompilerWarning", "is_active", "plain_kernel", "try_plain", "within"]

# Neither nnan nor ninf: with them LLVM deletes the checks for NaN and infinity.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
TESTED = ((0, 62, 1), (0, 68))  # numba's versions: from the first, up to any patch of the last


class CompilerWarning(RuntimeWarning):
    """Kernels are compiled by plain numba, which takes longer; results are right."""


def within(version: str) -> bool:
    """Whether a version of numba lies in the tested range."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return found >= TESTED[0] and found[: len(TESTED[1])] <= TESTED[1]


_active = mode.NAME == "plain"


def _warn(why: str) -> None:
    text = f"rtlstm compiles its kernels by plain numba, in twice the time: {why}"
    warnings.warn(text, CompilerWarning, stacklevel=3)


def is_active() -> bool:
    """Whether kernels are compiled by plain numba in this process."""
    return _active


def activate(why: str) -> None:
    """Compile by plain numba from here on, and say so once."""
    global _active
    if not _active:
        _active = True
        _warn(why)


def try_plain(error: Exception, compiled: Callable[[], Any]) -> Any:
    """What `compiled` returns with plain numba active, which it then stays; else raises `error`.

    Plain numba may raise as well: then the kernel is at fault, not the private way.
    """
    global _active
    before, _active = _active, True
    try:
        result = compiled()
    except Exception:
        _active = before
        raise error from None
    if not before:
        _warn(f"{type(error).__name__}: {error}")
    return result


def plain_kernel(py_func: Callable[..., Any]) -> Any:
    """Numba's own dispatcher of a kernel, kept on disk by numba's own cache where that can be."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(FASTMATH)}
    # numba keys a closure's file anew in every process.
    if not py_func.__closure__ and str(sources.ROOT) in py_func.__code__.co_filename:
        with contextlib.suppress(OSError, RuntimeError), _own_cache():
            return numba.njit(cache=True, **options)(py_func)
    return numba.njit(**options)(py_func)


@contextlib.contextmanager
def _own_cache() -> Iterator[None]:
    """Numba's cache is our directory, while a kernel is decorated: other functions keep theirs."""
    theirs = numba.config.CACHE_DIR
    path, writable = directory.trusted_directory()
    if not writable:  # numba's cache has no way to read alone
        raise PermissionError(f"{path} is root's")
    numba.config.CACHE_DIR = str(path / "plain")
    try:
        yield
    finally:
        numba.config.CACHE_DIR = theirs


if not within(numba.__version__):
    first, last = (".".join(map(str, end)) for end in TESTED)
    activate(f"this is numba {numba.__version__}, and {first} to {last} are tested")
