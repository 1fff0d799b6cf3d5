"""The exact rules and the rules of blocks, held to their definitions and to PyTorch's answers."""

from __future__ import annotations

import tracemalloc
from functools import partial
from typing import Any

import cells
import numpy as np
import pytest
import reference
from cells import Row
from gradient_checks import LR, agree, descend, follow, network
from paths import GOLDEN
from reference import rules

import rtlstm
from rtlstm.training import Rule

Arrays = dict[str, np.ndarray]
BIG = [
    Row("vanilla", lambda n: [rtlstm.LSTM(n, "vanilla")]),
    Row("blocks", lambda n: [rtlstm.LSTM(2 * n, "FGR", block_size=2)]),
    Row("GRU-highway", lambda n: [rtlstm.GRU(n), rtlstm.LSTM(n, highway=True)]),
]
some = pytest.mark.parametrize("row", BIG, ids=lambda row: row.id)


def data(row: Row, net: rtlstm.Network, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples, and targets of which some are missing, wholly or in part."""
    X, Y = cells.samples(net.spec, steps), cells.targets(row, net.spec, steps)
    Y[3::7] = np.nan
    Y[5::7, 0] = np.nan
    return X, Y


def learner(row: Row, rule: Any, units: int = 2, lr: float = LR, **more: Any) -> rtlstm.Learner:
    net, _ = network(row, units)
    return rtlstm.Learner(net, rule, rtlstm.SGD(lr), row.loss, **more)


# --------------------------------------------------------------------------- at every step
def test_rtrl_is_exact_at_every_one_of_200_steps(row: Row) -> None:
    """But for carousels without decay, whose h(c) saturates: 1 - h² keeps ten digits for 50."""
    follow(row, "rtrl", rules.rtrl, steps=50 if row.drifts else 200, units=2)


@pytest.mark.parametrize("block", [1, 3, None])
def test_rtrl_is_the_plain_rule_while_weights_move(row: Row, block: int | None) -> None:
    follow(row, Rule("rtrl", block), rules.rtrl, steps=25, units=2, moving=True)


@some
def test_rtrl_does_not_depend_on_its_block(row: Row) -> None:
    """Blocks longer than the run never touch the influence matrix: BPTT back to the reset, with
    the weights as they were at each step. Several slabs and panels, weights moving.
    """
    units, steps = 17, 75
    want, *found = (learner(row, Rule("rtrl", block), units) for block in (steps + 1, 4, 7, None))
    X, Y = data(row, want.net, steps)
    for t in range(steps):
        want.step(X[t], Y[t])
        for other in found:
            other.step(X[t], Y[t])
            agree(other.gradient, want.gradient, 1e-10, f"step {t}")


# --------------------------------------------------------------------------- at the end of blocks
def assert_blocks(row: Row, rule: Rule, definition: Any, block: int, steps: int) -> None:
    """Every block's gradient and predictions, the last block maybe closed by a reset."""
    ours = learner(row, rule)
    params = {name: view.copy() for name, view in ours.net.parameters.items()}
    X, Y = data(row, ours.net, steps)
    wanted = definition(ours.net.spec, params, X, Y, row.loss, block, descend)
    assert not any(values.any() for values in ours.gradient.values())
    for number, want in enumerate(wanted):
        rows = slice(number * block, (number + 1) * block)
        found = np.array([ours.step(x, y) for x, y in zip(X[rows], Y[rows], strict=True)])
        np.testing.assert_allclose(found, want.prediction, rtol=1e-10, atol=1e-12)
        if rows.stop > steps:
            ours.reset()
        agree(ours.gradient, want.gradient, 1e-10, f"block {number}")


@pytest.mark.parametrize("times", [0, 1, 2, 1.5])
def test_hybrid_is_exact_at_block_ends(row: Row, times: float) -> None:
    """Blocks of 1, n, 2n and 3 steps, and a sequence that ends inside one."""
    block = max(1, int(times * 2))
    assert_blocks(row, rtlstm.Hybrid(block), rules.hybrid, block, 3 * block + 2)


def test_a_hybrid_block_has_as_many_steps_as_units() -> None:
    row = cells.BY_ID["stack-NP-NP"]
    ours = learner(row, "hybrid", 3)
    X, Y = data(row, ours.net, 8)
    ours.run(X[:6], Y[:6])
    assert ours.health()["updates"] == 0
    ours.run(X[6:7], Y[6:7])
    assert ours.health()["updates"] == 1


def test_tbptt_ends_at_its_block(row: Row) -> None:
    assert_blocks(row, rtlstm.TBPTT(3), rules.tbptt, 3, 11)


@some
def test_hybrid_is_rtrl_summed_over_a_block(row: Row) -> None:
    """At a size of several slabs and panels, weights still."""
    units, block, steps = 17, 5, 30
    ours = learner(row, rtlstm.Hybrid(block), units, 0.0)
    exact = learner(row, "rtrl", units, 0.0)
    X, Y = data(row, ours.net, steps)
    for t in range(0, steps, block):
        total: Arrays = {}
        for x, y in zip(X[t : t + block], Y[t : t + block], strict=True):
            ours.step(x, y)
            exact.step(x, y)
            total = {n: total.get(n, 0.0) + g for n, g in exact.gradient.items()}
        agree(ours.gradient, total, 1e-10, f"block from {t}")


# --------------------------------------------------------------------------- the whole sequence
def test_bptt_is_pytorchs(row: Row) -> None:
    """Golden answers of autograd, in the order of the parameters."""
    spec, params, X, Y = cells.golden_case(row)
    net = rtlstm.Network.from_spec(spec)
    for name, view in net.parameters.items():
        view[...] = params[name]
    ours = rtlstm.Learner(net, "bptt", rtlstm.SGD(0.0), row.loss)
    ours.run(X, Y)
    assert not any(values.any() for values in ours.gradient.values())
    ours.reset()
    flat = dict(np.load(GOLDEN / "bptt.npz"))[row.id]
    want, at = {}, 0
    for name, shape in reference.shapes(spec).items():
        size = int(np.prod(shape))
        want[name], at = flat[at : at + size].reshape(shape), at + size
    agree(ours.gradient, want, 1e-9, "autograd")


def test_bptt_is_the_quotient_of_differences(row: Row) -> None:
    spec = row.spec(2)
    net, params = network(row, 2)
    X, Y = data(row, net, 6)
    ours = rtlstm.Learner(net, "bptt", rtlstm.SGD(0.0), row.loss)
    ours.run(X, Y)
    ours.reset()

    def total(changed: Arrays) -> float:
        P, _ = reference.forward(spec, changed, X)
        return sum(
            float(reference.loss_of(row.loss, spec, p, y))
            for p, y in zip(P, Y, strict=True)
            if rules.observed(y)
        )

    gradient, largest = ours.gradient, max(np.abs(g).max() for g in ours.gradient.values())
    draw, h = np.random.RandomState(4), 1e-5
    for name, values in params.items():
        way = draw.standard_normal(values.shape)
        ends = (total(params | {name: values + s * h * way}) for s in (2, 1, -1, -2))
        far, near, back, farthest = ends
        slope = (8 * (near - back) - (far - farthest)) / (12 * h)
        assert abs(slope - (gradient[name] * way).sum()) <= 1e-6 * largest, name


def test_tbptt_over_the_whole_sequence_is_bptt(row: Row) -> None:
    whole, part = learner(row, "bptt"), learner(row, rtlstm.TBPTT(20))
    X, Y = data(row, whole.net, 15)
    for ours in (whole, part):
        ours.run(X, Y)
        ours.reset()
    agree(part.gradient, whole.gradient, 1e-13, "TBPTT(20)")
    assert whole.health()["updates"] == part.health()["updates"] == 1


def test_bptt_updates_once_a_sequence() -> None:
    row = cells.BY_ID["vanilla"]
    ours = learner(row, "bptt")
    X, Y = data(row, ours.net, 9)
    ours.fit([(X, Y), (X[:5], Y[:5])], passes=3)
    assert ours.health()["updates"] == 6


def test_bptt_refuses_a_longer_sequence_than_it_has_room_for() -> None:
    row = cells.BY_ID["vanilla"]
    ours = learner(row, Rule("bptt", 10))
    X, Y = data(row, ours.net, 12)
    ours.run(X[:9], Y[:9])
    before = ours.snapshot()
    for call in (partial(ours.run, X, Y), partial(ours.run, X[9:], Y[9:])):
        with pytest.raises(rtlstm.LimitError, match=r"TBPTT\(k\)"):
            call()
        assert ours.snapshot() == before
    ours.step(X[9], Y[9])
    with pytest.raises(rtlstm.LimitError, match="Nothing has changed"):
        ours.step(X[10], Y[10])
    ours.reset()
    ours.step(X[10], Y[10])


# --------------------------------------------------------------------------- behaviour
@pytest.mark.parametrize("rule", ["rtrl", rtlstm.Hybrid(4), rtlstm.TBPTT(4), "bptt"], ids=str)
def test_a_reset_leaves_no_trace(rule: Any) -> None:
    row = cells.BY_ID["stack-NP-NP"]
    used = learner(row, rule)
    X, Y = data(row, used.net, 40)
    used.run(X[:23], Y[:23])
    used.reset()
    fresh = learner(row, rule)
    for name, view in fresh.net.parameters.items():
        view[...] = used.net.parameters[name]
    assert np.array_equal(used.run(X[23:], Y[23:]), fresh.run(X[23:], Y[23:]))


@pytest.mark.parametrize("rule", [rtlstm.Hybrid(3), rtlstm.TBPTT(3)], ids=str)
def test_a_block_without_labels_moves_nothing(rule: Rule) -> None:
    row = cells.BY_ID["vanilla"]
    ours = learner(row, rule)
    X, Y = data(row, ours.net, 6)
    before = {name: view.copy() for name, view in ours.net.parameters.items()}
    ours.run(X[:3], np.full_like(Y[:3], np.nan))
    assert ours.health()["updates"] == 0
    assert all(np.array_equal(v, before[n]) for n, v in ours.net.parameters.items())
    ours.run(X[3:], Y[3:])
    assert ours.health()["updates"] == 1


@pytest.mark.parametrize("rule", ["rtrl", rtlstm.Hybrid(8)], ids=str)
def test_influence_that_overflows_is_cleared_and_counted(rule: Any) -> None:
    """A linear recurrence whose influence grows by 100 a step while its state stays at 0."""
    net = rtlstm.Network(1, rtlstm.RNN(2, "identity"), 1, dtype="float32")
    ours = rtlstm.Learner(net, rule, rtlstm.SGD(1e-12), clip=1e-6)
    net.parameters["layer0.R.a"][...] = [[100.0, 0.0], [0.0, 100.0]]
    for name in ("layer0.W.a", "layer0.b.a"):
        net.parameters[name][...] = 0.0
    for _ in range(104):
        ours.step([1.0], None)
    for _ in range(16):
        ours.step([1.0], [0.5])
    health = ours.health()
    assert health["skipped_updates"] >= 1 and health["trace_resets"] == 1
    assert health["updates"] >= 1  # it goes on
    assert all(np.isfinite(view).all() for view in net.parameters.values())
    assert all(np.isfinite(block).all() for block in ours.gradient.values())


@pytest.mark.parametrize("rule", ["rtrl", "hybrid"])
def test_too_large_an_influence_matrix_is_refused(rule: str) -> None:
    net = rtlstm.Network(8, rtlstm.LSTM(1024, init="zeros"), 1)
    before = net.snapshot()
    with pytest.raises(rtlstm.LimitError, match=r"would hold \d{11} bytes.*'snap1'"):
        rtlstm.Learner(net, rule)
    assert net.snapshot() == before


def test_rtrl_holds_the_influence_matrix_and_a_block() -> None:
    """No second influence matrix: what is beside it and the history of a block is small."""
    ours = rtlstm.Learner(rtlstm.Network(8, rtlstm.LSTM(64), 1), "rtrl")
    size = {name: place.shape for name, place in ours._saved.items()}
    count = {name: int(np.prod(shape)) * 4 for name, shape in size.items()}
    influence = sum(n for name, n in count.items() if name.startswith("influence."))
    block = sum(n for name, n in count.items() if name.startswith(("history.", "push.layer")))
    assert influence == 4 * 128 * 256 * 73
    assert block <= influence
    assert ours.memory - influence - block <= 0.1 * influence


@pytest.mark.parametrize("rule", ["rtrl", rtlstm.Hybrid(8), rtlstm.TBPTT(8)], ids=str)
def test_nothing_is_allocated_while_it_learns(rule: Any) -> None:
    ours = rtlstm.Learner(rtlstm.Network(2, rtlstm.LSTM(8), 1), rule)
    draw = np.random.RandomState(0)
    X, Y = draw.standard_normal((500, 2)), draw.standard_normal((500, 1))
    X, Y, P = X.astype("f"), Y.astype("f"), np.empty((500, 1), "f")
    ours.run(X, Y, out=P)
    tracemalloc.start()
    ours.run(X, Y, out=P)
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(40):
        ours.run(X, Y, out=P)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after <= before + 100 and peak <= before + 20 * len(X)


def test_float32_stays_near_float64() -> None:
    gradients = []
    for dtype in ("float32", "float64"):
        net = rtlstm.Network(4, rtlstm.LSTM(20, "vanilla"), 2, dtype="float64", seed=3)
        if dtype == "float32":
            single = rtlstm.Network(4, rtlstm.LSTM(20, "vanilla"), 2, seed=3)
            for name, view in single.parameters.items():
                view[...] = net.parameters[name]
                net.parameters[name][...] = view
            net = single
        ours = rtlstm.Learner(net, "rtrl", rtlstm.SGD(0.01))
        draw = np.random.RandomState(5)
        ours.run(draw.standard_normal((100, 4)), draw.standard_normal((100, 2)))
        gradients.append(ours.gradient)
    agree(gradients[0], gradients[1], 1e-3, "float32")


@pytest.mark.core
@pytest.mark.parametrize("id", ["vanilla-blocks", "highway-stack"])
def test_a_few_steps(id: str) -> None:
    """Small enough to run interpreted."""
    row = cells.BY_ID[id]
    follow(row, Rule("rtrl", 2), rules.rtrl, steps=7, units=2, moving=True)
    assert_blocks(row, rtlstm.Hybrid(2), rules.hybrid, 2, 7)
    assert_blocks(row, rtlstm.TBPTT(2), rules.tbptt, 2, 5)
