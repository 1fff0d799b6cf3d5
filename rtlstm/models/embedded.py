"""A learner inside a larger model: one arena for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtlstm.errors import LimitError, SpecError
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.layouts import rules
from rtlstm.layouts.arena import MEMORY_LIMIT, Arena, ArenaLayout, arena_bytes
from rtlstm.layouts.learner import LearnerLayout
from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import Layer
from rtlstm.training import Rule

Array = np.ndarray[Any, Any]


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


class LearningStep:
    """The network's own learning step, on the input and target that wait in the arena."""

    def __init__(self, rule: Rule, net: Array, plan: Array, arena: Arena) -> None:
        parts = (part[np.newaxis] for part in (arena.f, arena.d, arena.q))
        self._kernels = Kernels(rules.rule_row(rule).kernels, net, *parts)
        self._row = np.zeros(1, np.int64)
        waiting = (arena.f[plan[at] :] for at in (k.LEARN_INPUT, k.LEARN_TARGET, k.LEARN_OUT))
        self._addresses = [address(self._row), *map(address, waiting)]

    def run(self) -> int:
        """Make the step; returns the status of a refusal, 0 otherwise."""
        return self._kernels.step(*self._addresses, 1)

    def place(self) -> list[int]:
        """Addresses of its machine code, compiled now, of the table that takes, and of the rest."""
        bound = self._kernels.bound("step")
        return [bound.address, address(bound.table), *self._addresses]


def as_layers(layers: Any) -> tuple[Layer, ...]:
    """Return one or several layers as a tuple; raises SpecError for anything else."""
    stack = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not stack or not all(isinstance(layer, Layer) for layer in stack):
        raise SpecError(f"layers must be rtlstm.LSTM, GRU or RNN, got {layers!r}")
    return stack
