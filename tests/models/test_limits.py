"""What cannot be is refused when it is made, before anything is allocated."""

from __future__ import annotations

import inspect
import tracemalloc
from collections.abc import Callable
from typing import Any, get_type_hints

import numpy as np
import pytest

import rtlstm
from rtlstm import schedules
from rtlstm.models import arguments
from rtlstm.models.base import Model
from rtlstm.models.learner import TrainingOptions

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
    "10^7 streams of 1,024 numbers": lambda: rtlstm.Network(1, rtlstm.LSTM(512), 1).streams(10**7),
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


LAYER = rtlstm.LSTM(2)
ODD = [
    *(None, True, False, 0, -1, 2, 10**5, 2**63, 10**30, 10**400, 1e300, 0.5, -0.5, 1e-320),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "\0", b"x", [], [1], ["a"], ["a", "a"]),
    *({}, {"a": 1}, [[]], (1, 2), np.array(3), np.array([1.0, 2.0]), object(), 1j, rtlstm.LSTM),
    *(LAYER, [LAYER], rtlstm.Adam(), range(3), {1, 2}),
]
MADE: dict[Callable[..., Any], tuple[dict[str, Any], type | None]] = {
    rtlstm.Network: ({"inputs": 2, "layers": LAYER, "outputs": 1}, None),
    rtlstm.LSTM: ({"units": 2}, None),
    rtlstm.GRU: ({"units": 2}, None),
    rtlstm.RNN: ({"units": 2}, None),
    rtlstm.Init: ({}, None),
    rtlstm.Learner: ({"net": None}, TrainingOptions),
    rtlstm.Fleet: ({"learner": None, "keys": 3}, None),
    rtlstm.Forecaster: ({"columns": AB}, arguments.RowOptions),
    rtlstm.Detector: ({"columns": AB}, arguments.ForecasterOptions),
    rtlstm.Classifier: ({"columns": AB, "classes": 2}, arguments.SupervisedOptions),
    rtlstm.Regressor: ({"columns": AB, "targets": ["y"]}, arguments.SupervisedOptions),
    rtlstm.SGD: ({"lr": 0.1}, None),
    rtlstm.RMSProp: ({"lr": 0.1}, None),
    rtlstm.Adam: ({}, None),
    rtlstm.Rule: ({"name": "tbptt", "block": 3}, None),
    rtlstm.scaled_tanh: ({"alpha": 1.0, "beta": 1.0}, None),
    schedules.exponential: ({"lr": 0.1, "decay": 0.9}, None),
    schedules.cosine: ({"lr": 0.1, "steps": 3}, None),
    schedules.warmup: ({"steps": 3, "then": 0.1}, None),
}


def arguments_of(kind: Callable[..., Any]) -> list[str]:
    options = MADE[kind][1]
    named = [q for q in inspect.signature(kind).parameters.values() if q.kind is not q.VAR_KEYWORD]
    return [q.name for q in named] + list(get_type_hints(options) if options else ())


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_any_argument_is_taken_or_refused_by_an_error_of_ours(
    kind: Callable[..., Any], tmp_path: Any
) -> None:
    """And what is taken can be saved, and loaded again."""
    path = tmp_path / "m"
    for name in arguments_of(kind):
        for value in ODD:
            given = dict(MADE[kind][0])
            if kind is rtlstm.Learner:
                given["net"] = rtlstm.Network(1, rtlstm.LSTM(1), 1)
            elif kind is rtlstm.Fleet:
                given["learner"] = learner()
            try:
                made = kind(**given | {name: value})
            except rtlstm.RtlstmError:
                continue
            if isinstance(made, Model) and made.memory < 1 << 22:
                made.save(path)
                rtlstm.load(path)


def test_a_rate_that_grows_past_all_bounds_is_refused_by_name() -> None:
    with pytest.raises(rtlstm.SpecError, match="rates"):
        schedules.rate_at(schedules.exponential(1e-3, 1e8), 1000)
