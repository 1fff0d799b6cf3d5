"""What the self-test of a detector on a chip repeats: its own answers, not the forecasts alone."""

from __future__ import annotations

import numpy as np

import rtlstm
from rtlstm.export.device.recording import record
from rtlstm.export.device.request import program as program_of
from rtlstm.export.device.selftest import selftest
from rtlstm.export.device.wasm import selftest as selftest_in_javascript

OWN = ("score", "flag", "inside", "alarm")


def test_a_detector_repeats_its_score_its_flag_its_spell_and_its_alarm() -> None:
    hours = np.arange(336)
    rows = np.sin(2 * np.pi * hours[:, None] / 24 + np.arange(3))
    rows += 0.3 * np.random.default_rng(1).normal(size=rows.shape)
    model = rtlstm.Detector(["a", "b", "c"], lags=4, layers=rtlstm.LSTM(5))
    model.run(rows, 1.7e9 + 3600.0 * hours)
    recorded, program = record(model), program_of(model)
    assert tuple(program.values) == OWN
    score, flag, inside, alarm = recorded.answers[:, -4:].T
    said = model.run(recorded.inputs[:, :-1], recorded.inputs[:, -1])
    assert (score == said.scores).all() and (alarm == said.alarms).all()
    assert (flag == said.flags).all() and 0 < flag.sum() <= inside.sum()
    text = selftest(program, recorded, "chip")
    page = selftest_in_javascript(program, recorded, "chip")
    for left, name in zip((4, 3, 2, 1), OWN, strict=True):
        assert f"y[OUTPUTS - {left}] = chip_{name}()" in text and f"told.{name}" in page
