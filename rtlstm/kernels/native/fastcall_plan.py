"""The table of a fast call: what its kernel knows of the object that it steps."""

from __future__ import annotations

from rtlstm.kernels.slots import SlotTable

READABLE, WRITABLE = 0x101, 0x501  # flags of numpy's: contiguous and aligned; writeable, too

CALL = SlotTable("fast call")
_number = CALL.number

LOCKED = _number("address of a word that is 0 while nobody holds the object's lock")
ARRAY = _number("identity of numpy's type of arrays")
KIND = _number("identity of the dtype")
DOUBLE = _number("identity of float64 where inputs of it are cast, or 0")
NONE = _number("identity of None")
NEW = _number("address of PyArray_NewFromDescr; the seven that follow are those of capi.FUNCTIONS")
OWN = _number("address of Py_IncRef")
DROP = _number("address of Py_DecRef")
NUMBER = _number("address of PyLong_FromLong")
LET_GO = _number("address of PyEval_SaveThread")
TAKE_BACK = _number("address of PyEval_RestoreThread")
INVOKE = _number("address of PyObject_CallNoArgs")
CLOCK = _number("address of clock_gettime")
ACQUIRE = _number("identity of the lock's method acquire")
RELEASE = _number("identity of the lock's method release")
CODE = _number("address of the machine code of the step")
AT = _number("address of the table that the machine code takes")
INPUTS = _number("numbers of a sample")
OUTPUTS = _number("numbers of a prediction")
ITEM = _number("bytes of one of these numbers")
BLOCK = _number("address of the first byte of the object's memory")
BLOCK_END = _number("address of the byte behind the last")
ROOM_X = _number("address of INPUTS numbers for a sample that is cast")
ROOM_Y = _number("address of OUTPUTS numbers for a target that is cast")
UNKNOWN = _number("address of OUTPUTS targets that are NaN")
WHO = _number("address of a 0")
IN_ROW = _number("address of the count of updates skipped in a row")
LONG = _number("1: let other threads take the GIL during a step")
WORST = _number("longest step, in ns")
SECONDS = _number("seconds that the clock returns")
NANOSECONDS = _number("nanoseconds that the clock returns")
LENGTH = CALL.close(globals())
