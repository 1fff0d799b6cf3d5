"""Predictions that wait for their labels run on as if nothing waited."""

from __future__ import annotations

import numpy as np
import pytest

import rtlstm


@pytest.mark.parametrize("delay", [1, 2, 3])
@pytest.mark.parametrize("known", [False, True])
def test_a_full_queue_does_not_set_the_forecasting_state_back(delay: int, known: bool) -> None:
    """Giving up the oldest label, with all others known, empties the queue but for this row."""
    X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    plain = rtlstm.Network(2, rtlstm.LSTM(4), 1).run(X)
    late = rtlstm.Learner(rtlstm.Network(2, rtlstm.LSTM(4), 1), delay=delay)
    late.lr = 0.0
    for t, x in enumerate(X):
        answer, ticket = late.predict(x)
        assert abs(answer - plain[t]).max() < 1e-6, t
        if known and ticket % delay:
            late.learn(ticket, [0.5])
