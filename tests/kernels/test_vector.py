"""Vector primitives against their twins, in every mode, and against numbers from elsewhere."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import vector_cases as cases
from compiling import jit
from paths import TESTS

from rtlstm.kernels import vector
from rtlstm.kernels.compiler import mode

NAMES = sorted(cases.TABLE)
BOTH = pytest.mark.parametrize("dtype", cases.DTYPES)


def close(got: np.ndarray, want: np.ndarray, dtype: type) -> None:
    np.testing.assert_allclose(
        got, want, rtol=32 * np.finfo(dtype).eps, atol=32 * np.finfo(dtype).eps
    )


def compare_with_twin(name: str, call: tuple, f: np.ndarray) -> None:
    """The primitive leaves in all of f, and returns, what its twin does; NaN where it has NaN."""
    got, want = f.copy(), f.copy()
    returned = cases.run(name, call, got)
    expected = cases.run(name, call, want, inspect.unwrap(getattr(vector, name)))
    close(got, want, f.dtype.type)
    close(returned, expected, f.dtype.type)


def test_every_primitive_is_in_the_table() -> None:
    assert sorted(cases.TABLE) == sorted(set(vector.__all__) - {"LANES"})


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_equals_its_twin(name: str, dtype: type) -> None:
    for call in cases.calls(name):
        compare_with_twin(name, call, cases.field(dtype))


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_nan_and_infinity_go_where_they_go_in_the_twin(
    name: str, value: float, dtype: type
) -> None:
    f = cases.field(dtype)
    for first in (cases.A, cases.B, cases.C, cases.D, cases.M):
        f[first + 5] = f[first + 18] = value
    for call in cases.TABLE[name](24):
        compare_with_twin(name, call, f)


@jit
@pytest.mark.skipif(mode.CHECKED, reason="twins run where every index is checked")
def test_the_inner_loop_of_outer_products_begins_at_a_cache_line() -> None:
    """Where its last jump lay across two, in a library or in numba's memory, it took longer."""
    cases.run("outers_add", cases.TABLE["outers_add"](16)[0], cases.field(np.float32))
    assert re.search(r"\.p2align\s+6\b", "".join(cases.driver("outers_add").inspect_asm().values()))


@pytest.mark.core
@BOTH
def test_all_finite_sees_every_place(dtype: type) -> None:
    for n in (1, 7, 8, 23, 64, 77):
        for place in range(n):
            for value in (np.nan, np.inf, -np.inf):
                x = np.full(n + 1, np.finfo(dtype).max, dtype)
                x[n] = np.nan  # beyond the end: not looked at
                assert cases.run("all_finite", ("f", n), x) == 1.0
                x[place] = value
                assert cases.run("all_finite", ("f", n), x) == 0.0


@pytest.mark.core
@BOTH
def test_streams_get_the_bits_of_a_single_vector(dtype: type) -> None:
    """matmat and matvec add in the same order, so a stream does not feel its neighbours."""
    rows, columns = 11, 72
    for streams in (1, 5, 8, 9, 19):
        f = cases.field(dtype)
        layer, length = cases.layer(7001, rows, columns), rows + columns + 5
        alone = f.copy()
        cases.run("matmat", (layer, 0, "f", "f", "f", 1, length, streams), f)
        for b in range(streams):
            u = 1 + b * length + 3
            cases.run("matvec", ("f", 7001, "f", u, u + rows, rows, columns), alone)
        np.testing.assert_array_equal(f, alone)


@BOTH
@pytest.mark.parametrize(("rows", "columns"), [(11, 72), (600, 1024)])
def test_parts_of_a_product_add_up_to_its_bits(dtype: type, rows: int, columns: int) -> None:
    """By panels, by rows (a matrix beyond a second-level cache), and in parts that skip zeros."""
    w = np.random.default_rng(1).normal(size=(rows, columns)).astype(dtype)
    first, last, lo, width = rows // 3, rows - 2, 16, columns - 32
    w[first:last, :lo] = w[first:last, lo + width :] = 0.0
    u = np.random.default_rng(2).normal(size=rows)
    f = np.zeros(rows + 2 * columns, dtype)
    f[:rows], W = u, w.ravel()
    whole, parts = rows, rows + columns
    cases.run("matvec", (W, 0, "f", 0, whole, rows, columns), f)
    cases.run("matvec", (W, 0, "f", 0, parts, first, columns), f)
    inner = (W, first * columns + lo, columns, "f", first, parts + lo, last - first, width)
    cases.run("matvec_add", inner, f)
    rest = (W, last * columns, columns, "f", last, parts, rows - last, columns)
    cases.run("matvec_add", rest, f)
    np.testing.assert_array_equal(f[whole:parts], f[parts:])
    error = abs(f[whole:parts] - u @ w.astype(np.float64)).max()
    assert error < (1e-3 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("name", ["matvec", "matvec_add", "matvec_two", "matmat", "rows_dot"])
def test_bfloat16_weights_are_widened_exactly(name: str) -> None:
    f = cases.field(np.float32)
    half = (f.view(np.uint32) >> 16).astype(np.uint16)
    wide = (half.astype(np.uint32) << 16).view(np.float32)
    for call in cases.TABLE[name](40):
        got, want = f.copy(), f.copy()
        matrix = next(i for i, given in enumerate(call) if isinstance(given, str))
        cases.run(name, (*call[:matrix], half, *call[matrix + 1 :]), got)
        cases.run(name, (*call[:matrix], wide, *call[matrix + 1 :]), want)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["matvec_two", "matmat"])
