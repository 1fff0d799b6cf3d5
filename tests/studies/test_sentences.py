"""What a comparison and a search say of themselves: the sentences, the tables, the notes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SpecError
from rtlstm.studies.compare import report
from rtlstm.studies.compare.comparison import Comparison, Result, compare
from rtlstm.studies.compare.protocol import follow
from rtlstm.studies.compare.recording import Recording, from_frame
from rtlstm.studies.compare.scoring import Scores
from rtlstm.studies.table import Table, shown
from rtlstm.studies.tune import space
from rtlstm.studies.tune.search import Tuned


def result(name: str, mse: float, interval: tuple[float, float, float] | None = None) -> Result:
    scores = Scores(mse, mse, mse, 1.0 - mse, None, None, np.zeros(3))
    return Result(name, "a method", scores, interval, 1.0, 2.0, 3_000_000_000_000)


def comparison(*results: Result) -> Comparison:
    return Comparison(("a",), ("a",), 1, 0, 100, 50, list(results))


def test_the_sentence_says_who_is_best_and_whether_chance_could_make_it() -> None:
    ours = result("rtlstm", 0.5)
    assert report.sentence(comparison()) == "No method was scored."
    assert "least MSE, 0.5" in report.sentence(comparison(ours))
    far = result("theta", 1.0, (0.5, 0.4, 0.6))
    assert report.sentence(comparison(ours, far)).startswith("rtlstm is best: theta has")
    near = result("arima", 0.4, (-0.1, -0.2, -0.01))
    assert report.sentence(comparison(ours, near)).startswith("arima is best: 20.0% less MSE")
    assert report.to_json(comparison(result("rtlstm", math.inf)))["results"][0]["learn_us"] == 1.0
    broken = Result("broken", "a method", failure="no library")
    lines = report.lines(comparison(ours, broken), 60)
    assert any("broken" in line and "no library" in line for line in lines)
    assert max(map(len, lines)) <= 60 or any(len(word) > 50 for word in " ".join(lines).split())
    assert any("GB" in line for line in lines)


class Slow:
    """Needs more and more time, unless it is allowed to do less."""

    stride = 1
    stinted = "one row in {} seen"

    def __init__(self, clock: list[float]) -> None:
        self._clock = clock

    def stream(self, rows: Any, times: Any) -> Any:
        self._clock[0] += 10.0 / self.stride
        return np.zeros((len(rows), 1))

    def __reduce__(self) -> Any:
        raise TypeError("cannot be pickled")


def test_a_method_that_is_late_does_less_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("rtlstm.studies.compare.protocol.time.perf_counter", lambda: clock[0])
    recording = Recording(("a",), np.zeros((4000, 1)), np.full(4000, np.nan))
    run = follow(Slow(clock), recording, 1, 60.0)
    assert (
        run.notes and run.notes[0].startswith("one row in ") and "for want of time" in run.notes[0]
    )
    assert run.memory is None


def test_a_season_is_found_in_the_past_where_none_is_given() -> None:
    wave = np.sin(np.arange(900) * 2 * np.pi / 24)[:, None]
    wave += 0.05 * np.random.default_rng(0).normal(size=wave.shape)
    recording = Recording(("a",), wave, 3600.0 * np.arange(900.0))
    found = compare(recording, methods=["last-value", "seasonal-naive"], start=600, budget=60.0)
    assert found.season == 24


def test_recordings_have_as_many_columns_and_times_as_rows() -> None:
    with pytest.raises(SpecError, match="rows must have shape"):
        Recording(("a", "b"), np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(SpecError, match="times must have shape"):
        Recording(("a",), np.zeros((3, 1)), np.zeros(2))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert from_frame(frame, columns=["b"]).rows.tolist() == [[3.0], [4.0]]


def test_a_table_has_a_cell_for_each_column() -> None:
    table = Table("t", "T", ("a", "b"))
    with pytest.raises(ValueError, match="t has 2 columns, got 1 cells"):
        table.add("x")
    assert [shown(value) for value in (None, math.nan, 0.0, 12_345, 3, 1e-5, 2.345)] == [
        "-", "nan", "0", "12,345", "3", "1.0e-05", "2.35",
    ]  # fmt: skip


def test_a_search_says_what_it_gained() -> None:
    other = {**space.DEFAULT, "lags": 7}
    kept = {"mse": 0.9, "default_mse": 1.0, "searched": 300, "trials": 4, "importances": None}

    def tuned(**more: Any) -> Tuned:
        names = set(Tuned.__dataclass_fields__)
        made: dict[str, Any] = {
            "settings": other, "best": other, "difference": (-0.1, -0.2, -0.05), "gain": 0.1,
            "targets": ("a",), "horizon": 1, **kept, **more,
        }  # fmt: skip
        return Tuned(**{name: value for name, value in made.items() if name in names})

    assert tuned().better and tuned().sentence().startswith("The best trial takes the place")
    assert "stands out from chance" in tuned().sentence()
    same = tuned(settings=space.DEFAULT, best=space.DEFAULT)
    assert not same.better and "nothing is gained" in same.sentence()
    unsure = tuned(settings=space.DEFAULT, difference=(-0.1, -0.2, 0.1))
    assert "The defaults are kept" in unsure.sentence()
    assert "chance could make" in unsure.sentence()
