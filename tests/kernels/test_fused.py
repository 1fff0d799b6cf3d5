"""The fused LSTM sweep against its twin, for every kind of single cell."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from compiling import compiled

import rtlstm
from rtlstm.kernels import plan as p
from rtlstm.kernels.network.lstm_fused import lstm_cells

VARIANTS = (
    "standard",
    "vanilla",
    "NIG",
    "NFG",
    "NOG",
    "NIAF",
    "NOAF",
    "CIFG",
    "FGR",
    "1997",
    "2000",
)
CELLS = [
    *({"variant": name} for name in VARIANTS),
    {"variant": "2002"},
    {"variant": "vanilla", "forget_gate": "coupled"},
    {"input_squash": "logistic", "output_squash": rtlstm.scaled_tanh(1.3, -0.7)},
    {"input_gate": False, "forget_gate": False, "output_gate": False},
]


@compiled
def cells(plan, at, w, f, fr):
    lstm_cells(plan, at, w, f, fr)


@pytest.mark.core
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", CELLS, ids=str)
@pytest.mark.parametrize("value", [None, np.nan])
def test_fused_cells_equal_their_twin(kind: dict, dtype: str, value: float | None) -> None:
    """Every number of the frame with a NaN passing where it must."""
    units = 27
    net = rtlstm.Network(inputs=3, layers=[rtlstm.LSTM(units, **kind)], outputs=1, dtype=dtype)
    plan, at, f = net._plan, p.HEADER_LEN, net._f
    fr, rng = int(plan[p.FRAME]), np.random.default_rng(5)
    for view in net.parameters.values():
        view[...] = rng.normal(size=view.shape)
    for start, count in ((p.F_A, plan[at + p.R]), (p.F_CP, units)):
        f[fr + plan[at + start] :][:count] = rng.normal(size=count)
    if value is not None:
        f[fr + plan[at + p.F_CP] + 4] = f[fr + plan[at + p.F_A] + 17] = value
    got, want = f.copy(), f.copy()
    cells(plan, at, got, got, fr)
    with np.errstate(all="ignore"):
        inspect.unwrap(lstm_cells)(plan, at, want, want, fr)
    eps = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, want, rtol=eps, atol=eps)