@pytest.mark.parametrize("exact", [1, 4, 5])
@pytest.mark.parametrize("columns", [40, 1032])
def test_the_first_rows_may_be_float32_beside_bfloat16(name: str, exact: int, columns: int) -> None:
    """As the twin says, for all rows and for none behind them; small numbers, so sums are exact."""
    f = np.random.default_rng(3).integers(-8, 9, cases.SIZE).astype(np.float32)
    half = (f.view(np.uint32) >> 16).astype(np.uint16)
    twin = inspect.unwrap(getattr(cases.vector, name))
    for rows in (5, 6):
        layer = cases.layer(7001, rows, columns, (1, exact))
        call = {
            "matvec_two": (half, 7001, "f", 1, exact, "f", 8001, 9000, rows, columns),
            "matmat": (layer, 0, half, "f", "f", 8001, columns + rows + 5, 5),
        }[name]
        got, want = f.copy(), f.copy()
        cases.run(name, call, got)
        cases.run(name, call, want, twin)
        np.testing.assert_array_equal(got, want)


def all_magnitudes() -> np.ndarray:
    """float32 numbers of every exponent, both signs, 2,000 of each."""
    bits = np.linspace(0, 0x7F7FFFFF, 256 * 2000).astype(np.uint32)
    return np.concatenate([bits.view(np.float32), -bits.view(np.float32)])


def squashed(x: np.ndarray, kind: int, beta: float = 1.0) -> np.ndarray:
    y = x.copy()
    cases.run("squash", ("f", 0, 0, x.size, kind, 1.0, beta), y)
    return y.astype(np.float64)


def test_float32_activations_are_accurate_at_every_magnitude() -> None:
    x = all_magnitudes()
    exact = x.astype(np.float64)
    tanh = np.tanh(exact)
    error = abs(squashed(x, 1) - tanh)
    assert error.max() <= 1.2e-7
    normal = abs(exact) > 1e-37
    assert (error[normal] / abs(tanh[normal])).max() <= 2.0e-7  # 1.6 units in the last place
    with np.errstate(over="ignore"):
        assert abs(squashed(x, 2) - 1.0 / (1.0 + np.exp(-exact))).max() <= 0.9e-7


def test_float64_activations_are_accurate() -> None:
    scales = np.geomspace(1e-12, 30.0, 400)
    x = np.concatenate([s * np.linspace(-1.0, 1.0, 80) for s in scales])
    tanh = np.tanh(x)
    assert abs(squashed(x, 1) - tanh).max() <= 4e-16
    assert (abs(squashed(x, 1) - tanh) <= 1e-15 * abs(tanh)).all()
    assert abs(squashed(x, 2) - (0.5 + 0.5 * np.tanh(0.5 * x))).max() <= 4e-16


@pytest.mark.core
@BOTH
def test_activations_saturate_and_let_nan_pass(dtype: type) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 30.0, -30.0, -0.0, 1e-30, 1e4], dtype)
    tanh, logistic, relu = (squashed(x, kind) for kind in (1, 2, 3))
    np.testing.assert_array_equal(tanh[[0, 1, 3, 4, 5, 7]], [1.0, -1.0, 1.0, -1.0, 0.0, 1.0])
    assert np.signbit(tanh[5]) and tanh[6] == x[6]
    assert logistic[0] == logistic[7] == 1.0 and logistic[5] == 0.5 and 0.0 <= logistic[1] < 2e-38
    np.testing.assert_array_equal(relu[[0, 1, 4, 7]], [np.inf, 0.0, 0.0, 1e4])
    assert np.isnan([tanh[2], logistic[2], relu[2]]).all()


@pytest.mark.core
@BOTH
def test_subnormal_traces_become_zero(dtype: type) -> None:
    tiny = np.finfo(dtype).tiny
    f = np.zeros(64, dtype)
    f[:8] = tiny * np.array([0.5, 1.0, -0.5, -1.0, 2.0, 1.5, 0.0, np.nan])  # E; phi = 1, kappa = 0
    f[8:16] = 1.0
    want = np.where(abs(f[:8]) < tiny, 0.0, f[:8])
    for name, call in (("trace_row", ("f", 0, 8, 16, 1.0, 8)),
                       ("trace_row_norm", ("f", 0, 8, 16, 1.0, 24, 8))):  # fmt: skip
        g = f.copy()
        cases.run(name, call, g)
        np.testing.assert_array_equal(g[:8], want)


