"""The Regressor: its experts against NumPy, its figures, its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from supervised_cases import COLUMNS, Twin, made, pull, stream, waiting

import rtlstm
from rtlstm.kernels.tasks import experts, supervised
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.layouts.supervised import SETTINGS


@pytest.mark.parametrize("previous", [True, False])
def test_experts_and_mixture_are_those_written_down(previous: bool) -> None:
    X, _, Y = stream(400)
    model = made("regressor", previous_label=previous)
    twin = Twin(2, np.ones(int(model._plan[k.WIDTH])), numbers=True)
    plan, error2, scored = model._plan, np.ones(2), 0
    hidden = slice(int(plan[w.AT_HIDDEN]), int(plan[w.AT_HIDDEN]) + 4)
    for t in range(400):
        answer, ticket = model.predict(X[t])
        row = waiting(model, t)
        scale = row["scale"]
        said, spread = twin.say(row["x"], row["base"], scale, row["limit"])
        np.testing.assert_allclose(row["said"], said, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(answer.values, (twin.mix * said).sum(0), rtol=1e-7, atol=1e-9)
        errors = np.zeros_like(said[:-1])
        if t > 0:
            scored += 1
        if (scale > 0).all():
            off = (Y[t] - said) / (scale * np.sqrt(error2))
            twin.weigh(np.exp(-0.5 * np.minimum(off**2, experts.FARTHEST)))
            own = ((Y[t] - answer.values) / scale) ** 2
            rate = max(SETTINGS[k.FAST_RATE], 1.0 / scored)
            error2 += rate * (np.minimum(own, 9.0 * error2) - error2)
            most = SETTINGS[k.HUBER] * np.sqrt(error2)
            errors = np.clip((Y[t] - said[:-1]) / scale, -most, most)
        mixed = twin.mix[:-1] * np.array(w.REACHES)[:, None]
        down = np.einsum("ec,ec,ecu->u", mixed, errors, twin.W[:, :, hidden])
        twin.learn(row["x"], said, spread, errors)
        model.learn(ticket, Y[t])
        if t > supervised.WARM:
            np.testing.assert_allclose(pull(model), down, rtol=1e-4, atol=1e-6)


def test_figures_are_what_they_say() -> None:
    X, _, Y = stream(200)
    model = made("regressor")
    answers = model.run(X, Y)
    off, naive = Y[1:] - answers[1:], Y[1:] - Y[:-1]
    want = {
        "count": [199, 199],
        "mse": (off**2).mean(0),
        "mae": abs(off).mean(0),
        "persistence_mse": (naive**2).mean(0),
        "persistence_mae": abs(naive).mean(0),
        "skill": 1.0 - (off**2).mean(0) / (naive**2).mean(0),
    }
    metrics = model.metrics
    assert metrics.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-12)
    assert np.isnan(made("regressor").metrics["skill"]).all()
    assert model.targets == ("y", "z")


@pytest.mark.parametrize("previous", [True, False])
def test_it_learns_what_the_columns_say(previous: bool) -> None:
    X, _, Y = stream(3000)
    model = made("regressor", previous_label=previous)
    answers = model.run(X, Y)
    variance = Y[1500:].var(0)
    share = ((Y - answers)[1500:] ** 2).mean(0) / variance
    assert share[0] < 0.02  # linear in the columns
    assert share[1] < 0.3  # a hyperbolic tangent of one of them


def test_scale_and_shift_of_the_labels_are_no_matter() -> None:
    X, _, Y = stream(300)
    answers = [made("regressor").run(X, Y * by + at) for by, at in ((1.0, 0.0), (2.0**40, 0.0))]
    np.testing.assert_allclose(answers[1], answers[0] * 2.0**40, rtol=1e-9)


def test_labels_in_every_form() -> None:
    X, _, Y = stream(40)
    forms: list[Any] = [Y[30], Y[30].tolist(), {"z": Y[30, 1], "y": Y[30, 0]}, tuple(Y[30])]
    snapshots = set()
    for form in forms:
        model = made("regressor")
        model.run(X[:30], Y[:30])
        model.update(X[30], form)
        snapshots.add(model.snapshot())
    assert len(snapshots) == 1
    single = [rtlstm.Regressor(COLUMNS, ["y"], rtlstm.LSTM(4)) for _ in range(3)]
    forms = [Y[:, 0], Y[:, :1], [{"y": value} for value in Y[:, 0]]]
    assert len({m.run(X, form).tobytes() for m, form in zip(single, forms)}) == 1


def test_a_label_partly_known_teaches_what_is_known() -> None:
    X, _, Y = stream(1000)
    gaps = Y.copy()
    gaps[1::2, 0] = np.nan
    model = made("regressor", previous_label=False)
    answers = model.run(X, gaps)
    np.testing.assert_array_equal(model.metrics["count"], [499, 999])
    error = ((Y - answers)[500:] ** 2).mean(0) / Y[500:].var(0)
    assert (error < [0.05, 0.3]).all()


def test_one_wild_label_is_no_lesson() -> None:
    X, _, Y = stream(600)
    wild = Y.copy()
    wild[300, 0] = 1e9
    calm, model = made("regressor"), made("regressor")
    wanted, found = calm.run(X, Y), model.run(X, wild)
    assert abs(found - wanted)[305:].max() < 2.0 * Y.std()


def test_targets_that_are_none() -> None:
    for targets in ([], "y", ["y", "y"], ["a"], [1], None, 2):
        with pytest.raises(rtlstm.SpecError):
            rtlstm.Regressor(COLUMNS, targets)  # type: ignore[arg-type]
