"""Arrays of a block by their address, so that a call from Python hands over one number.

Numba takes an array argument apart, at 30 ns each, and a whole number at 15. What an object holds
for good crosses the border as the address of a table of addresses instead (`bound`). Not for
NUMBA_DISABLE_JIT, where an intrinsic cannot be called, nor for NUMBA_BOUNDSCHECK.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def by_address() -> bool:
    """Whether kernels can be handed addresses."""
    return not (config.DISABLE_JIT or config.BOUNDSCHECK)


def bound(code: Callable[..., int], *arrays: np.ndarray[Any, Any]) -> Callable[..., int]:
    """``code`` with its first argument in place: a table of address and row length of each array.

    What is returned keeps the arrays alive; they must stay where they are.
    """
    ends = [end for array in arrays for end in (array.ctypes.data, array.shape[-1])]
    table = np.array(ends, np.int64)
    whole = partial(code, table.ctypes.data)
    whole.__dict__["kept"] = table, arrays
    return whole


def _view(element: Any) -> Any:
    result = types.Array(element, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(result)(context, builder)
        pointer = context.get_data_type(element).as_pointer()
        size = context.get_constant(types.intp, element.bitwidth // 8)
        populate_array(
            array,
            data=builder.inttoptr(arguments[0], pointer),
            shape=cgutils.pack_array(builder, [arguments[1]]),
            strides=cgutils.pack_array(builder, [size]),
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    return result, codegen


@intrinsic
def ints_at(typing: Any, address: Any, length: Any) -> Any:
    """The int64 array of `length` elements at an address."""
    result, codegen = _view(types.int64)
    return result(types.int64, types.int64), codegen


@intrinsic
def floats_at(typing: Any, address: Any, length: Any, like: Any) -> Any:
    """The array of `length` elements at an address, of the type of the array `like`."""
    result, codegen = _view(like.dtype)
    return result(types.int64, types.int64, like), codegen


@intrinsic
def doubles_at(typing: Any, address: Any, length: Any) -> Any:
    """The float64 array of `length` elements at an address."""
    result, codegen = _view(types.float64)
    return result(types.int64, types.int64), codegen


@intrinsic
def flat(typing: Any, array: Any) -> Any:
    """An array of any stride as one without, for a kernel that has looked at its stride."""
    result = array.copy(layout="C")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = context.make_array(array)(context, builder, arguments[0])
        made = context.make_array(result)(context, builder)
        for field in ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides"):
            setattr(made, field, getattr(given, field))
        return made._getvalue()

    return result(array), codegen
