"""Streams: many independent states that share one set of weights, stepped with one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rtlstm.errors import LimitError, SampleError, SpecError, StateError
from rtlstm.inputs.arrays import as_rows, output_array, outside
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import BoundKernel, bind
from rtlstm.kernels.native.capi import address
from rtlstm.layouts.arena import MEMORY_LIMIT, Arena, ArenaLayout, arena_bytes

if TYPE_CHECKING:
    from rtlstm.models.network import Network

Array = np.ndarray[Any, Any]
MAX_STREAMS = 1 << 24


class Streams:
    """B independent states of one network; see :meth:`Network.streams`.

    The weights are the network's and are read at every step: what it learns, the streams use.
    """

    def __init__(self, net: Network, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_STREAMS:
            raise SpecError(f"streams must be from 1 to {MAX_STREAMS}, got {count!r}")
        self.net, self.count = net, count
        arena = ArenaLayout()
        plan = net._layout.plan
        size = int(plan[p.STATE_LEN])
        one, other = arena.reserve("f", count, size), arena.reserve("f", count, size)
        frame = arena.reserve("f", min(count, p.STREAM_GROUP), int(plan[p.FRAME_LEN]))
        # of the states as they are, of the next ones, and of scratch; the states take turns
        self._offsets = np.array([[one, other, frame], [other, one, frame]])
        nbytes = arena_bytes(arena.sizes, net.spec.dtype)
        if nbytes > MEMORY_LIMIT:
            raise LimitError(
                f"{count} streams would hold {nbytes} bytes, more than {MEMORY_LIMIT};"
                " nothing was allocated"
            )
        self._arena = Arena(arena.sizes, net.spec.dtype)
        self._now, self._lock = 0, net._lock
        self._made: BoundKernel | None = None

    def step(self, X: Any, out: Array | None = None) -> Array:
        """Predict from one sample of each stream, X (B, inputs); returns (B, outputs).

        Raises SampleError for a wrong shape or dtype or a value that is not finite, naming the
        stream; then no state has moved.
        """
        net = self.net
        X = as_rows(X, net.spec.inputs, net._dtype, "X", checked=False)
        if len(X) != self.count:
            raise SampleError(
                f"X must have one row for each of {self.count} streams, got {len(X)};"
                " nothing was changed"
            )
        blocks = self._arena.bytes, net._arena.bytes
        for block in blocks:
            X = outside(X, block)
        Y = output_array(out, (self.count, net.spec.outputs), net._dtype, X, *blocks)
        with self._lock:
            offsets = self._offsets[self._now]
            status = self._kernel().run(address(offsets), address(X), address(Y), self.count)
            if status:
                stream, kind = divmod(status, 4)
                what = "x must be finite" if kind == p.BAD_INPUT else "the answer is not finite"
                raise SampleError(f"stream {stream}: {what}; no stream was changed")
            self._now = 1 - self._now
        return Y

    def _kernel(self) -> BoundKernel:
        """The kernel of a step over the arrays of today: a learner may have adopted the network."""
        net, made = self.net, self._made
        if made is None or made.arrays[2] is not net._f:
            made = bind("streams.step", net._plan, net._h, net._f, self._arena.f)
            self._made = made
        return made

    def reset(self, index: Any = None) -> None:
        """Set the state of one stream (an index), of some (a sequence), or of all to zero."""
        if index is None:
            index = slice(None)
        elif not isinstance(index, slice) and (
            np.any(np.asarray(index) >= self.count) or np.any(np.asarray(index) < -self.count)
        ):
            raise StateError(f"there are {self.count} streams, got index {index!r}")
        with self._lock:
            self._rows()[index] = 0.0

    def _rows(self) -> Array:
        size = int(self.net._layout.plan[p.STATE_LEN])
        start = int(self._offsets[self._now, 0])
        return self._arena.f[start : start + self.count * size].reshape(self.count, size)

    @property
    def state(self) -> dict[str, Array]:
        """The state by name, each (B, units): views that are valid until the next step."""
        rows, base = self._rows(), int(self.net._layout.plan[p.STATE])
        return {
            name: rows[:, at.offset - base : at.offset - base + at.shape[0]]
            for name, at in self.net._layout.state.items()
        }

    @property
    def memory(self) -> int:
        """Bytes of all states and scratch buffers; the weights do not count."""
        return self._arena.bytes.nbytes

    def __repr__(self) -> str:
        return f"Streams({self.count} of {self.net!r}: {self.memory} bytes)"
