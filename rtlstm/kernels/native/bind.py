"""A kernel put together with the arrays that it works on for good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numba import types

from rtlstm.kernels.compiler.jit import code_address, entry
from rtlstm.kernels.native import views
from rtlstm.kernels.native.capi import address

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BoundKernel:
    """A kernel and its arrays. run: calls it, with addresses and counts, and releases the GIL."""

    run: Callable[..., int]
    place: int  # of the machine code; 0 where there is none
    table: Array
    arrays: tuple[Array, ...]  # what the table tells the places of


def bind(
    dispatcher: Any, numbers: int, arrays: Sequence[Array], like: Sequence[Array]
) -> BoundKernel:
    """Compile or load `dispatcher` for (table of `arrays`, a dtype for each of `like`, `numbers`).

    The arrays must stay where they are.
    """
    table = views.table(*arrays)
    kinds = (views.kind_of(array) for array in like)
    signature = (types.int64, *kinds, *numbers * (types.int64,))
    code = entry(dispatcher, signature)
    run = partial(code, address(table), *(array.dtype for array in like))
    return BoundKernel(run, code_address(dispatcher, signature), table, tuple(arrays))
