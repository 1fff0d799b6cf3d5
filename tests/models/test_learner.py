"""Learner: what it refuses, what it survives, late labels, optimizers, and going on bit for bit."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_cases import OPTIMIZERS
from reference import optimizers

import rtlstm
from rtlstm.kernels import plan as p

RULES = ["truncated", "snap1", "uoro", "rtrl", rtlstm.Hybrid(3), rtlstm.TBPTT(4)]


def make(rule: Any = "truncated", dtype: str = "float64", **more: Any) -> rtlstm.Learner:
    net = rtlstm.Network(2, [rtlstm.LSTM(4, "vanilla"), rtlstm.LSTM(3)], 2, dtype=dtype)
    return rtlstm.Learner(net, rule, **more)


def stream(steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.RandomState(seed)
    Y = draw.standard_normal((steps, 2))
    Y[3::7] = np.nan
    Y[5::9, 0] = np.nan
    return draw.standard_normal((steps, 2)), Y


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_bit_for_bit(name: str, tmp_path: Any) -> None:
    X, Y = stream(20)
    whole, part = make(optimizer=OPTIMIZERS[name][0]), make(optimizer=OPTIMIZERS[name][0])
    want = whole.run(X, Y)
    part.run(X[:9], Y[:9])
    part.save(tmp_path / "learner")
    assert np.array_equal(rtlstm.load(tmp_path / "learner").run(X[9:], Y[9:]), want[9:])


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_run_is_steps_and_a_checkpoint_goes_on_bit_for_bit(rule: Any, tmp_path: Any) -> None:
    X, Y = stream(40)
    whole, stepped = make(rule, clip=1.0), make(rule, clip=1.0)
    want = whole.run(X, Y)
    for k in (1, 7, 22, 39):
        part = make(rule, clip=1.0)
        first = part.run(X[:k], Y[:k])
        part.save(tmp_path / "learner.safetensors")
        for other in (
            rtlstm.load(tmp_path / "learner.safetensors"),
            pickle.loads(pickle.dumps(part)),
        ):
            assert np.array_equal(np.concatenate([first, other.run(X[k:], Y[k:])]), want)
            gradient = whole.gradient
            assert all(np.array_equal(g, gradient[n]) for n, g in other.gradient.items())
    assert np.array_equal([stepped.step(x, y) for x, y in zip(X, Y, strict=True)], want)


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 1.0], [1.0], "ab", None], ids=str)
@pytest.mark.parametrize("rule", ["truncated", "rtrl"])
def test_a_bad_sample_changes_nothing_but_a_counter(bad: Any, rule: str) -> None:
    learner, (X, Y) = make(rule), stream(12)
    learner.run(X, Y)
    block = learner._arena
    before = block.f.tobytes(), block.d.tobytes()
    with pytest.raises(rtlstm.SampleError):
        learner.step(bad, Y[0])
    with pytest.raises(rtlstm.SampleError):
        learner.step(X[0], [1.0, 2.0, 3.0])
    # A frame is scratch that the next step overwrites; nothing else may differ.
    after = block.f.tobytes(), block.d.tobytes()
    assert before == after
    assert learner.health()["steps"] == 12


@pytest.mark.parametrize("bad", [np.ones(1), np.ones(6), np.ones((3, 1))], ids=["1", "6", "3x1"])
def test_a_row_that_does_not_fit_is_refused_by_the_kernel_too(bad: np.ndarray) -> None:
    learner, (X, Y) = make(), stream(3)
    learner.run(X, Y)
    before = learner.snapshot()
    with pytest.raises(rtlstm.SampleError, match="must have shape"):
        learner.step(bad, Y[0])
    with pytest.raises(rtlstm.SampleError, match="must have shape"):
        learner.step(X[0], bad[:0])
    assert learner.snapshot() == before


def test_rows_of_any_stride_are_learned_alike() -> None:
    learner, again, (X, Y) = make(), make(), stream(8)
    for x, y in zip(np.asfortranarray(X), np.asfortranarray(Y)):
        assert np.array_equal(learner.step(x, y), again.step(x.copy(), y.copy()))
        assert np.array_equal(learner.step(x[::-1], y[::-1]), again.step([*x[::-1]], [*y[::-1]]))
    assert learner.snapshot() == again.snapshot()


def test_without_a_target_the_state_moves_and_the_weights_do_not() -> None:
    learner, (X, _) = make(), stream(5)
    weights = {name: view.copy() for name, view in learner.net.parameters.items()}
    for y in (None, [np.nan, np.nan], [np.inf, 0.0]):
        state = {name: view.copy() for name, view in learner.net.state.items()}
        learner.step(X[0], y)
        assert any(not np.array_equal(v, state[n]) for n, v in learner.net.state.items())
    assert all(np.array_equal(v, weights[n]) for n, v in learner.net.parameters.items())
    assert learner.health()["bad_target"] == 1 and learner.health()["labels"] == 0
    assert not any(block.any() for block in learner.gradient.values())


def test_nothing_of_an_optimizer_turns_subnormal() -> None:
    learner, (X, Y) = make(optimizer=rtlstm.Adam()), stream(1)
    learner.step(X[0], Y[0])
    learner._arena.d[[p.D_POWER1, p.D_POWER2]] = 2e-308
    learner.step(X[0], Y[0])
    assert learner._arena.d[p.D_POWER1] == learner._arena.d[p.D_POWER2] == 0.0
    assert np.isfinite(learner.step(X[0], Y[0])).all()


@pytest.mark.core
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_weights_move_as_the_optimizer_says(name: str, clip: float | None) -> None:
    ours, theirs = OPTIMIZERS[name][0], OPTIMIZERS[name][1]()
    learner, (X, Y) = make(optimizer=ours, clip=clip), stream(25)
    for x, y in zip(X, Y, strict=True):
        before = {n: v.copy() for n, v in learner.net.parameters.items()}
        learner.step(x, y)
        if np.isnan(y).all():
            want = before
        else:
            gradient = learner.gradient
            if clip is not None:
                gradient = optimizers.clip(gradient, clip)
            want = theirs(before, gradient)
        for n, view in learner.net.parameters.items():
            np.testing.assert_allclose(view, want[n], rtol=1e-10, atol=1e-13, err_msg=n)


def test_the_learning_rate_can_be_set_while_running() -> None:
    learner, (X, Y) = make(optimizer=rtlstm.SGD(0.1)), stream(4)
    learner.step(X[0], Y[0])
    learner.lr = 0.0
    before = learner.net.parameters["head.b"].copy()
    learner.step(X[1], Y[1])
    assert np.array_equal(learner.net.parameters["head.b"], before) and learner.lr == 0.0
    for bad in (-1.0, math.nan, math.inf, "fast"):
        with pytest.raises(rtlstm.SpecError, match="lr must be"):
            learner.lr = bad


@pytest.mark.filterwarnings("ignore::rtlstm.models.notices.SkippedUpdatesWarning")
@pytest.mark.parametrize(
    "optimizer", [rtlstm.SGD(1e6), rtlstm.SGD(1e6, 0.9), rtlstm.Adam(1e6)], ids=str
)
@pytest.mark.parametrize("rule", ["truncated", "snap1", "rtrl"])
def test_a_mad_learning_rate_never_makes_a_weight_infinite(rule: str, optimizer: Any) -> None:
    learner = make(rule, "float32", optimizer=optimizer)
    X, Y = stream(2000)
    for x, y in zip(X, Y, strict=True):
        try:
            learner.step(x, y)
        except rtlstm.SampleError:
            learner.reset()
    assert all(np.isfinite(view).all() for view in learner.net.parameters.values())
    health = learner.health()
    assert health["steps"] + health["bad_output"] == 2000


def test_traces_that_overflow_are_cleared_and_counted() -> None:
    net = rtlstm.Network(1, rtlstm.LSTM(2, "NFG", input_squash="identity"), 1, dtype="float32")
    learner = rtlstm.Learner(net, "truncated", rtlstm.SGD(1e-3))
    learner.step([1.0], [0.5])
    learner._arena.view(learner._saved["trace.layer0"])[:] = np.inf
    learner.step([1.0], [0.5])
    assert learner.health()["trace_resets"] == 1
    assert np.isfinite(learner._arena.view(learner._saved["trace.layer0"])).all()
    assert all(np.isfinite(view).all() for view in net.parameters.values())


# --------------------------------------------------------------------------- late labels
@settings(max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 2**16))
def test_late_labels_are_learned_from_the_right_step(waits: list[int], seed: int) -> None:
    """Labels in any order, at most four steps late, against a plain model of what should happen."""
    X, Y = stream(len(waits), seed)
    late, plain = make(delay=5), make()
    due: dict[int, list[int]] = {}
    tickets = []
    for t, wait in enumerate(waits):
        prediction, ticket = late.predict(X[t])
        tickets.append(ticket)
        assert np.isfinite(prediction).all()
        due.setdefault(t + wait, []).append(t)
        for k in due.get(t, []):
            late.learn(tickets[k], Y[k])
    for t in range(len(waits), len(waits) + 5):
        for k in due.get(t, []):
            late.learn(tickets[k], Y[k])
    plain.run(X, Y)  # the learning trajectory replays the rows in order
    for name, view in plain.net.parameters.items():
        np.testing.assert_array_equal(late.net.parameters[name], view)
    for name, view in plain.net.state.items():
        np.testing.assert_array_equal(late.net.state[name], view)


def test_a_label_at_once_is_a_step() -> None:
    X, Y = stream(20)
    late, plain = make(delay=3), make()
    for x, y in zip(X, Y, strict=True):
        prediction, ticket = late.predict(x)
        late.learn(ticket, y)
        assert np.array_equal(prediction, plain.step(x, y))


def test_tickets_are_used_once_and_in_time() -> None:
    X, Y = stream(10)
    learner = make(delay=2)
    tickets = [learner.predict(x)[1] for x in X[:4]]
    assert learner.health()["given_up_labels"] == 2
    with pytest.raises(rtlstm.StateError, match="not waiting"):
        learner.learn(tickets[0], Y[0])
    learner.learn(tickets[3], Y[3])
    with pytest.raises(rtlstm.StateError, match="label already"):
        learner.learn(tickets[3], Y[3])
    learner.learn(tickets[2], None)
    assert learner.health()["late_labels"] == 1
    with pytest.raises(rtlstm.StateError, match="delay=D"):
        make().predict(X[0])


# --------------------------------------------------------------------------- construction
def test_what_cannot_be_built_is_refused() -> None:
    net = rtlstm.Network(2, rtlstm.LSTM(4), 2)
    for arguments, words in (
        ({"rule": "magic"}, "rule must be one of"),
        ({"loss": "l1"}, "loss must be one of"),
        ({"loss": "cross_entropy"}, "needs a softmax or logistic head"),
        ({"clip": -1.0}, "clip must be"),
        ({"delay": -1}, "delay must be"),
        ({"optimizer": "adam"}, "optimizer must be"),
    ):
        with pytest.raises(rtlstm.SpecError, match=words):
            rtlstm.Learner(net, **arguments)
    with pytest.raises(rtlstm.SpecError, match="1 to"):
        rtlstm.TBPTT(0)
    with pytest.raises(rtlstm.LimitError, match="memory_limit"):
        rtlstm.Learner(net, "rtrl", memory_limit=1000)


def test_memory_is_known_before_the_first_step_and_stays() -> None:
    learner, (X, Y) = make("rtrl"), stream(50)
    before = learner.memory
    learner.run(X, Y)
    assert learner.memory == before == learner._arena.bytes.nbytes


def test_fit_learns_a_recorded_sequence() -> None:
    draw = np.random.RandomState(0)
    bits = draw.randint(2, size=(6, 20, 1)).astype(float)
    sequences = [(b, np.roll(b, 1, axis=0)) for b in bits]
    net = rtlstm.Network(1, rtlstm.LSTM(8), 1, head="logistic", dtype="float64")
    learner = rtlstm.Learner(net, "bptt", rtlstm.Adam(0.05), loss="cross_entropy")
    losses = learner.fit(sequences, passes=60)
    assert losses[-1] < 0.2 * losses[0]


class Rates:
    """A schedule that compares by what it holds, and so has no hash."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, updates: int) -> float:
        return self.rate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rates) and other.rate == self.rate

    __hash__ = None  # type: ignore[assignment]


def test_a_schedule_needs_no_hash() -> None:
    learner, (X, Y) = make(optimizer=rtlstm.SGD(Rates(0.1))), stream(4)
    fixed = make(optimizer=rtlstm.SGD(0.1))
    assert (learner.run(X, Y) == fixed.run(X, Y)).all()
