"""A fleet's learners are, bit for bit, the learners that they would be alone."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtlstm


def make(rule: Any = "truncated") -> rtlstm.Learner:
    net = rtlstm.Network(3, [rtlstm.LSTM(5, "vanilla"), rtlstm.LSTM(4)], 2)
    return rtlstm.Learner(net, rule, clip=1.0)


def streams(steps: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.RandomState(0)
    X = draw.standard_normal((steps, count, 3)).astype(np.float32)
    Y = draw.standard_normal((steps, count, 2)).astype(np.float32)
    Y[2::5, 1] = np.nan
    return X, Y


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rule", ["truncated", "snap1", rtlstm.TBPTT(4)], ids=str)
def test_a_fleet_is_its_learners_alone(rule: Any, threads: int) -> None:
    X, Y = streams(30, 7)
    fleet = rtlstm.Fleet(make(rule), 7, threads=threads)
    P = np.array([fleet.step(x, y) for x, y in zip(X, Y, strict=True)])
    for k in range(7):
        alone = make(rule)
        assert np.array_equal(alone.run(X[:, k], Y[:, k]), P[:, k])
        assert alone.snapshot() == fleet.learner(k).snapshot()


def test_a_subset_by_key_moves_no_other() -> None:
    X, Y = streams(10, 3)
    fleet = rtlstm.Fleet(make(), ["a", "b", "c"])
    for x, y in zip(X, Y, strict=True):
        fleet.step(["c", "a"], x[[2, 0]], y[[2, 0]])
    for key, k in (("a", 0), ("c", 2)):
        alone = make()
        alone.run(X[:, k], Y[:, k])
        assert alone.snapshot() == fleet.learner(key).snapshot()
    assert fleet.learner("b").snapshot() == make().snapshot()


def test_members_come_and_go() -> None:
    X, Y = streams(10, 3)
    fleet = rtlstm.Fleet(make(), ["a", "b", "c"], max_keys=4)
    for x, y in zip(X, Y, strict=True):
        fleet.step(x, y)
    c = fleet.learner("c").snapshot()
    fleet.add("d")
    assert fleet.learner("d").snapshot() == make().snapshot()
    with pytest.raises(rtlstm.LimitError, match="max_keys is 4"):
        fleet.add("e")
    with pytest.raises(rtlstm.StateError, match="there already"):
        fleet.add("a")
    fleet.remove("a")
    assert fleet.keys == ("d", "b", "c") and "a" not in fleet and len(fleet) == 3
    assert fleet.learner("c").snapshot() == c
    fleet.reset("c")
    assert not any(view.any() for view in fleet.learner("c").net.state.values())
    assert any(view.any() for view in fleet.learner("b").net.state.values())
    fleet.add("e", fleet.learner("c"))
    assert fleet.learner("e").snapshot() == fleet.learner("c").snapshot()


def test_a_saved_fleet_goes_on_bit_for_bit(tmp_path: Any) -> None:
    X, Y = streams(20, 3)
    fleet = rtlstm.Fleet(make(), ["a", 7, "c"])
    for x, y in zip(X[:10], Y[:10], strict=True):
        fleet.step(x, y)
    fleet.save(tmp_path / "fleet.safetensors")
    others = [rtlstm.load(tmp_path / "fleet.safetensors"), pickle.loads(pickle.dumps(fleet))]
    for x, y in zip(X[10:], Y[10:], strict=True):
        want = fleet.step(x, y)
        assert all(np.array_equal(other.step(x, y), want) for other in others)
    assert all(other.keys == ("a", 7, "c") for other in others)


def test_what_is_refused_moves_nothing() -> None:
    X, Y = streams(2, 3)
    fleet = rtlstm.Fleet(make(), 3)
    fleet.step(X[0], Y[0])
    bad = X[1].copy()
    bad[2, 0] = np.inf
    weights = [fleet.learner(key).net.snapshot() for key in fleet.keys]
    with pytest.raises(rtlstm.SampleError, match="row 2"):
        fleet.step(bad, Y[1])
    assert [fleet.learner(key).net.snapshot() for key in fleet.keys] == weights
    assert [fleet.learner(key).health()["bad_input"] for key in fleet.keys] == [0, 0, 1]
    before = fleet.snapshot()
    for call in (
        lambda: fleet.step(X[1][:2], Y[1][:2]),
        lambda: fleet.step([0, 9], X[1][:2], Y[1][:2]),
        lambda: fleet.step([0, 0], X[1][:2], Y[1][:2]),
        lambda: rtlstm.Fleet(make(), ["a", "a"]),
        lambda: rtlstm.Fleet(make(), [1.5]),
    ):
        with pytest.raises(rtlstm.RtlstmError):
            call()
    assert fleet.snapshot() == before


def test_one_sick_learner_stops_no_other() -> None:
    X, Y = streams(1, 3)
    fleet, alone = rtlstm.Fleet(make(), 3), make()
    sick = make()
    sick.net.parameters["head.b"][:] = np.inf
    fleet.remove(1)
    fleet.add(1, sick)
    P = fleet.step([0, 1, 2], X[0], Y[0])
    assert np.isnan(P[1]).all() and np.array_equal(P[2], alone.step(X[0, 2], Y[0, 2]))
    assert fleet.health()["bad_output"] == 1


@pytest.mark.timed
def test_a_hundred_thousand_keys_join_in_seconds() -> None:
    fleet = rtlstm.Fleet(rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(1), 1)), 0)
    started = time.process_time()
    for key in range(100_000):
        fleet.add(f"station {key} of a very long street" if key % 2 else key)
    assert time.process_time() - started < 5.0


def test_keys_are_saved_however_long_they_are(tmp_path: Path) -> None:
    learner = rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(1), 1))
    few = rtlstm.Fleet(learner, [f"{'é' * 100} {i}" for i in range(20_000)] + [3, -(2**63)])
    few.save(tmp_path / "few.rtlstm")
    back = rtlstm.load(tmp_path / "few.rtlstm")
    assert back.keys == few.keys and 3 in back and "3" not in back
    assert few.learner(3).snapshot() == back.learner(3).snapshot()


def test_a_fleet_survives_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one MemoryError the fleet is as it was, and grows as soon as there is room."""
    from rtlstm.models import members as module

    fleet = rtlstm.Fleet(make(), ["a"])
    real = module.Arena

    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "Arena", none)
    before = fleet.snapshot()
    with pytest.raises(MemoryError):
        fleet.add("b")
    assert fleet.keys == ("a",) and fleet.snapshot() == before
    monkeypatch.setattr(module, "Arena", real)
    fleet.add("b")
    assert fleet.keys == ("a", "b")
    with pytest.raises(rtlstm.LimitError):
        rtlstm.Fleet(make(), 10**9)


def test_files_with_their_keys_in_the_description_are_still_read() -> None:
    spec = rtlstm.Fleet(make(), ["a", 7]).spec
    old = {"learner": spec.learner.to_dict(), "keys": ["a", 7], "max_keys": None}
    assert type(spec).from_dict(old) == spec
