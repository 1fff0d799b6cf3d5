"""pandas, Polars and Arrow in: by name, never by position; times found where they stand."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.errors import SampleError

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

ROWS = 60
COLUMNS = ("p", "q", "open")
START = 1_700_000_000
TIMES = START + 60 * np.arange(ROWS)
P = np.sin(np.arange(ROWS) / 5.0)
Q = np.arange(ROWS) % 7 - 3.0
OPEN = np.arange(ROWS) % 3 == 0


def forecaster() -> rtlstm.Forecaster:
    return rtlstm.Forecaster(COLUMNS, lags=3, layers=rtlstm.LSTM(4))


def plain() -> np.ndarray:
    table = np.column_stack([P, Q, OPEN]).astype(float)
    table[5, 1] = np.nan
    return table


def want() -> np.ndarray:
    return forecaster().run(plain(), TIMES.astype(float))


def datetimes(zone: str | None = None) -> Any:
    found = pd.to_datetime(TIMES, unit="s", utc=True)
    return found.tz_convert(zone) if zone else found.tz_localize(None)


Q_NONE: list[Any] = [None if i == 5 else q for i, q in enumerate(Q)]


def pandas_frame(**more: Any) -> Any:
    """Columns in another order, one too many, an extension type and a category."""
    words = pd.Categorical(["on" if yes else "off" for yes in OPEN])
    columns = {
        "note": ["x"] * ROWS,
        "open": words,
        "q": pd.array([None if q is None else int(q) for q in Q_NONE], dtype="Int64"),
        "p": P,
    }
    return pd.DataFrame({**columns, **more})


FRAMES = {
    "pandas, index": lambda: pandas_frame().set_index(datetimes()),
    "pandas, index in Tokyo": lambda: pandas_frame().set_index(datetimes("Asia/Tokyo")),
    "pandas, column": lambda: pandas_frame(at=datetimes()),
    "pandas, column in Berlin": lambda: pandas_frame(at=datetimes("Europe/Berlin")),
    "pandas, seconds": lambda: pandas_frame(time=TIMES),
    "pandas, milliseconds": lambda: pandas_frame(ts=TIMES * 1000),
    "pandas, nanoseconds": lambda: pandas_frame(timestamp=TIMES * 10**9),
    "pandas, Arrow inside": lambda: pandas_frame(at=datetimes()).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "Polars": lambda: pl.DataFrame(
        {"q": Q_NONE, "open": OPEN, "at": [dt.datetime.fromtimestamp(t, dt.UTC) for t in TIMES],
         "p": P, "note": ["x"] * ROWS}
    ),
    "Polars, words": lambda: pl.DataFrame(
        {"q": ["unavailable" if q is None else str(q) for q in Q_NONE], "p": P,
         "open": ["True" if yes else "False" for yes in OPEN], "time": TIMES}
    ),
    "Arrow": lambda: pa.table(
        {"q": pa.array(Q_NONE), "p": P, "open": pa.array(OPEN.tolist()),
         "at": pa.array(TIMES * 1000, pa.timestamp("ms"))}
    ),
    "Arrow, a batch": lambda: pa.table(
        {"q": pa.array(Q_NONE), "p": P, "open": pa.array(OPEN.tolist()).cast(pa.int8()),
         "time": TIMES}
    ).to_batches()[0],
}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_table_is_read_by_name_with_its_time(frame: Any) -> None:
    np.testing.assert_array_equal(forecaster().run(frame()), want())


@pytest.mark.parametrize("kind", ["pandas, index", "Polars", "Arrow"])
def test_every_model_reads_tables(kind: str) -> None:
    frame, times = FRAMES[kind](), TIMES.astype(float)
    labels = [["low", "high"][int(q > 0)] for q in Q]
    makers: list[tuple[Any, tuple[Any, ...]]] = [
        (lambda: rtlstm.Detector(COLUMNS, lags=3, layers=rtlstm.LSTM(4)), ()),
        (lambda: rtlstm.Classifier(COLUMNS, ["low", "high"], rtlstm.LSTM(4)), (labels,)),
        (lambda: rtlstm.Regressor(COLUMNS, ["y"], rtlstm.LSTM(4)), (P.tolist(),)),
    ]
    for make, more in makers:
        ours = make().run(frame, *more)
        theirs = make().run(plain(), *more, times=times)
        a, b = (getattr(found, "scores", found) for found in (ours, theirs))
        np.testing.assert_array_equal(a, b)


def test_a_series_is_read_by_name() -> None:
    ours, theirs = forecaster(), forecaster()
    for (at, row), values, time in zip(
        FRAMES["pandas, index"]().iterrows(), plain(), TIMES.astype(float), strict=True
    ):
        assert at == row.name
        row["open"] = float(row["open"] == "on")
        a, b = ours.update(row), theirs.update(values, time)
        np.testing.assert_array_equal(a.values, b.values)
    assert ours.snapshot() == theirs.snapshot() or ours.health()["unknown_fields"] == ROWS


def test_a_series_without_names_is_read_by_place_and_a_foreign_one_refused() -> None:
    f = forecaster()
    f.update(pd.Series([1.0, 2.0, 0.0]))
    before = f.snapshot()
    with pytest.raises(SampleError, match="none of the columns"):
        f.update(pd.Series({"x": 1.0, "y": 2.0, "z": 3.0}))
    assert f.snapshot() == before


def test_missing_values_of_pandas() -> None:
    ours, theirs = forecaster(), forecaster()
    a = ours.update({"p": pd.NA, "q": np.float32(1.5), "open": np.True_}, pd.NaT)
    b = theirs.update([np.nan, 1.5, 1.0])
    np.testing.assert_array_equal(a.values, b.values)
    assert ours.snapshot() == theirs.snapshot()


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_epochs_in_any_unit_are_the_same_moment(scale: int) -> None:
    ours, theirs = forecaster(), forecaster()
    for values, time in zip(plain(), TIMES, strict=True):
        ours.update(values, np.int64(time * scale))
        theirs.update(values, float(time))
    assert ours.snapshot() == theirs.snapshot()
    np.testing.assert_array_equal(forecaster().run(plain(), TIMES * scale), want())
    series = pd.Series(TIMES * scale)
    np.testing.assert_array_equal(forecaster().run(plain(), series), want())


def test_horizons_of_numpy() -> None:
    assert rtlstm.Forecaster(["a"], horizon=np.int64(3)).horizons == (1, 2, 3)
    assert rtlstm.Forecaster(["a"], horizon=np.array([2, 5])).horizons == (2, 5)


@pytest.mark.parametrize("kind", ["pandas, index", "Polars", "Arrow"])
def test_forecasts_come_back_as_a_table(kind: str) -> None:
    frame = FRAMES[kind]()
    told = forecaster().run(frame, as_frame=True)
    assert isinstance(told, type(frame))
    names = getattr(told, "column_names", None) or list(told.columns)
    assert names == ["p+1", "q+1", "open+1"]
    np.testing.assert_array_equal(np.asarray(told["p+1"]), want()[:, 0, 0])
    if kind.startswith("pandas"):
        assert (told.index == frame.index).all()
    with pytest.raises(SampleError, match="as_frame"):
        forecaster().run(plain(), as_frame=True)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame({"pp": [1.0], "r": [2.0]}),
            "none of the columns p, q, open; did you mean 'pp'",
        ),
        (pd.DataFrame({"p": ["red"], "q": [1.0]}), "column 'p' holds no numbers"),
        (pd.DataFrame({"p": [pd.Timestamp(0)], "q": [1.0]}), "column 'p' holds times"),
        (pd.DataFrame({"p": [1.0], "time": ["soon"]}), "'time' should be the time"),
    ],
)
def test_what_a_table_may_not_hold(frame: Any, message: str) -> None:
    f = forecaster()
    before = f.snapshot()
    with pytest.raises(SampleError, match=message):
        f.run(frame)
    assert f.snapshot() == before


def test_none_of_them_is_imported() -> None:
    code = (
        "import sys, rtlstm\n"
        "f = rtlstm.Forecaster(['a'], lags=2, layers=rtlstm.LSTM(2))\n"
        "f.run([[1.0], [2.0]])\n"
        "assert not {'pandas', 'polars', 'pyarrow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
