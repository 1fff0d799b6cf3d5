"""The table of a fast call: what its kernel knows of the object that it steps."""

from __future__ import annotations

READABLE, WRITABLE = 0x101, 0x501  # flags of numpy's: contiguous and aligned; writeable, too

(
    HELD,  # address of a word that is 0 while nobody holds the object's lock
    ARRAY,  # identities of numpy's array type, the dtype, None
    KIND,
    DOUBLE,  # that of float64 where it has to be cast, or 0
    NONE,
    NEW,  # addresses of C functions, in the order of capi.FUNCTIONS
    OWN,
    DROP,
    NUMBER,
    LET_GO,
    TAKE_BACK,
    INVOKE,
    CLOCK,
    ACQUIRE,  # identities of the lock's two methods
    RELEASE,
    CODE,  # of the machine code, and of its table
    AT,
    INPUTS,
    OUTPUTS,
    ITEM,  # bytes of one of their numbers
    BLOCK,  # addresses of the object's own memory: first byte, and the one behind the last
    BLOCK_END,
    ROOM_X,  # addresses of room for cast inputs (INPUTS) and targets (OUTPUTS)
    ROOM_Y,
    UNKNOWN,  # address of targets (OUTPUTS) that are all NaN
    WHO,  # address of a 0
    IN_ROW,  # address of the count of updates skipped in a row
    LONG,  # 1: let the GIL go meanwhile
    WORST,  # the longest step, in ns
    SECONDS,  # what the clock answers
    NANOSECONDS,
    LENGTH,
) = range(32)
