"""The forecaster on streams made for the purpose: honest, exact in its copies, hard to break."""

from __future__ import annotations

import datetime as dt
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.models.forecaster import Forecaster

Array = np.ndarray[Any, Any]
HOUR = 3600.0
SMALL: dict[str, Any] = {"columns": ["a", "b", "c"], "lags": 5, "layers": rtlstm.LSTM(4)}


def stream(rows: int, seed: int = 0) -> Array:
    """Three columns: a noisy day of 12 rows, one that follows it a row later, a slow walk."""
    rng = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(rows) / 12)
    a = 10.0 + 3.0 * day + 0.3 * rng.normal(size=rows)
    b = np.roll(a, 1) + 0.1 * rng.normal(size=rows)
    return np.stack([a, b, np.cumsum(rng.normal(size=rows))], axis=1)


def with_gaps(rows: int, share: float = 0.1) -> Array:
    table = stream(rows)
    table[np.random.default_rng(7).random(table.shape) < share] = np.nan
    return table


SETTINGS: dict[str, dict[str, Any]] = {
    "one row ahead": {},
    "several rows ahead": {"horizon": [1, 3, 7]},
    "far ahead only": {"horizon": [5], "targets": ["b"]},
    "rows with gaps skipped": {"missing": "skip"},
    "gaps held": {"missing": "hold", "targets": ["c", "a"]},
    "medians, values named": {"point": "median", "missing_values": [-9999.0]},
    "another rule and cell": {"rule": "snap1", "layers": [rtlstm.GRU(3), rtlstm.LSTM(3)]},
}


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {**SMALL, **request.param}


# ---------------------------------------------------------------- what it says
def test_it_learns_what_can_be_learned() -> None:
    forecaster = Forecaster(**SMALL)
    forecaster.run(stream(3000))
    skill = forecaster.metrics["skill"][0]
    assert skill[0] > 0.8  # of a day's change, all but the noise
    assert skill[1] > 0.9  # known a row before
    assert skill[2] > -0.05  # nothing can be known
    assert forecaster.season == 12


def test_metrics_are_those_of_the_forecasts() -> None:
    rows, forecaster = stream(300), Forecaster(**SMALL, horizon=[1, 4])
    F = forecaster.run(rows)
    metrics = forecaster.metrics
    for h, ahead in enumerate(forecaster.horizons):
        errors, naive = (
            rows[ahead:] - F[:-ahead, h],
            rows[ahead:] - rows[:-ahead],
        )
        assert (metrics["count"][h] == len(errors)).all()
        for name, score in (
            ("mse", errors**2),
            ("mae", np.abs(errors)),
            ("persistence_mse", naive**2),
            ("persistence_mae", np.abs(naive)),
        ):
            np.testing.assert_allclose(metrics[name][h], score.mean(axis=0), rtol=1e-9)


def test_a_number_of_rows_ahead_is_all_of_them() -> None:
    forecaster = Forecaster(["a"], horizon=3, lags=2, layers=rtlstm.LSTM(2))
    assert forecaster.horizons == (1, 2, 3)
    forecast = forecaster.update([1.0])
    assert forecast.values.shape == forecast.lower.shape == forecast.upper.shape == (3, 1)
    assert 0.0 <= forecast.anomaly <= 1.0


def test_a_lone_horizon_is_forecast_as_among_others() -> None:
    lone, both = Forecaster(**SMALL, horizon=[5]), Forecaster(**SMALL, horizon=[1, 5])
    rows = stream(300)
    np.testing.assert_array_equal(lone.run(rows)[:, 0], both.run(rows)[:, 1])
    assert lone.horizons == (5,) and lone.metrics["mse"].shape == (1, 3)
    np.testing.assert_array_equal(lone.metrics["mse"][0], both.metrics["mse"][1])


