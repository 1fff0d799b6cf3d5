"""One allocation for everything that an object holds, and where each array lies in it.

An arena is one allocation with typed buffers: f (the network's dtype: weights, state, traces), d
(float64: least squares, statistics), q (int64: counters), and h (uint16: the matrices of a network
with bfloat16 storage, the upper halves of float32 numbers). An :class:`ArenaLayout` reserves
arrays in one before it is made, and remembers them by name.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rtlstm.kernels import plan as p

MEMORY_LIMIT = 4 << 30  # bytes of one object, where its user names no other limit
ALIGN = 64  # bytes: every part and every fleet row starts on a cache line


def padded(n: int) -> int:
    """The smallest multiple of LANES that holds n."""
    return -(-n // p.LANES) * p.LANES


class ArrayLayout(NamedTuple):
    """Where an array lies in an arena: its buffer, offset, shape and strides, in elements.

    part: the buffer, "f", "d", "q" or "h".
    """

    part: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, part: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The array itself, sharing memory with ``part`` (1-D, contiguous)."""
        size = part.itemsize
        return np.ndarray(
            self.shape, part.dtype, part, self.offset * size, tuple(s * size for s in self.strides)
        )


class ArenaLayout:
    """Reserves arrays in an arena to be made; ``saved`` names what a checkpoint must hold."""

    def __init__(self) -> None:
        self.sizes = {"f": 0, "d": 0, "q": 0}
        self.saved: dict[str, ArrayLayout] = {}

    def reserve(self, part: str, *shape: int, save: str | None = None) -> int:
        """Reserve an array, each dimension as given; returns its offset, a multiple of LANES."""
        offset = self.sizes.setdefault(part, 0)
        shape = tuple(map(int, shape))
        strides = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        self.sizes[part] += padded(math.prod(shape))
        if save is not None:
            if save in self.saved:
                raise ValueError(f"two arrays of one file would be called {save!r}")
            self.saved[save] = ArrayLayout(part, offset, shape, strides)
        return offset

    def mark_saved(self, part: str, offset: int, size: int, name: str) -> None:
        """Name an array that was reserved already as one that a checkpoint must hold."""
        self.saved[name] = ArrayLayout(part, offset, (size,), (1,))


class Arena:
    """One 64-byte aligned allocation and its typed parts f, d and q, all zero at first."""

    def __init__(self, sizes: dict[str, int], dtype: str) -> None:
        self.sizes, self.dtype = dict(sizes), dtype
        nbytes = arena_bytes(sizes, dtype)
        room = np.zeros(nbytes + ALIGN, np.uint8)
        start = -room.ctypes.data % ALIGN
        self.bytes = room[start : start + nbytes]
        self.parts: dict[str, np.ndarray[Any, Any]] = {}
        offset = 0
        for part, length in sizes.items():
            kind = buffer_dtype(part, dtype)
            size = length * np.dtype(kind).itemsize
            self.parts[part] = self.bytes[offset : offset + size].view(kind)
            offset += -(-size // ALIGN) * ALIGN
        self.f, self.d, self.q = self.parts["f"], self.parts["d"], self.parts["q"]

    def parts_of(self, copy: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the buffers in a copy (n,) uint8 of this arena's bytes, sharing its memory."""
        start, parts = self.bytes.ctypes.data, {}
        for name, part in self.parts.items():
            offset = part.ctypes.data - start
            parts[name] = copy[offset : offset + part.nbytes].view(part.dtype)
        return parts

    def view(self, array: ArrayLayout) -> np.ndarray[Any, Any]:
        """Return the array of this layout, which shares the arena's memory."""
        return array.view(self.parts[array.part])


def buffer_dtype(part: str, dtype: str) -> str:
    """The element type of a buffer in the arena of a network of this dtype."""
    return {"f": dtype, "d": "float64", "q": "int64", "h": "uint16"}[part]


def arena_bytes(sizes: dict[str, int], dtype: str) -> int:
    """Bytes of an arena whose buffers have these sizes."""
    widths = {part: np.dtype(buffer_dtype(part, dtype)).itemsize for part in sizes}
    return sum(-(-sizes[part] * widths[part] // ALIGN) * ALIGN for part in sizes)
