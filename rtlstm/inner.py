"""A learner inside something larger: one block for both, and where its next step is laid ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtlstm.errors import LimitError, SpecError
from rtlstm.kernels import outlook as k
from rtlstm.layout import Arena, Block, block_bytes
from rtlstm.learner import Learner
from rtlstm.learner_spec import LearnerLayout
from rtlstm.network import Network
from rtlstm.spec import Layer

Array = np.ndarray[Any, Any]
MEMORY_LIMIT = 4 << 30  # bytes


def house(kind: str, learner: LearnerLayout, arena: Arena, fewer: str) -> tuple[Network, Block]:
    """The block of an arena that began as this learner's, and the learner's network in it.

    Raises LimitError above 4 GiB, saying what to have ``fewer`` of.
    """
    dtype = learner.spec.network.dtype
    size = block_bytes(arena.sizes, dtype)
    if size > MEMORY_LIMIT:
        raise LimitError(
            f"this {kind} would hold {size} bytes, more than {MEMORY_LIMIT}: use {fewer};"
            " nothing was allocated"
        )
    alone, block = Learner.from_spec(learner.spec), Block(arena.sizes, dtype)
    for part, values in alone._block.parts.items():
        block.parts[part][: len(values)] = values
    alone.net._adopt(block, learner.network)
    return alone.net, block


def border(plan: Array, f: Array) -> list[Array]:
    """Views of the learning trajectory's next input, its target and its (unused) answer."""
    sizes = ((k.X_LEARN, k.INPUTS), (k.Y_LEARN, k.UNITS), (k.P_LEARN, k.UNITS))
    return [f[plan[at] :][: plan[size]] for at, size in sizes]


def stack_of(layers: Any) -> tuple[Layer, ...]:
    """One layer or several as a tuple; raises SpecError for anything else."""
    stack = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not stack or not all(isinstance(layer, Layer) for layer in stack):
        raise SpecError(f"layers must be rtlstm.LSTM, GRU or RNN, got {layers!r}")
    return stack
