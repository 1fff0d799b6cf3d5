"""A hundred updates that are skipped in a row are told of, once a spell, with reason and remedy."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels import plan as p
from rtlstm.models.notices import SkippedUpdatesWarning

X = np.random.default_rng(3).normal(size=(1000, 2))
Y = X[:, :1]


def learner(**more: Any) -> rtlstm.Learner:
    return rtlstm.Learner(rtlstm.Network(2, rtlstm.LSTM(3), 1), **more)


def late(model: Any, t: int) -> None:
    _, ticket = model.predict(X[t])
    model.learn(ticket, Y[t])


AB = ["a", "b"]
SMALL = {"layers": rtlstm.LSTM(2), "rule": "truncated"}
Case = tuple[Callable[[], Any], Callable[[Any, int], Any]]
CASES: dict[str, Case] = {
    "learner": (learner, lambda m, t: m.step(X[t], Y[t])),
    "learner, lists": (learner, lambda m, t: m.step(X[t].tolist(), Y[t].tolist())),
    "learner, rows": (learner, lambda m, t: m.run(X[t : t + 1], Y[t : t + 1])),
    "learner, sequences": (learner, lambda m, t: m.run(X[t : t + 1], Y[t : t + 1], lengths=[1])),
    "scheduled": (
        lambda: learner(optimizer=rtlstm.SGD(lambda n: 0.01)), lambda m, t: m.step(X[t], Y[t]),
    ),
    "rtrl": (lambda: learner(rule="rtrl"), lambda m, t: m.step(X[t], Y[t])),
    "late, step": (lambda: learner(delay=2), lambda m, t: m.step(X[t], Y[t])),
    "late": (lambda: learner(delay=2), late),
    "fleet": (
        lambda: rtlstm.Fleet(learner(), "ab"), lambda m, t: m.step(X[[t, t]], Y[[t, t]]),
    ),
    "fleet, rows": (
        lambda: rtlstm.Fleet(learner(), "ab", 2), lambda m, t: m.run([X[[t]]] * 2, [Y[[t]]] * 2),
    ),
    "forecaster": (lambda: rtlstm.Forecaster(AB, horizon=1, **SMALL), lambda m, t: m.update(X[t])),
    "forecaster, rows": (
        lambda: rtlstm.Forecaster(AB, horizon=1, **SMALL), lambda m, t: m.run(X[[t]]),
    ),
    "detector": (lambda: rtlstm.Detector(AB, **SMALL), lambda m, t: m.update(X[t])),
    "classifier": (
        lambda: rtlstm.Classifier(AB, 2, **SMALL), lambda m, t: m.update(X[t], t % 2),
    ),
    "regressor": (lambda: rtlstm.Regressor(AB, ["y"], **SMALL), lambda m, t: m.update(X[t], Y[t])),
    "regressor, late": (
        lambda: rtlstm.Regressor(AB, ["y"], delay=2, **SMALL),
        lambda m, t: m.learn(m.predict(X[t])[1], Y[t]),
    ),
}  # fmt: skip


def numbers(model: Any) -> np.ndarray:
    """The learner's float64 numbers, or those of all learners of a fleet."""
    return model._matrix("d") if isinstance(model, rtlstm.Fleet) else model._arena.d


@pytest.mark.parametrize("case", CASES)
def test_once_a_spell(case: str) -> None:
    """Spells of skipped updates, made by a limit that no update keeps to."""
    make, step = CASES[case]
    model = make()
    many = isinstance(model, rtlstm.Fleet)
    sane = numbers(model)[..., p.D_LIMIT].copy()
    t = 0

    def go(steps: int) -> list[warnings.WarningMessage]:
        nonlocal t
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(steps):
                step(model, t)
                t += 1
        return [w for w in seen if w.category is SkippedUpdatesWarning]

    assert not go(60)
    before = model.health()["skipped_updates"]
    numbers(model)[..., p.D_LIMIT] = 1e-300
    assert not go(80)  # of which the first ones may find nothing to learn yet
    (told,) = go(90)
    assert told.filename == __file__
    assert "updates in a row were skipped" in str(told.message)
    assert "lower the learning rate" in str(told.message)
    assert not go(300)
    assert model.health()["skipped_updates"] - before >= 400 * (1 + many)
    numbers(model)[..., p.D_LIMIT] = sane
    assert not go(5 if not many else 64)
    numbers(model)[..., p.D_LIMIT] = 1e-300
    assert not go(80)
    assert len(go(90)) == 1


def test_spells_that_are_short_are_not_told() -> None:
    model, sane = learner(), 0.0
    sane = float(model._arena.d[p.D_LIMIT])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            model._arena.d[p.D_LIMIT] = 1e-300
            model.run(X[:99], Y[:99])
            model._arena.d[p.D_LIMIT] = sane
            model.run(X[:1], Y[:1])
    assert model.health()["skipped_updates"] == 495
    assert model.health()["updates"] == 5


def test_one_call_of_run_tells_once_and_ends() -> None:
    model = learner()
    model.run(X[:1], Y[:1])
    model._arena.d[p.D_LIMIT] = 1e-300
    with pytest.warns(SkippedUpdatesWarning, match="would have moved the weights too far") as seen:
        model.run(np.tile(X, (20, 1)), np.tile(Y, (20, 1)))
    assert len(seen) == 1
    assert model.health()["skipped_updates"] == 20_000


def test_targets_that_are_far_too_large_are_the_reason() -> None:
    model = learner(optimizer=rtlstm.SGD(0.1))
    with pytest.warns(SkippedUpdatesWarning, match="the gradient is not finite; scale samples"):
        model.run(X[:200], np.full((200, 1), 3e38))


@pytest.mark.parametrize("update", ["step", "sequence", 2])
def test_fit_tells(update: Any) -> None:
    model = learner(optimizer=rtlstm.SGD(0.1))
    pairs = [(X[:4], np.full((4, 1), 3e38))] * 150
    with pytest.warns(SkippedUpdatesWarning) as seen:
        model.fit(pairs, passes=2, update=update)
    assert len(seen) == 1


def test_a_fleet_names_whom_it_means() -> None:
    fleet = rtlstm.Fleet(learner(), "abcdef")
    fleet._matrix("d")[1:, p.D_LIMIT] = 1e-300
    with pytest.warns(SkippedUpdatesWarning, match=r"learners 'b', 'c', 'd' and 2 more") as seen:
        for t in range(300):
            fleet.step(X[[t] * 6], Y[[t] * 6])
    assert len(seen) == 1
    assert fleet.health()["skipped_updates"] == 1500


def test_a_warning_made_an_error_leaves_the_learner_as_after_the_step() -> None:
    model = learner()
    model._arena.d[p.D_LIMIT] = 1e-300
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SkippedUpdatesWarning):
            for t in range(200):
                model.step(X[t], Y[t])
    steps = model.health()["steps"]
    assert steps in (100, 101) and not model._lock._is_owned()
    model.step(X[0], Y[0])
    assert model.health()["steps"] == steps + 1
