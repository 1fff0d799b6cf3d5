"""The law itself, held to PyTorch (live, or by the golden files) and to finite differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import reference
from cells import BY_ID, ROWS, Row, golden_case, samples, targets, weights
from paths import GOLDEN
from reference import cells as law
from reference import optimizers, papers, rules

from rtlstm.spec import GRU, LSTM, RNN, NetworkSpec

Arrays = dict[str, np.ndarray]
GATED = [row for row in ROWS if row.gated]
# one LSTM layer with nothing around it, under a linear head, as in the papers
PLAIN = [row for row in GATED if len(row.layers(1)) == 1 and not row.square and not row.network]
by_id = {"ids": lambda row: row.id}


def flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([v.ravel() for v in arrays.values()])


def assert_close(found: Arrays, wanted: Arrays, rtol: float) -> None:
    """Every block of weights by itself, scale included: |found - wanted| <= rtol max |wanted|."""
    assert found.keys() == wanted.keys()
    for name, want in wanted.items():
        assert found[name].shape == want.shape
        scale = max(np.abs(want).max(), 1e-3)
        assert np.abs(found[name] - want).max() <= rtol * scale, name


def summed(steps: list[rules.Learned]) -> Arrays:
    return {name: sum(step.gradient[name] for step in steps) for name in steps[0].gradient}


def case(row: Row, units: int, steps: int) -> tuple[NetworkSpec, Arrays, np.ndarray, np.ndarray]:
    spec = row.spec(units)
    return spec, weights(spec, 3), samples(spec, steps, 4), targets(row, spec, steps, 5)


def law_answers(row: Row, spec: NetworkSpec, *problem: np.ndarray) -> dict[str, np.ndarray]:
    """What `oracles.solve` answers, from the reference."""
    answers = {
        "forward": reference.forward(spec, *problem[:2])[0].ravel(),
        "bptt": flat(rules.bptt(spec, *problem, row.loss)),
    }
    if row.gated:
        *_, last = rules.truncated(spec, *problem, row.loss)
        answers["truncated"] = flat(last.gradient)
    return answers


# --------------------------------------------------------------------------- oracles
def test_golden_files(row: Row) -> None:
    for kind, found in law_answers(row, *golden_case(row)).items():
        with np.load(GOLDEN / f"{kind}.npz") as answers:
            np.testing.assert_allclose(found, answers[row.id], rtol=1e-9, atol=1e-13, err_msg=kind)


def test_golden_files_hold_no_other_rows() -> None:
    for kind in ("forward", "bptt", "truncated"):
        with np.load(GOLDEN / f"{kind}.npz") as answers:
            assert set(answers.files) - {"versions"} <= set(BY_ID)


@pytest.mark.oracles
def test_pytorch_live(row: Row) -> None:
    pytest.importorskip("torch")
    from oracles import solve

    problem = case(row, 3, 10)
    wanted = solve(row, *problem)
    for kind, found in law_answers(row, *problem).items():
        np.testing.assert_allclose(found, wanted[kind], rtol=1e-9, atol=1e-13, err_msg=kind)


def test_bptt_against_differences(row: Row) -> None:
    """Central differences along four random directions."""
    spec, params, X, Y = case(row, 2, 6)
    gradient, draw, h = rules.bptt(spec, params, X, Y, row.loss), np.random.RandomState(6), 1e-5

    def total(way: Arrays, size: float) -> float:
        P = reference.forward(spec, {k: v + size * way[k] for k, v in params.items()}, X)[0]
        return sum(law.loss_of(row.loss, spec, p, y) for p, y in zip(P, Y, strict=True))

    for _ in range(4):
        way = {k: draw.standard_normal(v.shape) for k, v in params.items()}
        wanted = (total(way, h) - total(way, -h)) / (2 * h)
        assert flat(gradient) @ flat(way) == pytest.approx(wanted, rel=1e-6, abs=1e-7)


# --------------------------------------------------------------------------- exact rules
def test_rtrl_is_bptt_of_each_loss_alone(row: Row) -> None:
    spec, params, X, Y = case(row, 2, 5)
    for t, step in enumerate(rules.rtrl(spec, params, X, Y, row.loss)):
        alone = np.full((t + 1, spec.outputs), np.nan)
        alone[t] = Y[t]
        assert_close(step.gradient, rules.bptt(spec, params, X[: t + 1], alone, row.loss), 1e-11)


@pytest.mark.parametrize("length", [1, 3, 4])
def test_hybrid_is_rtrl_that_updates_once_a_block(row: Row, length: int) -> None:
    spec, params, X, Y = case(row, 2, 7)
    pending: list[Arrays] = []
    steps: list[Arrays] = []

    def once_a_block(now: Arrays, gradient: Arrays) -> Arrays:
        pending.append(gradient)
        if len(pending) < length:
            return now
        total = {name: sum(g[name] for g in pending) for name in now}
        pending.clear()
        steps.append(total)
        return optimizers.SGD(0.05)(now, total)

    for _ in rules.rtrl(spec, params, X, Y, row.loss, once_a_block):
        pass
    blocks = list(rules.hybrid(spec, params, X, Y, row.loss, length, optimizers.SGD(0.05)))
    assert len(blocks) == -(-7 // length)
    for block, wanted in zip(blocks, steps, strict=False):
        assert_close(block.gradient, wanted, 1e-10)


def test_tbptt_forgets_what_was_before_its_block(row: Row) -> None:
    spec, params, X, Y = case(row, 2, 6)
    (whole,) = rules.tbptt(spec, params, X, Y, row.loss, 6)
    assert_close(whole.gradient, rules.bptt(spec, params, X, Y, row.loss), 1e-12)
    first, second = rules.tbptt(spec, params, X, Y, row.loss, 3)
    assert_close(first.gradient, rules.bptt(spec, params, X[:3], Y[:3], row.loss), 1e-12)
    there = reference.forward(spec, params, X[:3])[1][-1]
    wanted = rules.bptt(spec, params, X[3:], Y[3:], row.loss, there)
    assert_close(second.gradient, wanted, 1e-12)


# --------------------------------------------------------------------------- cheap rules
@pytest.mark.parametrize(
    "row", [r for r in PLAIN if r.layers(1)[0].forget_gate != "coupled"], **by_id
)
def test_truncated_is_what_the_papers_write(row: Row) -> None:
    spec, params, X, Y = case(row, 2, 8)
    layer = papers.MemoryBlocks(spec.layers[0], law.part(params, 0))
    for x, y, step in zip(X, Y, rules.truncated(spec, params, X, Y, "sse"), strict=True):
        layer.step(x)
        errors = params["head.W"][: len(layer.y)] @ (step.prediction - y)
        assert_close(layer.gradient(errors), law.part(step.gradient, 0), 1e-12)


def without_reads(params: Arrays) -> Arrays:
    """Weights with all that `truncated` cuts set to zero."""
    return {k: 0.0 * v if k.split(".")[1] in "RGp" else v for k, v in params.items()}


@pytest.mark.parametrize("row", PLAIN, **by_id)
def test_truncated_is_exact_where_nothing_is_cut(row: Row) -> None:
    spec, params, X, Y = case(row, 2, 6)
    exact = summed(list(rules.rtrl(spec, without_reads(params), X, Y, row.loss)))
    found = summed(list(rules.truncated(spec, without_reads(params), X, Y, row.loss)))
    cut = [name for name in exact if name.split(".")[1] in "RGp"]
    assert_close(found, exact, 1e-12)
    assert not cut or any(np.abs(exact[name]).max() > 0 for name in cut)


def test_truncated_refuses_cells_without_a_carousel() -> None:
    spec, params, X, Y = case(BY_ID["GRU"], 2, 2)
    with pytest.raises(ValueError, match="LSTM"):
        next(rules.truncated(spec, params, X, Y, "mse"))


@pytest.mark.parametrize("row", [r for r in ROWS if len(r.layers(1)) == 1], **by_id)
def test_snap1_is_exact_for_recurrence_within_blocks(row: Row) -> None:
    spec, params, X, Y = case(row, 3, 6)
    blocks = spec.layers[0].units // getattr(spec.layers[0], "block_size", 1)
    for name, weight in params.items():
        if name.split(".")[1] in "RG":
            rows, columns = (np.arange(n) for n in weight.shape)
            # row k and column j belong to these blocks; G stacks the gates, one row a block
            from_block = rows % blocks if ".G." in name else rows * blocks // len(rows)
            weight *= from_block[:, None] == columns * blocks // len(columns)

    def live(gradient: Arrays) -> Arrays:
        return {k: g * (params[k] != 0) for k, g in gradient.items()}

    exact = rules.rtrl(spec, params, X, Y, row.loss)
    own = rules.snap1(spec, params, X, Y, row.loss)
    for wanted, found in zip(exact, own, strict=True):
        assert_close(live(found.gradient), live(wanted.gradient), 1e-12)


@pytest.mark.parametrize("cell", [LSTM(1, "vanilla"), GRU(2), RNN(2)], ids=["LSTM", "GRU", "RNN"])
def test_uoro_is_unbiased_over_all_signs(cell: LSTM | GRU | RNN) -> None:
    spec = NetworkSpec(2, (cell,), 2)
    params, X, Y = weights(spec), samples(spec, 3), np.random.RandomState(7).standard_normal((3, 2))
    *_, exact = rules.rtrl(spec, params, X, Y, "mse")
    estimates = []
    for signs in product((-1.0, 1.0), repeat=6):
        *_, last = rules.uoro(spec, params, X, Y, "mse", np.reshape(signs, (3, 2)))
        estimates.append(last)
    mean = {name: g / len(estimates) for name, g in summed(estimates).items()}
    assert_close(mean, exact.gradient, 1e-9)


# --------------------------------------------------------------------------- targets, updates
@pytest.mark.parametrize("loss", ["mse", "sse", "huber"])
def test_missing_targets_leave_the_loss(loss: str) -> None:
    spec = BY_ID["NP"].spec(2)
    p, nan = np.array([0.5, 3.0]), np.nan
    for y, kept in (([nan, 1.0], [1]), ([2.0, nan], [0])):
        alone = law.loss_of(loss, spec, p[kept], np.array(y)[kept])
        assert law.loss_of(loss, spec, p, np.array(y)) == alone > 0
    assert law.loss_of(loss, spec, p, np.array([nan, nan])) == 0


TORCH_OPTIMIZERS: list[tuple[Callable[[], rules.Update], str, dict[str, float | bool]]] = [
    (lambda: optimizers.SGD(0.1), "SGD", {"lr": 0.1}),
    (lambda: optimizers.SGD(0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    (
        lambda: optimizers.SGD(0.1, 0.9, True),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    (lambda: optimizers.RMSProp(0.01), "RMSprop", {"lr": 0.01}),
    (lambda: optimizers.Adam(0.01), "Adam", {"lr": 0.01}),
]


@pytest.mark.oracles
@pytest.mark.parametrize(("ours", "name", "options"), TORCH_OPTIMIZERS)
def test_optimizers_against_pytorch(ours, name, options) -> None:
    torch = pytest.importorskip("torch")
    draw, update = np.random.RandomState(8), ours()
    params = {"a": draw.standard_normal((2, 3)), "b": draw.standard_normal(4)}
    theirs = {k: torch.tensor(v, requires_grad=True) for k, v in params.items()}
    optimizer = getattr(torch.optim, name)(theirs.values(), **options)
    for _ in range(20):
        gradient = {k: draw.standard_normal(v.shape) for k, v in params.items()}
        params = update(params, gradient)
        for k, tensor in theirs.items():
            tensor.grad = torch.tensor(gradient[k])
        optimizer.step()
        assert_close(params, {k: v.detach().numpy() for k, v in theirs.items()}, 1e-12)


def test_clipping_scales_all_arrays_alike() -> None:
    gradient = {"a": np.array([3.0]), "b": np.array([[4.0]])}
    assert_close(optimizers.clip(gradient, 10.0), gradient, 0.0)
    assert_close(
        optimizers.clip(gradient, 1.0), {"a": np.array([0.6]), "b": np.array([[0.8]])}, 1e-15
    )
    nothing = {"a": np.zeros(2)}
    assert_close(optimizers.clip(nothing, 1.0), nothing, 0.0)