@BOTH
@pytest.mark.parametrize(
    ("name", "moments"), [("sgd_row", 1), ("rmsprop_row", 1), ("adam_row", 2)], ids=lambda v: str(v)
)
def test_moments_that_decay_become_zero(name: str, moments: int, dtype: type) -> None:
    tiny = np.finfo(dtype).tiny
    f = np.zeros(64, dtype)  # weights, gradient 0, moments, constants
    f[16 : 16 + 8 * moments] = np.tile([1.05, 1.2, 2.0, 0.5, 1.0, 1.1, 0.0, 4.0], moments) * tiny
    f[48:54] = 0.1, 1.0, 0.9, 0.9, 1e-8, 1.0
    cases.run(name, ("f", 0, 8, *(16 + 8 * i for i in range(moments)), 8, 48), f)
    kept = f[16 : 16 + 8 * moments].reshape(moments, 8)
    np.testing.assert_array_equal(kept[:, [0, 3, 4, 5, 6]], 0.0)
    assert (kept[:, [1, 2, 7]] >= tiny).all()


@pytest.mark.oracles
@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("sgd_row", "SGD", {}),
        ("sgd_row", "SGD", {"momentum": 0.8}),
        ("sgd_row", "SGD", {"momentum": 0.8, "nesterov": True}),
        ("rmsprop_row", "RMSprop", {"alpha": 0.9, "eps": 1e-6}),
        ("adam_row", "Adam", {"betas": (0.8, 0.95), "eps": 1e-6}),
    ],
)
def test_optimizer_rows_follow_torch(name: str, kind: str, options: dict) -> None:
    torch = pytest.importorskip("torch")
    rng, n, lr = np.random.default_rng(3), 24, 0.03
    weights = torch.tensor(rng.normal(size=n), requires_grad=True)
    optimizer = getattr(torch.optim, kind)([weights], lr=lr, **options)
    f = np.zeros(200)
    f[:n] = weights.detach().numpy()
    moments = (64, 96)[: 2 if kind == "Adam" else 1]
    for t in range(1, 8):
        gradient = rng.normal(size=n)
        f[32 : 32 + n] = gradient / 0.5  # the clip scale halves it
        f[190:196] = constants(kind, lr, t, options)
        cases.run(name, ("f", 0, 32, *moments, n, 190), f)
        weights.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(f[:n], weights.detach().numpy(), rtol=1e-12, atol=1e-14)


def constants(kind: str, lr: float, t: int, options: dict) -> list[float]:
    if kind == "SGD":
        return [lr, 0.5, options.get("momentum", 0.0), options.get("nesterov", False), 0, 0]
    if kind == "RMSprop":
        return [lr, 0.5, options["alpha"], options["eps"], 0, 0]
    first, second = options["betas"]
    return [lr / (1 - first**t), 0.5, first, second, options["eps"], (1 - second**t) ** -0.5]


OTHER_MODE = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import vector_cases as cases
results = dict()
for name in {names!r}:
    f = cases.field(np.float64)
    returned = [cases.run(name, call, f) for call in cases.TABLE[name]({length})]
    results[name] = np.append(f, returned)
np.savez(sys.argv[1], **results)
if {length} != 24:
    sys.exit(0)
try:
    cases.run("fill", ("f", cases.SIZE, 0.0, 8), f)
except IndexError:
    sys.exit(3)
"""


def compare_elsewhere(
    tmp_path: Path, environment: dict[str, str], names: list[str], length: int, code: int
) -> None:
    """The same numbers from a process with other settings, which ends with an exit code."""
    tests = str(TESTS)
    script = OTHER_MODE.format(tests=tests, names=names, length=length)
    environment = {**os.environ, **environment, "RTLSTM_CACHE_DIR": str(tmp_path / "cache")}
    out = tmp_path / "results.npz"
    done = subprocess.run([sys.executable, "-c", script, out], env=environment, timeout=300)
    assert done.returncode == code
    with np.load(out) as results:
        for name in names:
            f = cases.field(np.float64)
            returned = [cases.run(name, call, f) for call in cases.TABLE[name](length)]
            close(np.append(f, returned), results[name], np.float64)


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("NUMBA_DISABLE_JIT", NAMES),
        pytest.param("NUMBA_BOUNDSCHECK", ["dot", "fill", "squash", "trace_row"], marks=jit),
    ],
)
def test_twins_run_in_the_other_modes(mode: str, names: list[str], tmp_path: Path) -> None:
    """Without the compiler, and with bounds checks, which catch a write outside the array."""
    compare_elsewhere(tmp_path, {mode: "1"}, names, length=24, code=3)


@jit
def test_a_machine_without_wide_vectors_gets_the_same(tmp_path: Path) -> None:
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    names = ["matvec", "matvec_add", "matmat", "rows_dot", "squash", "adam_row"]
    compare_elsewhere(tmp_path, plain, names, length=264, code=0)


@jit
@pytest.mark.parametrize(
    "call",
    [
        (np.zeros((4, 4)), 0, 1.0, 8),
        (np.zeros(32)[::2], 0, 1.0, 8),
        (np.zeros(16, np.int64), 0, 1.0, 8),
        (np.zeros(16), 0.5, 1.0, 8),
    ],
)
def test_what_is_no_float_vector_does_not_compile(call: tuple) -> None:
    from numba.core.errors import TypingError

    with pytest.raises(TypingError):
        cases.driver("fill")(*call)
