"""Arrays of a block by their address, so that a call from Python hands over numbers.

Numba takes an array argument apart and counts a reference to it, at 30 ns and a call of malloc
each. What an object holds for good crosses the border as an address instead; its owner keeps the
array alive. Not for NUMBA_DISABLE_JIT, where an intrinsic cannot be called.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


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
