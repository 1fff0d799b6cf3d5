"""What cannot be is refused when it is made, before anything is allocated."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import rtlstm

AB = ["a", "b"]


def learner(**more: Any) -> rtlstm.Learner:
    return rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(1), 1), **more)


REFUSED: dict[str, Callable[[], Any]] = {
    "a forecaster by bptt": lambda: rtlstm.Forecaster(AB, rule="bptt"),
    "a detector by bptt": lambda: rtlstm.Detector(AB, rule="bptt"),
    "a classifier by bptt": lambda: rtlstm.Classifier(AB, 2, rule="bptt"),
    "a regressor by bptt": lambda: rtlstm.Regressor(AB, ["y"], rule="bptt"),
    "no delta": lambda: learner(huber_delta=None),
    "delta True": lambda: learner(huber_delta=True),
    "clip True": lambda: learner(clip=True),
    "delay True": lambda: learner(delay=True),
    "a list as loss": lambda: learner(loss=["mse"]),
    "10^9 classes": lambda: rtlstm.Classifier(AB, 10**9),
    "10^9 horizons": lambda: rtlstm.Forecaster(AB, horizon=range(1, 10**9)),
    "no coverage": lambda: rtlstm.Forecaster(AB, coverage=None),
    "10^9 learners": lambda: rtlstm.Fleet(learner(), 10**9),
    "65,536 units": lambda: rtlstm.Network(1, rtlstm.LSTM(65_536), 1),
    "64 layers of 65,536 units": lambda: rtlstm.Network(1, [rtlstm.RNN(65_536)] * 64, 1),
    "a range of 1e300": lambda: rtlstm.Init(1e300),
    "a bias of 1e300": lambda: rtlstm.Init(gate_bias={"f": 1e300}),
    "no pairs as gate_bias": lambda: rtlstm.Init(gate_bias=5),
    "letters as gate_bias": lambda: rtlstm.Init(gate_bias="f1"),
    "an unknown part of init": lambda: rtlstm.LSTM(2, init={"x": 1}),
    "a squash of 1e300": lambda: rtlstm.scaled_tanh(1e300, 1.0),
    "a text in a squash": lambda: rtlstm.scaled_tanh("1", 1.0),  # type: ignore[arg-type]
    "a squash made by hand": lambda: rtlstm.LSTM(2, input_squash=rtlstm.spec.Squash("tanh", 1e300)),
    "eps 1e300": lambda: rtlstm.Adam(eps=1e300),
    "nesterov 3": lambda: rtlstm.SGD(0.1, 0.9, 3),  # type: ignore[arg-type]
    **{
        f"seed {seed!r}": lambda seed=seed: learner(seed=seed)
        for seed in (-1, 2**63, 1.0, True, None, "1")
    },
    **{
        f"seed {seed!r} of a forecaster": lambda seed=seed: rtlstm.Forecaster(AB, seed=seed)
        for seed in (-1, 2**63, 0.5)
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_before_it_is_allocated(case: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((rtlstm.SpecError, rtlstm.LimitError)):
            REFUSED[case]()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
