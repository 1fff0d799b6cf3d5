"""What kernels that are called like C functions know of Python and numpy: see `fastcall`.

They read fields of objects whose offsets are part of numpy's binary interface (numpy's C-API
reference, "PyArrayObject"); `is_supported` compares them with what numpy says of an array.
"""

from __future__ import annotations

import ctypes
import sys
from _thread import RLock
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from rtlstm.kernels.compiler import mode

# Bytes from the start of an object to a field of it.
TYPE = 8  # of every object
DATA, NDIM, SHAPE, DTYPE, FLAGS = 16, 24, 32, 56, 64  # of an array
# Entries of numpy's table of functions.
ARRAY_TYPE, NEW_FROM_DESCR = 2, 94
FUNCTIONS = (
    *("Py_IncRef", "Py_DecRef", "PyLong_FromLong"),
    *("PyEval_SaveThread", "PyEval_RestoreThread", "PyObject_CallNoArgs"),
)
WORD = 8
FASTCALL = 0x80  # METH_FASTCALL: f(self, array of arguments, how many)


class Method(ctypes.Structure):
    """PyMethodDef (C-API reference, "Implementing functions and methods")."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def function(method: Method, table: Any) -> Callable[..., Any]:
    """A function of Python's; the C function gets `table`, which it keeps, as its first argument.

    The method must outlive it.
    """
    make = _python_function(
        "PyCFunction_NewEx", ctypes.POINTER(Method), ctypes.py_object, ctypes.c_void_p
    )
    return make(ctypes.byref(method), table, None)  # type: ignore[no-any-return]


def _python_function(name: str, *arguments: Any, result: Any = ctypes.py_object) -> Any:
    """A function of Python's C-API, for us alone: ctypes.pythonapi's own are everybody's."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


def address(array: np.ndarray[Any, Any]) -> int:
    """Where the first element of an array lies."""
    if not is_supported():
        return array.__array_interface__["data"][0]  # type: ignore[no-any-return]
    return ctypes.c_int64.from_address(id(array) + DATA).value  # a sixth of the time


@cache
def functions() -> list[int]:
    """Addresses of numpy's PyArray_NewFromDescr, of FUNCTIONS, and of clock_gettime."""
    found = [getattr(ctypes.pythonapi, name) for name in FUNCTIONS]
    found.append(ctypes.CDLL(None).clock_gettime)
    addresses = (ctypes.cast(f, ctypes.c_void_p).value or 0 for f in found)
    return [_numpy_function(NEW_FROM_DESCR), *addresses]


def _numpy_function(number: int) -> int:
    """An entry of numpy's table of functions."""
    names = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
    module = next(sys.modules[name] for name in names if name in sys.modules)
    given = ctypes.py_object, ctypes.c_char_p
    look = _python_function("PyCapsule_GetPointer", *given, result=ctypes.c_void_p)
    table = ctypes.cast(look(module._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return table[number] or 0


@cache
def is_supported() -> bool:
    """Whether objects lie here as kernels read them, and one lock of the interpreter guards all."""
    if mode.INTERPRETED or mode.CHECKED or sys.implementation.name != "cpython":
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)() or sys.maxsize < 2**62:
        return False
    if not lock_word_offset():
        return False
    return _fields_agree(np.zeros(3, np.float32)) and _has_clock()


def _has_clock() -> bool:
    """Whether clock_gettime can be looked up; on Windows, nothing can be in this way."""
    try:
        return hasattr(ctypes.CDLL(None), "clock_gettime")
    except (OSError, TypeError):
        return False


@cache
def lock_word_offset() -> int:
    """Bytes from the start of a re-entrant lock to a word that is 0 while nobody holds it, or 0.

    Found by looking: the fields of these locks are Python's own affair.
    """
    lock = RLock()
    size = type(lock).__basicsize__
    if sys.implementation.name != "cpython" or size % WORD or type(lock).__module__ != "_thread":
        return 0

    def words() -> np.ndarray[Any, Any]:
        return np.array((ctypes.c_int64 * (size // WORD)).from_address(id(lock))) != 0

    steps = (None, lock.acquire, lock.acquire, lock.release, lock.release)
    seen = np.array([(step and step(), words())[1] for step in steps])
    lock_word = np.flatnonzero((seen.T == [False, True, True, True, False]).all(axis=1))
    return WORD * int(lock_word[-1]) if len(lock_word) else 0


def _fields_agree(sample: np.ndarray[Any, Any]) -> bool:
    """Whether the fields of an array (n,) lie where kernels look for them."""
    if np.ndarray.__basicsize__ < FLAGS + 4 or _numpy_function(ARRAY_TYPE) != id(np.ndarray):
        return False

    def int64_at(at: int) -> int:
        return ctypes.c_int64.from_address(at).value

    def int32_at(at: int) -> int:
        return ctypes.c_int32.from_address(at).value

    start = id(sample)
    return (
        int64_at(start + TYPE) == id(np.ndarray)
        and int64_at(start + DATA) == sample.ctypes.data
        and int32_at(start + NDIM) == 1
        and int64_at(start + DTYPE) == id(sample.dtype)
        and int32_at(start + FLAGS) == sample.flags.num
        and int64_at(int64_at(start + SHAPE)) == len(sample)
    )
