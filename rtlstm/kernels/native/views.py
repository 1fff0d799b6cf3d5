"""Arrays by their address, so that a call from Python hands over whole numbers alone.

Numba takes an array argument apart, at 30 ns each, and a whole number at 15. What an object holds
for good crosses the border as the address of a table of addresses (`bind.table_of`), what a call
brings as the address of its first element; C code that calls a kernel has nothing else to give.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from rtlstm.kernels.compiler import mode

Array = np.ndarray[Any, Any]
WORD = 8  # bytes of a number in a table


def _at(address: int, length: int, kind: Any) -> Array:
    """The array at an address, for kernels that are interpreted."""
    room = (ctypes.c_char * (int(length) * np.dtype(kind).itemsize)).from_address(int(address))
    return np.frombuffer(room, kind)


if not mode.COMPILES:

    def ints_at(address: int, length: int) -> Array:
        """The int64 array of `length` elements at an address."""
        return _at(address, length, np.int64)

    def doubles_at(address: int, length: int) -> Array:
        """The float64 array of `length` elements at an address."""
        return _at(address, length, np.float64)

    def singles_at(address: int, length: int) -> Array:
        """The float32 array of `length` elements at an address."""
        return _at(address, length, np.float32)

    def numbers_at(address: int, length: int, kind: Any) -> Array:
        """The array of `length` elements of a dtype at an address."""
        return _at(address, length, kind)

else:
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
    def doubles_at(typing: Any, address: Any, length: Any) -> Any:
        """The float64 array of `length` elements at an address."""
        result, codegen = _view(types.float64)
        return result(types.int64, types.int64), codegen

    @intrinsic
    def singles_at(typing: Any, address: Any, length: Any) -> Any:
        """The float32 array of `length` elements at an address."""
        result, codegen = _view(types.float32)
        return result(types.int64, types.int64), codegen

    @intrinsic
    def numbers_at(typing: Any, address: Any, length: Any, kind: Any) -> Any:
        """The array of `length` elements of a dtype at an address."""
        result, codegen = _view(kind.dtype)
        return result(types.int64, types.int64, kind), codegen