def test_bounds_hold_their_share() -> None:
    forecaster = Forecaster(**SMALL, coverage=0.8)
    rows = stream(4000)
    rows[2000:] *= 2.0  # errors double at once
    inside = []
    last = None
    for row in rows:
        if last is not None:
            inside.append((last.lower[0] <= row) & (row <= last.upper[0]))
        last = forecaster.update(row)
        assert np.isfinite(last.lower).all() and np.isfinite(last.upper).all()
        assert (last.lower <= last.values).all() and (last.values <= last.upper).all()
    share = np.array(inside)
    assert np.abs(share[200:].mean(axis=0) - 0.8).max() < 0.01
    for part in np.array_split(share[200:], 10):
        assert np.abs(part.mean(axis=0) - 0.8).max() < 0.06
    np.testing.assert_allclose(forecaster.metrics["coverage"][0], 0.8, atol=0.02)


def test_a_wild_row_is_an_anomaly() -> None:
    forecaster, rows = Forecaster(**SMALL), stream(600)
    usual = [forecaster.update(row).anomaly for row in rows[:-1]]
    assert forecaster.update(rows[-1] + [9.0, 0.0, 0.0]).anomaly > max(usual[100:])


# ---------------------------------------------------------------- honesty
def test_no_forecast_knows_what_follows(settings: dict[str, Any]) -> None:
    rows = with_gaps(200)
    changed = rows.copy()
    changed[120:] = 1e3
    ours, theirs = (Forecaster(**settings).run(table) for table in (rows, changed))
    assert ours[:120].tobytes() == theirs[:120].tobytes()
    assert np.isfinite(ours).all()


def test_run_is_update_row_by_row(settings: dict[str, Any]) -> None:
    rows, times = with_gaps(200), HOUR * np.arange(200)
    one, other = Forecaster(**settings), Forecaster(**settings)
    together = one.run(rows, times)
    each = np.array([other.update(row, time).values for row, time in zip(rows, times)])
    assert together.tobytes() == each.tobytes()
    assert one.snapshot() == other.snapshot()


def test_without_learning_what_was_learned_stays(settings: dict[str, Any]) -> None:
    forecaster, rows = Forecaster(**settings), with_gaps(260)
    forecaster.run(rows[:200])
    names = [
        name
        for name in forecaster._saved
        if name.startswith(("parameters", "readout", "columns.stat", "bounds", "moment"))
    ]
    before = {name: forecaster._arena.view(forecaster._saved[name]).copy() for name in names}
    frozen = forecaster.run(rows[200:], learn=False)
    for name in names:
        after = forecaster._arena.view(forecaster._saved[name])
        if name == "columns.statistics":  # the last values are lags, not statistics
            rest = [at for at in range(k.COLUMN_FIELDS) if at not in (k.LAST, k.BEFORE, k.SUSPECT)]
            np.testing.assert_array_equal(after[rest], before[name][rest])
        else:
            np.testing.assert_array_equal(after, before[name], err_msg=name)
    assert len(np.unique(frozen[:, 0, 0])) > 10  # and yet it follows the stream


# ---------------------------------------------------------------- copies
def test_every_copy_goes_on_bit_for_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    rows = with_gaps(240)
    whole = Forecaster(**settings).run(rows)
    forecaster = Forecaster(**settings)
    forecaster.run(rows[:130])
    forecaster.save(tmp_path / "model")
    copies = [rtlstm.load(tmp_path / "model"), pickle.loads(pickle.dumps(forecaster))]
    snapshot = forecaster.snapshot()
    forecaster.run(stream(50, seed=9))
    forecaster.restore(snapshot)
    for copy in (*copies, forecaster):
        assert copy.run(rows[130:]).tobytes() == whole[130:].tobytes()
        assert copy.metrics.keys() == forecaster.metrics.keys()


def test_the_same_seed_is_the_same_forecaster() -> None:
    ours, again, other = (
        Forecaster(**SMALL, seed=seed).run(stream(150)).tobytes() for seed in (1, 1, 2)
    )
    assert ours == again != other


