"""Network: a stack of recurrent layers and a head, stepped one sample at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from rtlstm.errors import LimitError, RtlstmError, SampleError
from rtlstm.inputs.arrays import as_rows, as_sample, as_targets, output_array, outside
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import bind
from rtlstm.kernels.native.capi import address
from rtlstm.kernels.native.fastcall import FastCall
from rtlstm.layouts import network as layout
from rtlstm.layouts.arena import MEMORY_LIMIT, Arena, ArrayLayout, arena_bytes
from rtlstm.models import initialize as initial
from rtlstm.models.base import Model
from rtlstm.models.locks import Lock
from rtlstm.spec import Layer, NetworkSpec

if TYPE_CHECKING:
    from rtlstm.models.streams import Streams

Array = np.ndarray[Any, Any]
CHUNK_SECONDS = 0.02  # `run` comes back to Python at least this often, so that Ctrl-C is heard
GIL_RELEASE_NS = 200_000  # a step of more `step_nanoseconds` (some 3 µs in truth) lets the GIL go


class Network(Model):
    """A stack of recurrent layers and a head that keeps its state from sample to sample.

    ``inputs`` and ``outputs``: widths of a sample and of a prediction. ``layers``: one or several
    of :class:`rtlstm.LSTM`, :class:`rtlstm.GRU`, :class:`rtlstm.RNN`. ``head``: "linear",
    "logistic", "softmax", or None (the output of the last layer is the prediction); ``head_bias``:
    it has a bias; ``head_inputs``: it also sees the sample. ``dtype``: "float32" or "float64". The
    same ``seed`` gives the same weights on every platform. ``storage="bfloat16"`` keeps the
    matrices in half the bytes, rounded to 8 bits of precision (except the rows of up to 16 inputs,
    or of a quarter of the units), and computes in float32: this is faster from 64 units on, where
    reading weights is the cost; such a network cannot learn (see :meth:`stored`). Raises SpecError
    for arguments that make no sense.
    """

    kind = "network"

    def __init__(
        self,
        inputs: int,
        layers: Layer | list[Layer] | tuple[Layer, ...],
        outputs: int,
        head: str | None = "linear",
        head_bias: bool = True,
        head_inputs: bool = False,
        head_init: Any = "glorot",
        dtype: str = "float32",
        seed: int = 0,
        storage: str | None = None,
    ) -> None:
        stack = tuple(layers) if isinstance(layers, list | tuple) else (layers,)
        self._build(
            NetworkSpec(
                inputs,
                stack,
                outputs,
                head,
                head_bias,
                head_inputs,
                head_init,
                dtype,
                seed,
                storage,
            )
        )
        initial.fill(self.spec, self.parameters)

    def _build(self, spec: NetworkSpec) -> None:
        self.spec, self._lock = spec, Lock()
        self._dtype = np.dtype(spec.dtype)
        self._in, self._out = (spec.inputs,), (spec.outputs,)
        self._made: tuple[Any, FastCall] | None = None
        self._run: Callable[..., int]
        self._fast_call: Callable[..., Any]
        self._f: Array
        self._h: Array
        self._plan: Array
        self._layout, arena = layout.alone(spec)
        self._saved = arena.saved
        size = arena_bytes(arena.sizes, spec.dtype)
        if size > MEMORY_LIMIT:
            raise LimitError(
                f"this network would hold {size} bytes, more than {MEMORY_LIMIT}: use fewer units"
                " or layers; nothing was allocated"
            )
        self._adopt(Arena(arena.sizes, spec.dtype), self._layout)
        self._layout.prepare(self._arena)

    def _adopt(self, arena: Arena, net: layout.NetworkLayout) -> None:
        """Live in an arena: the network's own, or a learner's that begins like it."""
        made = {
            "_arena": arena,
            "_plan": net.plan,
            "_f": arena.f,
            "_h": arena.parts.get("h", arena.f),
            "_run": self._compile,
            "_fast_call": self._make_fast_call,
            "_made": None,
        }
        with self._lock:
            old = self._made
            self.__dict__.update(made)  # at once: an interrupt finds it here or there
            if old is not None:
                old[1].retire()

    @classmethod
    def from_spec(cls, spec: NetworkSpec) -> Network:
        """Build the network as specified, with all weights zero, for loading into."""
        net = cls.__new__(cls)
        net._build(spec)
        return net

    # ------------------------------------------------------------------ stepping
    def step(self, x: Any, out: Array | None = None) -> Array:
        """Predict from one sample and move the state; returns the prediction (outputs,).

        x: (inputs,), any real dtype, cast to the network's. out: a C-contiguous array (outputs,) of
        the network's dtype, written and returned if given. Raises SampleError for a wrong shape or
        dtype, or a value that is not finite, and leaves every byte of the state as it was.
        """
        y = self._fast_call(x, out)
        if y is None:
            x = outside(as_sample(x, self._in, self._dtype, "x"), self._arena.bytes)
            room = output_array(out, self._out, self._dtype, x, self._arena.bytes)
            y = self._fast_call(x, room)
            if y is None:  # somebody holds the lock, or there is no fast call
                with self._lock:
                    y = self._run(address(x), address(room), 1) or room
        if y.__class__ is int:
            raise_for_status(y)
        return y  # type: ignore[no-any-return]

    def _compile(self, *args: Any) -> int:
        """The first call of `_run`: gets the machine code, which replaces it."""
        self._first_use()
        return self._run(*args)

    def _make_fast_call(self, *args: Any) -> Any:
        """The first call of `_fast_call`."""
        self._first_use()
        return self._fast_call(*args)

    def _first_use(self) -> None:
        """Get the machine code, once, however many threads come first."""
        with self._lock:
            if self._made is not None:
                return
            code = bind("network.run", self._plan, self._h, self._f)
            long = step_nanoseconds(self.spec) > GIL_RELEASE_NS
            lengths = (*self._in, *self._out)
            fast = FastCall("step", code, self._lock, self._arena.bytes, lengths, self._dtype, long)
            self.__dict__.update(_run=code.run, _fast_call=fast.call, _made=(code, fast))

    def run(self, X: Any, out: Array | None = None) -> Array:
        """Predict from every row of X (T, inputs): bit for bit what :meth:`step` returns.

        Returns (T, outputs). All rows are checked first: one that is not finite refuses the whole
        call, naming the row, and nothing moves. Ctrl-C is heard between chunks; the state is then
        that of a whole number of rows.
        """
        return self._through(lambda *args: self._run(*args), X, out)

    def _through(self, kernel: Callable[..., int], X: Any, out: Array | None = None) -> Array:
        """Rows through a kernel, from where the state is."""
        X = outside(as_rows(X, self.spec.inputs, self._dtype, "X"), self._arena.bytes)
        Y = output_array(out, (len(X), self.spec.outputs), self._dtype, X, self._arena.bytes)
        chunk = chunk_rows(self.spec)
        with self._lock:
            for start in range(0, len(X), chunk):
                x, y = X[start : start + chunk], Y[start : start + chunk]
                status = kernel(address(x), address(y), len(x))
                if status:
                    raise_for_status(status, start)
        return Y

    def evaluate(self, sequences: Iterable[tuple[Any, Any]], loss: str = "mse") -> float:
        """The mean loss over all rows with a target of recorded sequences (X, Y).

        X (T, inputs), Y (T, outputs), NaN where unknown; the state is zero at the start of each,
        and afterwards what it was before. ``loss``: as of :class:`rtlstm.Learner`. NaN if no row
        has a target.
        """
        from rtlstm.models.evaluation import losses  # few need it

        of_rows, logits = losses(self.spec, loss), self._logits()
        total, count = 0.0, 0
        with self._lock:
            before = self.snapshot()
            try:
                for X, Y in sequences:
                    self.reset()
                    Y = as_targets(Y, len(X), self.spec, "Y")
                    rows = of_rows(self._through(logits, X), Y)
                    total += float(np.nansum(rows))
                    count += int((~np.isnan(rows)).sum())
            finally:
                self.restore(before)
        return total / count if count else math.nan

    def _logits(self) -> Callable[..., int]:
        """The kernel behind :meth:`run` with a head that is linear, on the same arrays."""
        plan = self._plan.copy()
        if self.spec.head is not None:
            plan[p.HEAD] = p.LINEAR_HEAD
        self._head_less = bind("network.run", plan, self._h, self._f)
        return self._head_less.run

    def jacobian(self, x: Any) -> dict[tuple[str, str], Array]:
        """The exact Jacobian of one step with x (inputs,), from the present state, which stays.

        By pairs of names of :attr:`state`: ``J["layer0.y", "layer0.c"]`` is d(new y)/d(old c),
        (entries of y, entries of c), float64.
        """
        from rtlstm.models.jacobians import step_jacobians  # few need it

        return step_jacobians(self, x)

    def reset(self) -> None:
        """Set the state to zero."""
        with self._lock:
            start = self._plan[p.STATE]
            self._f[start : start + self._plan[p.STATE_LEN]] = 0.0

    def stored(self, storage: str | None, X: Any = None) -> Network:
        """Return a copy, weights and state, with other storage ("bfloat16" or None).

        bfloat16 weights are rounded so that the predictions stay near, for samples such as the rows
        of X (T, inputs), or for normal ones: see `rtlstm.models.gptq`.
        """
        copy = Network.from_spec(dataclasses.replace(self.spec, storage=storage))
        for mine, other in ((copy.parameters, self.parameters), (copy.state, self.state)):
            for name, view in mine.items():
                view[...] = other[name].astype(view.dtype)
        if storage and not self.spec.storage:
            from rtlstm.models import gptq as rounding  # few need it

            inputs = self.spec.inputs
            rows = (
                rounding.normal_samples(inputs)
                if X is None
                else as_rows(X, inputs, self._dtype, "X")
            )
            rounding.round_weights(copy, self.stored(None), rows)
        return copy

    def streams(self, count: int) -> Streams:
        """Return ``count`` independent states that share this network's weights."""
        from rtlstm.models.streams import Streams  # compiles nothing, but few need it

        return Streams(self, count)

    # ------------------------------------------------------------------ what it holds
    @property
    def parameters(self) -> dict[str, Array]:
        """The weights by name, as views: writing to an element changes the network."""
        views = {name: self._arena.view(at) for name, at in self._layout.parameters.items()}
        if self.spec.storage:
            from rtlstm.models.gptq import bfloat16  # few need it

            half = bfloat16()
            views = {n: v.view(half) if v.dtype == np.uint16 else v for n, v in views.items()}
        return views

    @property
    def state(self) -> dict[str, Array]:
        """The state by name, as views: "layer0.c", "layer0.y", recurrent gates "layer0.i" …"""
        return {name: self._arena.view(at) for name, at in self._layout.state.items()}

    @property
    def weights(self) -> int:
        """The number of weights; structural zeros do not count."""
        return sum(view.size for view in self.parameters.values())

    # ------------------------------------------------------------------ copies
    @property
    def _bytes(self) -> Array:
        if self.spec.storage:
            return self._arena.bytes
        return self._f[: self._own_size()].view(np.uint8)  # its part of a learner's block

    @classmethod
    def saved_arrays(cls, spec: NetworkSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        return layout.alone(spec)[1].saved, spec.dtype

    def _own_size(self) -> int:
        return int(self._plan[p.FRAME] + self._plan[p.FRAME_LEN])

    def __repr__(self) -> str:
        layers = ", ".join(f"{type(la).__name__}({la.units})" for la in self.spec.layers)
        return (
            f"Network(inputs={self.spec.inputs}, layers=[{layers}], outputs={self.spec.outputs},"
            f" head={self.spec.head!r}, dtype={self.spec.dtype!r}: {self.weights} weights,"
            f" {self.memory} bytes)"
        )


def raise_for_status(status: int, start: int | None = None) -> NoReturn:
    """Raise the SampleError of a kernel's status; ``start``: number of the chunk's first row."""
    if status < 0:
        raise RtlstmError("a kernel failed within; the state may be that of an unfinished step")
    row, kind = divmod(status, 4)
    where = "" if start is None else f" at row {start + row}"
    if kind == p.BAD_INPUT:
        raise SampleError(f"x must be finite, got NaN or infinity{where}; the state is unchanged")
    raise SampleError(
        f"the answer{where} is not finite: weights or state are too large;"
        " state and weights are as before that sample, and reset() sets the state to zero"
    )


def chunk_rows(spec: NetworkSpec, slow: int = 1) -> int:
    """Return the rows of a kernel's call; ``slow``: cost of one in forward steps."""
    return max(1, int(CHUNK_SECONDS * 1e9 / step_nanoseconds(spec, slow)))


def step_nanoseconds(spec: NetworkSpec, slow: int = 1) -> int:
    """Return an upper bound of the time of a step on any machine, at one weight a nanosecond."""
    width, work = spec.inputs, 0
    for layer in spec.layers:
        work += 4 * layer.units * (width + 2 * layer.units + 8)
        width = layer.units
    work += spec.outputs * width + spec.inputs
    return slow * (100 + work)
