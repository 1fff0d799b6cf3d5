"""A learner inside a larger model: one arena for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtlstm.errors import LimitError, SpecError
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.layouts.arena import Arena, ArenaLayout, arena_bytes
from rtlstm.layouts.learner import LearnerLayout
from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import Layer

Array = np.ndarray[Any, Any]
MEMORY_LIMIT = 4 << 30  # bytes


def embed_learner(
    kind: str, learner: LearnerLayout, layout: ArenaLayout, fewer: str
) -> tuple[Network, Arena]:
    """Allocate an arena that begins with a learner; returns its network and the arena.

    Raises LimitError above 4 GiB; the message names what to have ``fewer`` of.
    """
    dtype = learner.spec.network.dtype
    size = arena_bytes(layout.sizes, dtype)
    if size > MEMORY_LIMIT:
        raise LimitError(
            f"this {kind} would hold {size} bytes, more than {MEMORY_LIMIT}: use {fewer};"
            " nothing was allocated"
        )
    alone, arena = Learner.from_spec(learner.spec), Arena(layout.sizes, dtype)
    for part, values in alone._arena.parts.items():
        arena.parts[part][: len(values)] = values
    alone.net._adopt(arena, learner.network)
    return alone.net, arena


def learning_buffers(plan: Array, f: Array) -> list[Array]:
    """Return views of the learning trajectory's next input, target and prediction."""
    sizes = ((k.LEARN_INPUT, k.INPUTS), (k.LEARN_TARGET, k.UNITS), (k.LEARN_OUT, k.UNITS))
    return [f[plan[at] :][: plan[size]] for at, size in sizes]


def as_layers(layers: Any) -> tuple[Layer, ...]:
    """Return one or several layers as a tuple; raises SpecError for anything else."""
    stack = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not stack or not all(isinstance(layer, Layer) for layer in stack):
        raise SpecError(f"layers must be rtlstm.LSTM, GRU or RNN, got {layers!r}")
    return stack
