"""How kernels are compiled: one decorator, and direct entry points.

Nothing else in the package asks how a kernel is run: `mode` says which way, `dispatch` is the fast
one, `fallback` what takes over where that may not run, `cache` keeps what is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from rtlstm.kernels.compiler import mode, sources
from rtlstm.kernels.compiler.entries import Entry

__all__ = ["code_address", "entry", "kernel", "signature_of"]


def kernel(py_func: Callable[..., Any], c: bool = False) -> Any:
    """Compile `py_func` on first use, without the GIL, cached on disk across processes.

    `c`: with an entry for C, too (see `code_address`).

    A function from elsewhere than a source below rtlstm/kernels, or that closes over anything but
    kernels, is compiled but not kept: the key of the cache would not notice a change in it.
    Returns the numba dispatcher, or `py_func` itself where kernels are interpreted.
    """
    if not mode.COMPILES:
        return py_func
    return _maker()(py_func, c)


@cache
def _maker() -> Callable[[Callable[..., Any], bool], Any]:
    """What makes a dispatcher of a function: the private way, or plain numba."""
    mode.need_numba()
    from rtlstm.kernels.compiler import fallback  # imports numba, as the interpreted need not

    if not fallback.is_active():
        try:
            from rtlstm.kernels.compiler import cache as on_disk
            from rtlstm.kernels.compiler import dispatch
        except (ImportError, AttributeError, TypeError) as error:
            fallback.activate(f"{type(error).__name__}: {error}")
        else:
            return lambda py_func, c: _private(dispatch, on_disk, py_func, c)
    return lambda py_func, c: fallback.plain_kernel(py_func)


def _private(dispatch: Any, on_disk: Any, py_func: Callable[..., Any], c: bool) -> Any:
    """A dispatcher of our own, with its cache."""
    from pathlib import Path

    made = dispatch.KernelDispatcher(py_func, c)
    inner = [cell.cell_contents for cell in py_func.__closure__ or ()]
    known = all(isinstance(part, dispatch.KernelDispatcher) for part in inner)
    if known and Path(sources.ROOT) in Path(py_func.__code__.co_filename).parents:
        names = [f"{part.py_func.__module__}.{part.py_func.__qualname__}" for part in inner]
        made._cache = on_disk.KernelCache(py_func, names)
    return made


def signature_of(entry: Entry, dtypes: tuple[str, ...]) -> Any:
    """Numba's types of an entry's arguments: its table, its dtypes, its whole numbers."""
    from numba import from_dtype, types

    kinds = (types.DType(from_dtype(np.dtype(dtype))) for dtype in dtypes)
    table = (types.int64,) if entry.table else ()
    return (*table, *kinds, *len(entry.numbers) * (types.int64,))


def entry(dispatcher: Any, signature: Any) -> Callable[..., Any]:
    """Return the compiled entry point of `dispatcher` for `signature`, compiling if need be.

    It takes the arguments of the signature and checks nothing: an array of another dtype, layout
    or length is read as garbage.  A call with one array and one integer costs about 60 ns, against
    130 ns through the dispatcher.  Where kernels are interpreted the function is returned.
    """
    if not mode.COMPILES:
        return dispatcher  # type: ignore[no-any-return]
    return dispatcher.compile(signature)  # type: ignore[no-any-return]


def code_address(dispatcher: Any, signature: Any, c: bool = False) -> int:
    """Return where the machine code of `dispatcher` for `signature` lies, compiling if need be.

    That is a numba function, which kernels can call; or, of a kernel made with `c`, a C function.
    0 where kernels are interpreted, or compiled by plain numba.
    """
    if not mode.COMPILES:
        return 0
    dispatcher.compile(signature)
    place = getattr(dispatcher, "place", None)
    return place(signature, c) if place else 0
