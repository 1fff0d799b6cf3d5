"""Subnormal numbers slow no learner down, and nobody else loses them."""

from __future__ import annotations

import platform
import time
import timeit

import numpy as np
import pytest
from compiling import jit

import rtlstm
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native.denormals import flush_denormals, restore_mode


@kernel
def inside_and_after(f):
    mode = flush_denormals()
    f[2] = f[0] * f[1]
    restore_mode(mode)
    f[3] = f[0] * f[1]


@jit
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"),
    reason="the switch is one of compiled code on x86-64",
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_flushed_inside_and_kept_after(dtype: type) -> None:
    tiny = np.finfo(dtype).tiny
    f = np.array([tiny, 0.5, 1.0, 1.0], dtype)
    inside_and_after(f)
    assert f[2] == 0.0 and f[3] == 0.5 * tiny


@pytest.mark.parametrize("refused", [False, True])
def test_a_learner_leaves_the_thread_as_it_was(refused: bool) -> None:
    learner = rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(2), 1))
    if refused:
        with pytest.raises(rtlstm.SampleError):
            learner.step([np.nan], [0.0])
    else:
        learner.step([1.0], [0.0])
    assert np.float32(1e-40) * np.float32(0.5) != 0.0


@pytest.mark.timed
@pytest.mark.skipif(mode.INTERPRETED, reason="times compiled code")
@pytest.mark.parametrize("way", ["run", "streams", "learner"])
def test_shut_gates_take_no_longer(way: str) -> None:
    """Of the processor's time: products with numbers of 1e-38 took 4 times as long."""
    X, Y, least = np.random.default_rng(0).normal(size=(400, 2)), np.zeros((400, 1)), {}
    for shut in (False, True):
        net = rtlstm.Network(2, rtlstm.LSTM(16), 1)
        if shut:
            for gate in "io":
                net.parameters[f"layer0.b.{gate}"][:] = -100.0
        bank = net.streams(400)
        learner = rtlstm.Learner(net) if way == "learner" else None
        run = {
            "run": lambda net=net: net.run(X),
            "streams": lambda bank=bank: bank.step(X),
            "learner": lambda learner=learner: learner.run(X, Y),
        }[way]
        run()
        least[shut] = min(timeit.repeat(run, timer=time.process_time, repeat=15, number=3))
    assert least[True] < 2.0 * least[False]
