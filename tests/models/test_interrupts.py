"""An interrupt, wherever it lands, leaves an object as before the call or as after it, unlocked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from interrupting import boundaries

import rtlstm

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(12, 2)), RNG.normal(size=(12, 1))
ROW = [1.0, float("nan")]


def is_free(thing: Any) -> bool:
    """Whether this thread has let go of the object's lock."""
    return not thing._lock._is_owned()  # there is no other thread that could


def learner(**more: Any) -> rtlstm.Learner:
    made = rtlstm.Learner(rtlstm.Network(2, rtlstm.LSTM(3), 1), **more)
    for x, y in zip(X[:3], Y[:3]):
        made.step(x, y)
    return made


def late() -> rtlstm.Learner:
    """Two of three tickets wait, the older one's label is known."""
    made = learner(delay=3)
    made.predict(X[3])
    made.predict(X[4])
    made.learn(4, Y[4])
    return made


def full() -> rtlstm.Learner:
    made = late()
    made.predict(X[5])
    return made


def forecaster(**more: Any) -> rtlstm.Forecaster:
    made = rtlstm.Forecaster(["a", "b"], layers=rtlstm.LSTM(3), lags=2, horizon=2, **more)
    made.run(X)
    return made


def classifier() -> rtlstm.Classifier:
    made = rtlstm.Classifier(["a", "b"], 2, layers=rtlstm.LSTM(3), delay=2)
    made.run(X, [0, 1] * 6)
    made.predict(X[0])
    made.predict(X[1])
    return made


def detector() -> rtlstm.Detector:
    made = rtlstm.Detector(["a", "b"], layers=rtlstm.LSTM(3), lags=2)
    made.run(X)
    return made


def refused(learner: rtlstm.Learner) -> None:
    with pytest.raises(rtlstm.SampleError):
        learner.step([np.nan, 0.0])


FIELDS = {"a": 1.0, "c": 2.0}  # one is missing, one unknown
CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "network": (lambda: rtlstm.Network(2, rtlstm.LSTM(3), 1), lambda m: m.step(list(X[0]))),
    "network, rows": (lambda: rtlstm.Network(2, rtlstm.LSTM(3), 1), lambda m: m.run(X)),
    "network, reset": (learner, lambda m: m.net.reset()),
    "learner": (learner, lambda m: m.step(list(X[3]), Y[3])),
    "learner, rows": (learner, lambda m: m.run(X, Y)),
    "learner, reset": (learner, lambda m: m.reset()),
    "bptt, reset": (lambda: learner(rule="bptt"), lambda m: m.reset()),
    "late, step": (late, lambda m: m.step(X[5], Y[5])),
    "late, step that gives one up": (full, lambda m: m.step(X[6], Y[6])),
    "late, predict": (late, lambda m: m.predict(X[5])),
    "late, predict that gives one up": (full, lambda m: m.predict(X[6])),
    "late, learn": (full, lambda m: m.learn(3, Y[3])),
    "late, refused": (full, refused),
    "late, reset": (full, lambda m: m.reset()),
    "forecaster": (forecaster, lambda m: m.update(FIELDS)),
    "forecaster, skipped": (lambda: forecaster(missing="skip"), lambda m: m.update(FIELDS)),
    "classifier": (classifier, lambda m: m.update(FIELDS, 1)),
    "classifier, predict": (classifier, lambda m: m.predict(FIELDS)),
    "classifier, learn": (classifier, lambda m: m.learn(12, 1)),
    "detector": (detector, lambda m: m.update(FIELDS)),
    "detector, reset": (detector, lambda m: m.reset()),
}


@pytest.mark.parametrize("case", CASES)
def test_one_object(case: str) -> None:
    make, call = CASES[case]
    thing = make()
    old = thing.snapshot()
    call(thing)
    new = thing.snapshot()
    seen, count = set(), 0
    for _ in boundaries(lambda: call(thing), lambda: thing.restore(old)):
        assert is_free(thing)
        state = thing.snapshot()
        assert state in (old, new)
        seen.add(state == new)
        count += 1
    assert count and seen


def pair(fleet: rtlstm.Fleet) -> dict[Any, bytes]:
    """All that each learner is made of, after what an interrupt left was made good."""
    fleet.snapshot()
    sizes = fleet._one.arena.sizes
    rows = {key: fleet._row_of[key] for key in fleet.keys}
    return {
        key: b"".join(fleet._matrix(name)[row, :size].tobytes() for name, size in sizes.items())
        for key, row in rows.items()
    }


FLEETS: dict[str, Callable[[rtlstm.Fleet], Any]] = {
    "step": lambda fleet: fleet.step(X[:4], Y[:4]),
    "some": lambda fleet: fleet.step(["d", "b"], X[:2], Y[:2]),
    "add": lambda fleet: fleet.add("e"),
    "remove": lambda fleet: fleet.remove("b"),
    "remove the last": lambda fleet: fleet.remove("d"),
    "reset": lambda fleet: fleet.reset(),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", FLEETS)
def test_a_fleet(case: str, threads: int) -> None:
    call = FLEETS[case]
    first = learner()

    def make() -> rtlstm.Fleet:
        fleet = rtlstm.Fleet(first, "abcd", threads)
        fleet.step(X[:4], Y[:4])
        return fleet

    fleet = make()
    old = pair(fleet)
    call(fleet)
    new = pair(fleet)
    made = [fleet]
    for _ in boundaries(lambda: call(made[0]), lambda: made.__setitem__(0, make())):
        assert is_free(made[0])
        now = pair(made[0])
        assert now in (old, new) and list(now) in (list(old), list(new))


@pytest.mark.parametrize("of", ["network", "learner"])
def test_first_use_and_adoption(of: str) -> None:
    learner()  # so that all code is there
    answer = rtlstm.Network(2, rtlstm.LSTM(3), 1).step(X[0])
    nets: list[rtlstm.Network] = []

    def call() -> None:
        if of == "learner":
            rtlstm.Learner(nets[-1]).step(X[0])
        else:
            nets[-1].step(X[0])

    def prepare() -> None:
        nets.append(rtlstm.Network(2, rtlstm.LSTM(3), 1))

    for _ in boundaries(call, prepare, stride=9):
        assert is_free(nets[-1])
        nets[-1].reset()
        assert (nets[-1].step(X[0]) == answer).all()
