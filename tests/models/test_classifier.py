"""The Classifier: its experts against NumPy, its figures, its classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from supervised_cases import COLUMNS, Twin, made, pull, stream, waiting

import rtlstm
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.layouts.supervised import SETTINGS


def test_experts_mixture_and_stack_are_those_written_down() -> None:
    X, kinds, _ = stream(400)
    model = made("classifier")
    index = [model.classes.index(kind) for kind in kinds]
    plan = model._plan
    prior = np.ones(int(plan[k.WIDTH]))
    prior[[0, 1, 2, *range(plan[w.AT_LABEL], plan[w.AT_CALENDAR]), plan[w.AT_BIAS]]] = 10.0
    twin = Twin(3, prior, numbers=False)
    table = np.zeros((4, 3))
    hidden = slice(int(plan[w.AT_HIDDEN]), int(plan[w.AT_HIDDEN]) + 4)
    last = 3
    for t, right in enumerate(index):
        answer, ticket = model.predict(X[t])
        row = waiting(model, t)
        base = np.log(table[last] + supervised.SMOOTH)
        np.testing.assert_allclose(row["base"], base, rtol=1e-12)
        said, spread = twin.say(row["x"], base, row["scale"], row["limit"])
        np.testing.assert_allclose(row["said"], said, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(answer.values, twin.stacked(said)[0], rtol=1e-7, atol=1e-12)
        twin.learn_stack(said, np.eye(3)[right])
        twin.weigh(said[:, right : right + 1])
        errors = np.eye(3)[right] - said[:-1]
        down = np.einsum("e,ec,ecu->u", twin.mix[:-1, 0] * w.REACHES, errors, twin.W[:, :, hidden])
        twin.learn(row["x"], said, spread, errors)
        for i in {last, 3}:
            table[i] = SETTINGS[w.KEEP] * table[i] + np.eye(3)[right]
        model.learn(ticket, kinds[t])
        last = right
        if t > supervised.WARM:
            np.testing.assert_allclose(pull(model), down, rtol=1e-4, atol=1e-6)


def test_figures_are_what_they_say() -> None:
    X, kinds, _ = stream(200)
    model = made("classifier")
    answers = model.run(X, kinds)
    names = np.array(kinds)
    right = np.array(model.classes)[answers.argmax(1)] == names
    same = np.r_[False, names[1:] == names[:-1]]
    of_truth = answers[np.arange(200), [model.classes.index(kind) for kind in kinds]]
    metrics = model.metrics
    assert metrics["count"] == 200
    assert metrics["accuracy"] == pytest.approx(right.mean())
    assert metrics["no_change_accuracy"] == pytest.approx(same.mean())
    kappa = 1.0 - (1.0 - right.mean()) / (1.0 - same.mean())
    assert metrics["kappa_temporal"] == pytest.approx(kappa)
    assert metrics["log_loss"] == pytest.approx(-np.log(of_truth).mean())
    np.testing.assert_allclose(answers.sum(1), 1.0, rtol=1e-12)
    assert np.isnan(made("classifier").metrics["accuracy"])


def test_it_learns_what_the_columns_say() -> None:
    X, kinds, _ = stream(3000)
    model = made("classifier")
    model.run(X, kinds)
    assert model.metrics["accuracy"] > 0.88 > 0.65 > model.metrics["no_change_accuracy"]


def test_it_does_no_worse_than_the_last_label_where_the_columns_say_nothing() -> None:
    random = np.random.default_rng(3)
    kinds = [str(kind) for kind in np.cumsum(random.random(3000) < 0.05) % 3]
    model = rtlstm.Classifier([f"c{i}" for i in range(20)], ["0", "1", "2"])
    model.run(random.normal(size=(3000, 20)), kinds)
    assert model.metrics["accuracy"] > model.metrics["no_change_accuracy"] - 0.003


def test_it_remembers_what_only_the_past_tells() -> None:
    """The class is the sign of a pulse that came up to four rows ago, without previous labels."""
    random = np.random.default_rng(4)
    pulses = np.zeros((6000, 1))
    pulses[::5, 0] = random.choice([-1.0, 1.0], 1200)
    kinds = ["up" if pulses[t - t % 5, 0] > 0 else "down" for t in range(6000)]
    model = rtlstm.Classifier(["pulse"], ["up", "down"], previous_label=False)
    answers = model.run(pulses, kinds)
    late = answers[4000:].argmax(1) == (np.array(kinds[4000:]) == "down")
    assert late.mean() > 0.98


def test_the_previous_label_is_an_input_only_if_asked_for() -> None:
    X, kinds, _ = stream(100)
    for previous in (True, False):
        model = made("classifier", previous_label=previous)
        model.run(X[:99], kinds[:99])
        model.predict(X[99])
        table = model._arena.view(model._saved["labels.table"])
        row = model.classes.index(kinds[98]) if previous else 3
        base = np.log(table[row] + supervised.SMOOTH)
        np.testing.assert_allclose(waiting(model, 99)["base"], base, rtol=1e-12)
        inputs = len(COLUMNS) * 5 + k.CALENDAR + 1
        assert model.network.spec.inputs == inputs + (3 * 4 if previous else 0)


def test_classes_by_name_by_number_and_by_count() -> None:
    X, _, _ = stream(20)
    model = rtlstm.Classifier(COLUMNS, 3, rtlstm.LSTM(4))
    assert model.classes == (0, 1, 2)
    for label in (1, np.int64(2), 0.0, None, np.nan, np.float32("nan")):
        verdict = model.update(X[0], label)
        assert verdict.label in model.classes
        assert verdict.values is verdict.probabilities
    for label in (3, -1, 0.5, "1"):
        with pytest.raises(rtlstm.SampleError, match="a label must be one of 0, 1, 2"):
            model.update(X[0], label)
    many = rtlstm.Classifier(COLUMNS, 70, rtlstm.LSTM(4), delay=1)
    with pytest.raises(rtlstm.SampleError, match="9, …;"):
        many.update(X[0], 70)
    assert np.isfinite(many.run(X, list(range(20)))).all()
    none: tuple[Any, ...] = (1, 0, -3, True, [], ["a"], "ab", None)
    for classes in (*none, ["a", "a"], [1.5, 2.5], [True, False]):
        with pytest.raises(rtlstm.SpecError):
            rtlstm.Classifier(COLUMNS, classes)
    with pytest.raises(rtlstm.LimitError):
        rtlstm.Classifier(COLUMNS, 2000)


def test_a_covariance_that_is_not_sound_begins_anew() -> None:
    X, kinds, _ = stream(60)
    model = made("classifier")
    model.run(X[:50], kinds[:50])
    model._arena.view(model._saved["experts.covariance"])[1, 0] = np.nan
    answers = model.run(X[50:], kinds[50:])
    assert model.health()["covariance_resets"] == 1
    assert np.isfinite(answers).all()


@pytest.mark.parametrize("curvature", [np.nan, 0.0])
def test_a_stack_that_is_not_sound_begins_anew(curvature: float) -> None:
    X, kinds, _ = stream(60)
    model = made("classifier")
    model.run(X[:50], kinds[:50])
    model._arena.view(model._saved["stack.curvature"])[:] = curvature
    model._arena.d[model._plan[k.SETTINGS] + w.STACK_KEEP] = 1.0
    answers = model.run(X[50:51], kinds[50:51])
    assert np.isfinite(answers).all()
    assert model.health()["covariance_resets"] <= 1
    weights = model._arena.view(model._saved["stack.weights"])
    assert np.isfinite(weights).all()
    if np.isnan(curvature):
        np.testing.assert_array_equal(weights, np.eye(len(weights))[-1])


def test_the_stack_knows_what_no_expert_does() -> None:
    """A switch with hysteresis: experts are not as sure as they together could be."""
    X, level, classes = np.random.default_rng(3).normal(size=(3000, 4)), 0.0, ["up"]
    for x in X[:, 0]:
        level = 0.9 * level + x
        classes.append("up" if level > (-0.4 if classes[-1] == "up" else 0.4) else "left")
    model = rtlstm.Classifier(["a", "b", "c", "d"], ["up", "left"])
    lost = {"stack": 0.0, "mixture": 0.0}
    for t, (row, kind) in enumerate(zip(X, classes[1:], strict=True)):
        _, ticket = model.predict(row)
        held, right = waiting(model, t), model.classes.index(kind)
        mixture = model._arena.view(model._saved["experts.mix"])[:, 0] @ held["said"]
        if t >= 1000:
            lost["stack"] -= np.log(held["answer"][right])
            lost["mixture"] -= np.log(mixture[right])
        model.learn(ticket, kind)
    assert lost["stack"] < 0.97 * lost["mixture"]
