"""An entry put together with the arrays that it works on for good."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rtlstm.kernels.compiler import entries, mode
from rtlstm.kernels.compiler.jit import code_address, entry, signature_of
from rtlstm.kernels.compiler.single import once
from rtlstm.kernels.native.capi import address

Array = np.ndarray[Any, Any]


class BoundKernel(NamedTuple):
    """An entry and its arrays. run: calls it, with addresses and counts, and releases the GIL."""

    run: Callable[..., int]
    address: int  # of the machine code; 0 where there is none
    table: Array
    arrays: tuple[Array, ...]  # what the table tells the places of
    entry: entries.Entry


def bind(name: str, *arrays: Array) -> BoundKernel:
    """The entry of a name over these arrays, one for each kind in its table; compiled now.

    The arrays must stay where they are.
    """
    found = entries.find(name)
    kinds = dict(zip(found.table, arrays, strict=True))
    dtypes = [kinds[tag].dtype for tag in found.tags]
    code, code_at = compiled(name, tuple(dtype.name for dtype in dtypes))
    table = table_of(*arrays)
    given = () if mode.NAME == "ahead" else dtypes  # a library has a function for each
    run = partial(code, address(table), *given)
    run.__dict__["keeps"] = table, *arrays  # a call that still runs keeps them alive
    return BoundKernel(run, code_at, table, arrays, found)


def table_of(*arrays: Array) -> Array:
    """Address and row length of each array, one after the other (2 * arrays,) int64.

    The arrays must outlive the table's use, and stay where they are.
    """
    return np.array([end for a in arrays for end in (address(a), a.shape[-1])], np.int64)


@once
def compiled(name: str, dtypes: tuple[str, ...]) -> tuple[Callable[..., int], int]:
    """The function of an entry for these dtypes, one for each of its tags, and its place."""
    found = entries.find(name)
    if mode.NAME == "ahead" and mode.LEVEL:
        return mode.LEVEL.function(name, dtypes)
    if mode.COMPILES:
        mode.need_numba()
    dispatcher = found.load()
    if mode.INTERPRETED:
        return dispatcher, 0
    signature = signature_of(found, dtypes)
    code_at = code_address(dispatcher, signature, c=not found.table)
    return entry(dispatcher, signature), code_at


class Kernels:
    """The entries of one family over the same arrays, each compiled when it is first called.

    ``Kernels("forecaster", plan, ...).take(...)`` calls "forecaster.take". The arrays must stay
    where they are.
    """

    def __init__(self, family: str, *arrays: Array) -> None:
        self._family, self._arrays = family, arrays
        self._bound: dict[str, BoundKernel] = {}

    def bound(self, name: str) -> BoundKernel:
        """Return the function of an entry by name; it is bound once."""
        if name not in self._bound:
            self._bound[name] = bind(f"{self._family}.{name}", *self._arrays)
        return self._bound[name]

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.startswith("_"):
            raise AttributeError(name)
        run = self.bound(name).run
        setattr(self, name, run)  # so that it is found without this from here on
        return run
