"""Traces that have decayed are set to 0 where they are subnormal in their own dtype, not before."""

from __future__ import annotations

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.compiler import mode

SMALL = {"float32": (1e-36, 1e-39), "float64": (1e-100, 1e-310)}  # kept; flushed


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("rule", ["truncated", "snap1"])
def test_a_trace_is_kept_until_it_is_subnormal(rule: str, dtype: str) -> None:
    """A step from rest with open gates shrinks traces: small ones stay, subnormal ones go."""
    layer = rtlstm.LSTM(8, "2002", block_size=2, bias=False, init="zeros")
    learner = rtlstm.Learner(rtlstm.Network(3, [layer], 2, dtype=dtype), rule)
    names = [name for name in learner._saved if name.startswith("trace.")]
    assert len(names) == 2  # of the weights and of the peepholes
    traces = [learner._saved[name].view(learner._arena.f) for name in names]
    large, small = SMALL[dtype]
    for trace in traces:
        trace[...] = large
    learner.step(np.zeros(3), np.zeros(2))
    kept = [(trace != large) & (trace != 0.0) for trace in traces]  # not padding, nor absent ones
    for trace, live in zip(traces, kept):
        assert live.any()
        trace[...] = small
    learner.step(np.zeros(3), np.zeros(2))
    if rule == "snap1" and mode.INTERPRETED:  # its sums are flushed by the processor alone
        return
    for trace, live in zip(traces, kept):
        assert not trace[live].any()
