"""What a call from Python tells the kernel of a forecaster's rows, besides the rows themselves."""

from __future__ import annotations

from rtlstm.kernels.slots import SlotTable

CALL = SlotTable("call for rows")
_number = CALL.number

ROWS = _number("how many rows come")
LEARN = _number("1: they are learned from")
LATE = _number("what happens to a row whose time is not after the last one's: layouts' TIMES")
UNKNOWN = _number("values that they held under names that are no columns")
BEFORE = _number("rows that had come before these: taken, skipped and dropped ones")
CODE = _number("address of the machine code of the learning rule's step, 0 while none is due")
TABLE = _number("address of the table that it takes")
WHO = _number("address of a 0")
X = _number("address of the input that waits for it")
Y = _number("address of the target that waits for it")
P = _number("address of the room for its prediction")
LENGTH = CALL.close(globals())