@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_finds_rows_done_or_not_begun(
    after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = stream(60)
    whole, forecaster = Forecaster(**SMALL), Forecaster(**SMALL)
    whole.run(rows)
    forecaster.run(rows[:30])
    with monkeypatch.context() as patch:
        kernels = forecaster._rows._kernels
        name = "rows" + forecaster._rows._inline
        patch.setattr(kernels, name, interrupted_once(getattr(kernels, name), after))
        with pytest.raises(KeyboardInterrupt):
            forecaster.update(rows[30])
    assert forecaster.rows == 31  # taken in once, whether or not the kernel had been through
    forecaster.run(rows[forecaster.rows :])
    assert forecaster.snapshot() == whole.snapshot()


def interrupted_once(call: Any, after: bool) -> Any:
    """A call that is interrupted the first time, before it has begun or after it has returned."""
    calls = iter([True])

    def wrapped(*arguments: Any) -> Any:
        first = next(calls, False)
        done = None if first and not after else call(*arguments)
        if first:
            raise KeyboardInterrupt
        return done

    return wrapped


# ---------------------------------------------------------------- rows as they come
def test_rows_come_as_they_are() -> None:
    rows = stream(20)
    plain, named, listed, masked = (Forecaster(**SMALL) for _ in range(4))
    for row in rows:
        values = plain.update(row).values.tobytes()
        fields = {"c": row[2], "unknown": 1.0, "a": row[0], "b": row[1]}
        assert named.update(fields).values.tobytes() == values
        assert listed.update(list(row)).values.tobytes() == values
        assert masked.update(np.ma.masked_invalid(row)).values.tobytes() == values
    assert named.health()["unknown_fields"] == 20


def test_what_is_missing_is_missing_however_it_is_said() -> None:
    rows = stream(40)
    answers = []
    for gap in (np.nan, np.inf, -np.inf, None, "absent"):
        forecaster = Forecaster(**SMALL)
        forecaster.run(rows[:30])
        row: Any = {"a": rows[30, 0], "b": gap, "c": rows[30, 2]}
        if gap == "absent":
            del row["b"]
        answers.append(forecaster.update(row).values.tobytes())
        assert forecaster.health()["missing_cells"] == 1
    assert len(set(answers)) == 1


def test_times_come_in_every_form() -> None:
    moments = [dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(hours=t) for t in range(30)]
    forms = [
        moments,
        [moment.timestamp() for moment in moments],
        [moment.replace(tzinfo=None) for moment in moments],
        np.array([moment.replace(tzinfo=None) for moment in moments], "M8[ns]"),
        [moment.astimezone(dt.timezone(dt.timedelta(hours=5))) for moment in moments],
    ]
    answers = {Forecaster(**SMALL).run(stream(30), times).tobytes() for times in forms}
    assert len(answers) == 1


BAD_ROWS: dict[str, Any] = {
    "too short": [1.0, 2.0],
    "two dimensions": np.zeros((3, 1)),
    "a word": ["a", 1.0, 2.0],
    "complex": np.zeros(3, complex),
    "dates": np.zeros(3, "M8[s]"),
    "an object": [object(), 1.0, 2.0],
    "ragged": [[1.0], 2.0, 3.0],
    "nothing": None,
    "a number": 3.0,
    "a word in a mapping": {"a": "1"},
    "too large a number": [10**400, 1.0, 2.0],
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_changes_nothing(row: Any) -> None:
    forecaster = Forecaster(**SMALL)
    forecaster.run(stream(20))
    before = forecaster.snapshot()
    with pytest.raises(rtlstm.SampleError):
        forecaster.update(row)
    with pytest.raises(rtlstm.SampleError):
        forecaster.run([row])
    assert forecaster.snapshot() == before


@pytest.mark.parametrize(
    "time", ["now", 1e22, object(), True], ids=["word", "far", "object", "bool"]
)
def test_a_bad_time_changes_nothing(time: Any) -> None:
    forecaster = Forecaster(**SMALL)
    before = forecaster.snapshot()
    with pytest.raises(rtlstm.SampleError):
        forecaster.update(stream(1)[0], time)
    with pytest.raises(rtlstm.SampleError):
        forecaster.run(stream(2), [0.0])
    assert forecaster.snapshot() == before


def test_times_that_do_not_ascend_are_treated_as_asked() -> None:
    rows, times = stream(30), HOUR * np.arange(30)
    times[10], times[20] = times[9], times[3]
    accept, drop, refuse = (Forecaster(**SMALL, times=how) for how in ("accept", "drop", "raise"))
    accept.run(rows, times)
    assert accept.rows == 30 and accept.health()["times_accepted"] == 2
    answers = drop.run(rows, times)
    assert drop.rows == 28 and drop.health()["times_dropped"] == 2
    assert answers[10].tobytes() == answers[9].tobytes()
    refuse.run(rows[:10], times[:10])
    before = refuse.snapshot()
    with pytest.raises(rtlstm.SampleError, match="after the last"):
        refuse.update(rows[10], times[10])
    with pytest.raises(rtlstm.SampleError, match="nothing was changed"):
        refuse.run(rows[11:], times[11:])  # the tenth of these comes too early
    assert refuse.snapshot() == before


# ---------------------------------------------------------------- streams that are not nice
HARD: dict[str, Array] = {
    "zeros": np.zeros((300, 3)),
    "constant": np.full((300, 3), 7.25),
    "huge": stream(300) * 1e300,
    "tiny": stream(300) * 1e-300,
    "largest": np.where(stream(300) > 5.0, 1.7e308, -1.7e308),
    "all missing": np.full((300, 3), np.nan),
    "one column never seen": stream(300) * [1.0, np.nan, 1.0],
    "steps": np.repeat(np.arange(10.0), 30)[:, None] * [1.0, 1e6, -1.0],
    "constant, then not": np.concatenate([np.ones((150, 3)), stream(150)]),
}


@pytest.mark.parametrize("rows", HARD.values(), ids=HARD)
def test_nothing_that_comes_out_is_not_finite(rows: Array) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forecaster = Forecaster(**SMALL, horizon=[1, 4])
        for row in rows:
            forecast = forecaster.update(row)
            assert all(np.isfinite(part).all() for part in forecast)
        after = forecaster.run(stream(50))
    assert np.isfinite(after).all()
    for name, place in forecaster._saved.items():
        if name.startswith(("parameters", "state", "readout", "trace", "moment")):
            assert np.isfinite(forecaster._arena.view(place)).all(), name


def test_wild_cells_are_kept_out() -> None:
    rows = stream(2000)
    wild = np.random.default_rng(3).random(rows.shape) < 0.002
    wild[:50] = False
    spoilt = np.where(wild, 1e6, rows)
    clean, hit = Forecaster(**SMALL), Forecaster(**SMALL)
    ours, theirs = hit.run(spoilt), clean.run(rows)
    assert hit.health()["faulty_cells"] == wild.sum()
    errors, usual = (((F[200:-1, 0] - rows[201:]) ** 2).mean(axis=0) for F in (ours, theirs))
    assert (errors < 1.1 * usual).all()


@pytest.mark.parametrize("size", [-1e6, 1e6])
@pytest.mark.parametrize("row", [0, 1, 2, 3, 5, 9, 15, 19, 25, 60])
def test_a_spike_is_recovered_from_however_early_it_comes(row: int, size: float) -> None:
    rows = stream(300)
    spoilt = rows.copy()
    spoilt[row, 0] = size
    ours, usual = (
        np.abs(Forecaster(**SMALL).run(table)[:-1, 0] - rows[1:]) for table in (spoilt, rows)
    )
    for start in range(row + 50, 280, 10):
        after = slice(start, start + 10)
        assert (ours[after].mean(axis=0) <= 2.0 * usual[after].mean(axis=0)).all()
    assert np.isfinite(ours).all()


def test_a_lasting_shift_is_believed_and_recovered_from() -> None:
    rows = stream(1500)
    rows[1000:] += 1e4
    forecaster = Forecaster(**SMALL)
    F = forecaster.run(rows)
    errors = np.abs(F[:-1, 0] - rows[1:])
    assert forecaster.health()["faulty_cells"] == 6  # two rows of doubt a column
    assert errors[1010:].max() < 20.0 * errors[500:990].max()
    assert errors[1300:].mean() < 2.0 * errors[500:990].mean()


def test_missing_cells_cost_little() -> None:
    rows = stream(3000)
    gaps = np.random.default_rng(5).random(rows.shape) < 0.2
    seen = np.where(gaps, np.nan, rows)
    skills = []
    for table in (rows, seen):
        F = Forecaster(**SMALL).run(table)
        last = table.copy()
        for t in range(1, len(last)):
            last[t] = np.where(np.isnan(last[t]), last[t - 1], last[t])
        errors, naive = (((A[500:-1, :2] - rows[501:, :2]) ** 2).mean() for A in (F[:, 0], last))
        skills.append(1.0 - errors / naive)
    assert skills[1] > 0.85 * skills[0]


# ---------------------------------------------------------------- calendar
def test_the_clock_gives_the_season() -> None:
    forecaster = Forecaster(**SMALL)
    forecaster.run(stream(40), 7200.0 * np.arange(40))
    assert forecaster.season == 12
    calendar = forecaster._arena.view(forecaster._saved["calendar"])
    phase = 2 * np.pi * (40 * 7200.0 % 86400.0) / 86400.0
    np.testing.assert_allclose(calendar[:2], [math.cos(phase), math.sin(phase)], atol=1e-9)


@pytest.mark.parametrize("season", [7, 24, 96])
def test_a_season_is_found_in_the_stream(season: int) -> None:
    rng = np.random.default_rng(season)
    shape = 3.0 * np.sin(2 * np.pi * np.arange(season) / season) + rng.normal(size=season)
    walk = 0.1 * rng.normal(size=100 * season).cumsum()
    rows = np.tile(shape, 100) + walk
    forecaster = Forecaster(["a"], lags=2, layers=rtlstm.LSTM(2))
    forecaster.run(rows[:, None])
    assert forecaster.season == season


def test_noise_has_no_season() -> None:
    forecaster = Forecaster(["a", "b"], lags=2, layers=rtlstm.LSTM(2))
    forecaster.run(np.random.default_rng(0).normal(size=(3000, 2)))
    assert forecaster.season == 0


# ---------------------------------------------------------------- construction
BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "no columns": {"columns": []},
    "one string": {"columns": "abc"},
    "twice the same": {"columns": ["a", "a"]},
    "unknown target": {"targets": ["d"]},
    "no target": {"targets": []},
    "horizon 0": {"horizon": 0},
    "horizon true": {"horizon": True},
    "horizon of a fraction": {"horizon": 1.5},
    "horizons twice": {"horizon": [1, 1]},
    "horizons without end": {"horizon": 10**9},
    "lags below 0": {"lags": -1},
    "lags without end": {"lags": 10**6},
    "coverage 1": {"coverage": 1.0},
    "coverage nan": {"coverage": math.nan},
    "unknown policy": {"missing": "guess"},
    "unknown policy for times": {"times": "sort"},
    "unknown point": {"point": "mode"},
    "missing values that are none": {"missing_values": ["none"]},
    "missing values without end": {"missing_values": range(100)},
    "a missing value that is infinite": {"missing_values": [math.inf]},
    "no layers": {"layers": []},
    "not a layer": {"layers": [32]},
    "unknown rule": {"rule": "magic"},
    "rule that the cell lacks": {"layers": [rtlstm.GRU(3)], "rule": "truncated"},
    "seed below 0": {"seed": -1},
}


@pytest.mark.parametrize("bad", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_what_cannot_be_built_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(rtlstm.SpecError):
        Forecaster(**{**SMALL, **bad})


def test_a_misspelt_option_is_named() -> None:
    for model in (rtlstm.Forecaster, rtlstm.Detector):
        with pytest.raises(TypeError, match=r"keyword argument 'missng'; did you mean 'missing'\?"):
            model(["a"], missng="hold")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"keyword argument 'horizn'; did you mean 'horizon'\?"):
        rtlstm.Forecaster(["a"], horizn=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"keyword argument 'xyz'$"):
        rtlstm.Forecaster(["a"], xyz=1)  # type: ignore[call-arg]


def test_what_is_too_large_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(rtlstm.LimitError, match="bytes"):
        Forecaster([str(i) for i in range(4000)], layers=rtlstm.LSTM(800))


def test_it_says_what_it_is_and_not_what_it_saw() -> None:
    forecaster = Forecaster(**SMALL, horizon=12)
    forecaster.run(stream(100) * 123.0)
    for text in (repr(forecaster), forecaster._repr_html_()):
        assert "100" in text and str(forecaster.memory) in text and "1 to 12" in text
        assert "123" not in text.replace(str(forecaster.memory), "")


def test_memory_is_known_before_the_first_row_and_stays() -> None:
    forecaster = Forecaster(**SMALL)
    before = forecaster.memory
    forecaster.run(stream(500))
    assert forecaster.memory == before == len(forecaster.snapshot())
