"""The detector: what it finds, how often it is wrong, its spells, its border and its files."""

from __future__ import annotations

import math
import pickle
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from paths import TOOLS

import rtlstm
from rtlstm.cli import detect_measures as measure
from rtlstm.errors import MismatchedFileError, SampleError, SpecError
from rtlstm.files import store
from rtlstm.kernels.tasks import anomaly_plan as a

sys.path.insert(0, str(TOOLS / "lib"))
import anomaly_streams as streams

SMALL = {"lags": 2, "layers": rtlstm.LSTM(2)}


def stream(rows: int, seed: int = 0) -> np.ndarray:
    """A day of 50 rows with noise."""
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(rows) * 2.0 * np.pi / 50.0) + 0.1 * rng.normal(size=rows)


def detector(columns: int = 1, **options: object) -> rtlstm.Detector:
    names = [chr(ord("a") + j) for j in range(columns)]
    return rtlstm.Detector(names, **{**SMALL, **options})  # type: ignore[arg-type]


# ---------------------------------------------------------------- what it finds
@pytest.mark.parametrize("kind", [kind for kind in streams.KINDS if kind != "amplitude"])
def test_every_kind_of_anomaly_scores_above_chance(kind: str) -> None:
    columns = 3 if kind == "decoupled" else 1
    rows, label = streams.inject(streams.clean("seasonal", 4000, columns), kind)
    found = detector(columns, lags=20).run(rows)
    assert measure.roc_auc(label, found.scores) > 0.7


def test_spells_are_found_and_little_else() -> None:
    x = stream(5000, 3)
    x[2010:2060] = 0.0
    x[3200] += 3.0
    x[4200:4260] += 1.5
    found = detector(lags=60).run(x[:, None])
    starts = [spell.start for spell in found.spells]
    for start, end in ((2010, 2070), (3200, 3202), (4200, 4210)):
        assert found.inside[start:end].any(), (start, starts)
    assert len(starts) <= 7 and np.array_equal(np.flatnonzero(found.flags), starts)


@pytest.mark.parametrize("base", ["white", "ar", "heavy", "walk", "seasonal"])
def test_flags_without_anomalies_come_at_the_rate(base: str) -> None:
    flags = [
        detector(seed=0).run(streams.clean(base, 4000, seed=50 + n)).flags[1000:].sum()
        for n in range(3)
    ]
    assert sum(flags) <= 2.2 * 9 + 3, flags


def test_the_score_is_the_share_of_rows_that_are_less_odd() -> None:
    scores = detector().run(streams.clean("white", 6000, seed=9)).scores[1000:]
    assert np.all((scores >= 0.0) & (scores <= 1.0))
    for share in (0.5, 0.9, 0.97):
        assert np.mean(scores > share) == pytest.approx(1.0 - share, abs=0.6 * (1.0 - share))
    assert len(np.unique(scores)) > 4500  # no two rows tie, the oddest least of all


@pytest.mark.parametrize("base", ["load", "walk", "seasonal"])
def test_an_event_raises_one_alarm_until_it_is_much_more_alarming(base: str) -> None:
    rows = streams.clean(base, 3000)
    rows[2000:] = rows[1990]  # stuck for good: a little odder at every row
    alarms = rtlstm.Detector(["c"]).run(rows).alarms
    heard = np.flatnonzero(alarms > 0.0)
    strength = -np.log1p(-alarms[heard])
    near = np.diff(heard) <= 100
    assert heard.size and np.all(strength[1:][near] >= 1.199 * strength[:-1][near])


def test_why_names_the_column_and_the_part() -> None:
    rows = np.stack([stream(2000, seed) for seed in range(3)], axis=1)
    d = detector(3)
    d.run(rows[:1500])
    told = None
    for row in rows[1500:1560]:
        said = d.update([row[0], 0.7, row[2]])  # b is stuck
        told = said if said.why else told
    assert told is not None and told.why[0].column == "b"
    assert {reason.part for reason in told.why[:3]} <= {*a.PARTS, "range"}
    assert told.since is not None and 1500 <= told.since < 1560
    assert sum(reason.share for reason in told.why) <= 1.0 + 1e-9


def test_errors_are_judged_given_those_of_the_other_columns() -> None:
    rng = np.random.default_rng(6)
    shared = rng.normal(size=(1500, 1))
    d = detector(3)
    d.run(shared + 0.3 * rng.normal(size=(1500, 3)))
    residual, given = d._watched[:, a.T_RESIDUAL], d._watched[:, a.T_GIVEN]
    P = d._arena.view(d._saved["anomaly.inverse"])
    wanted = (P @ np.clip(residual, -4.0, 4.0)) / np.sqrt(np.diag(P))
    assert np.array_equal(P, P.T) and np.linalg.eigvalsh(P).min() > 0.0
    # P has learned the row since, by a thousandth.
    np.testing.assert_allclose(given, wanted, rtol=0.05, atol=0.02)
    assert np.all(np.linalg.inv(P)[~np.eye(3, dtype=bool)] > 0.5)  # they go together


def test_one_column_among_many_is_heard() -> None:
    rows = np.random.default_rng(4).normal(size=(2000, 12))
    rows[1600:1640, 5] += 6.0
    found = detector(12).run(rows)
    assert any(1600 <= spell.start < 1640 for spell in found.spells)


# ---------------------------------------------------------------- spells
def test_a_level_that_lasts_becomes_the_normal_one() -> None:
    x = stream(6000, 4)
    x[1500:] += 40.0
    x[4500:4540] += 4.0
    d = detector(spells=rtlstm.Spells(settle=300))
    found = d.run(x[:, None])
    shift = next(spell for spell in found.spells if 1500 <= spell.start < 1510)
    assert shift.end <= 1500 + 301
    assert any(4500 <= spell.start < 4540 for spell in found.spells)
    assert np.median(found.scores[3500:4500]) < 0.8


def test_a_spell_ends_after_quiet_rows_and_holds_one_flag() -> None:
    x = stream(3000, 5)
    x[2000:2030] += 5.0
    d = detector(spells=rtlstm.Spells(quiet=40))
    found = d.run(x[:2031, None])
    assert d.inside and found.flags[2000:2031].sum() == 1
    last = found.spells[-1]
    assert 1999 < last.start < 2005 and last.start <= last.peak < last.end <= 2031
    d.run(x[2031:, None])
    assert not d.inside or d.spell != last


def test_forget_begins_anew() -> None:
    d = detector()
    x = stream(1000, 9)
    d.run(x[:600, None])
    d.forget()
    assert not d.run(x[600:690, None] + 100.0).scores.any()
    assert d.run(x[690:, None] + 100.0).scores.any()


def test_a_higher_rate_flags_more_and_a_threshold_decides_alone() -> None:
    rows = streams.clean("ar", 5000, seed=3)
    few, many = (detector(rate=rate).run(rows).flags.sum() for rate in (1e-4, 2e-2))
    assert few <= 3 < 10 <= many
    d = detector(threshold=0.9)
    found = d.run(rows)
    assert np.all(found.scores[found.flags] >= 0.9) and d.threshold == 0.9


# ---------------------------------------------------------------- the border
def test_missing_and_dropped_rows_are_told_apart() -> None:
    d = detector(times="drop")
    seconds = 300.0 * np.arange(400)
    d.run(stream(400)[:, None], seconds)
    assert d.update([50.0], seconds[-1]) == (0.0, False, None, ())
    assert d.update([50.0], seconds[-1] + 600.0).flag


def test_run_is_update_byte_for_byte_and_learning_can_be_off() -> None:
    x = stream(900, 7)[:, None]
    x[700:720] += 4.0
    one, many = detector(), detector()
    told = [one.update(row) for row in x]
    together = many.run(x)
    assert np.array([said.score for said in told]).tobytes() == together.scores.tobytes()
    assert [said.flag for said in told] == together.flags.tolist()
    assert one.snapshot() == many.snapshot()
    before = one._watched[:, a.MEASURES_AT : a.SURPRISE_AT].copy()
    one.run(np.full((50, 1), 9.0), learn=False)
    assert np.array_equal(one._watched[:, a.MEASURES_AT : a.SURPRISE_AT], before)


def test_the_forecasters_anomaly_is_the_same_score() -> None:
    x = stream(400, 2)[:, None]
    d, f = detector(), rtlstm.Forecaster(["a"], **SMALL)  # type: ignore[arg-type]
    assert [f.update(row).anomaly for row in x] == d.run(x).scores.tolist()


def test_it_goes_on_bit_for_bit_from_a_file_a_snapshot_and_a_pickle(tmp_path: Path) -> None:
    x = stream(700, 8)[:, None]
    x[600:] += 2.0
    d = detector(rate=2e-3, spells=rtlstm.Spells(quiet=30))
    d.run(x[:400])
    d.save(tmp_path / "d.rtlstm")
    others = [rtlstm.load(tmp_path / "d.rtlstm"), pickle.loads(pickle.dumps(d)), detector()]
    others[2].restore(d.snapshot())
    scores = d.run(x[400:]).scores
    for other in others:
        assert type(other) is rtlstm.Detector
        assert other.run(x[400:]).scores.tobytes() == scores.tobytes()
    assert [other.rate for other in others] == [2e-3, 2e-3, 1e-3]


def test_a_file_of_an_older_version_is_refused_by_name(tmp_path: Path) -> None:
    spec = {"forecaster": detector().spec.forecaster.to_dict(), "threshold": 0.5}
    store.write(tmp_path / "old.rtlstm", "detector", spec, {"x": np.zeros(1)})
    with pytest.raises(MismatchedFileError, match="older version"):
        rtlstm.load(tmp_path / "old.rtlstm")


def test_only_targets_are_watched_and_memory_stays() -> None:
    d = rtlstm.Detector(["a", "b"], targets=["b"], **SMALL)  # type: ignore[arg-type]
    rows = np.stack([stream(600), stream(600, 2)], axis=1)
    before = d.memory
    d.run(rows)
    assert not d.update({"a": 30.0, "b": stream(601, 2)[-1]}).flag
    assert d.update({"a": 0.0, "b": 30.0}).flag
    assert d.memory == before and len(d.snapshot()) == before
    assert (d.columns, d.targets) == (("a", "b"), ("b",))
    assert d.health()["rows"] == 602 and "watching b" in repr(d)


def test_nothing_peeks() -> None:
    x = stream(400, 11)[:, None]
    changed = x.copy()
    changed[300:] *= 7.0
    first, second = detector().run(x), detector().run(changed)
    assert first.scores[:300].tobytes() == second.scores[:300].tobytes()


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, math.nan, "high", True])
def test_a_threshold_that_is_none_is_refused(threshold: object) -> None:
    with pytest.raises(SpecError, match="threshold"):
        detector(threshold=threshold)


@pytest.mark.parametrize("rate", [0.0, 0.2, math.inf, "low", None])
def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    with pytest.raises(SpecError, match="rate"):
        detector(rate=rate)


@pytest.mark.parametrize(
    "spells", [{"quiet": 0}, {"settle": 1.5}, {"pace": -0.1}, {"forecaster_pace": 2}]
)
def test_spells_that_are_none_are_refused(spells: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        rtlstm.Spells(**spells)  # type: ignore[arg-type]


def test_a_refused_row_changes_nothing() -> None:
    d = detector()
    before = d.snapshot()
    with pytest.raises(SampleError):
        d.update([1.0, 2.0])
    with pytest.raises(SampleError):
        d.run([[1.0], ["x"]])
    assert d.snapshot() == before


@pytest.mark.parametrize("value", [1e300, -1e300, 0.0, math.inf, math.nan])
def test_wild_columns_leave_the_score_finite(value: float) -> None:
    d = detector(2)
    rows = np.stack([stream(400), np.zeros(400)], axis=1)
    rows[150::7, 0] = value
    rows[200:260, 1] = value
    scores = d.run(rows).scores
    assert np.isfinite(scores).all() and scores.min() >= 0.0 and scores.max() <= 1.0


# ---------------------------------------------------------------- what the forecaster learns
def test_the_forecaster_learns_little_from_a_spell_and_what_stays_all_the_same() -> None:
    x = stream(3000, 4)
    x[2000:] += 20.0
    learned = {}
    for pace in (0.0, 0.1, 1.0):
        d = detector(spells=rtlstm.Spells(forecaster_pace=pace, settle=400))
        d.run(x[:2000, None])
        before = d.health()["rows_learned"]
        d.run(x[2000:2200, None])
        assert d.inside and d.spell is not None and d.spell.start == 2000
        learned[pace] = d.health()["rows_learned"] - before
        d.run(x[2200:2500, None])
        before = d.health()["rows_learned"]
        inside = d.run(x[2500:, None]).inside.sum()
        assert d.health()["rows_learned"] - before >= 500 - inside  # the new level is normal
        assert abs(d.forecaster.residual[0]) < 5.0
    assert learned == {0.0: 0, 0.1: 20, 1.0: 200}


def test_a_forecaster_learns_from_all_rows() -> None:
    x = stream(900, 3)
    x[700:750] += 20.0
    f = rtlstm.Forecaster(["a"], **SMALL)  # type: ignore[arg-type]
    f.run(x[:, None])
    assert f.health()["rows_learned"] == 900


def test_nothing_is_allocated_for_a_row() -> None:
    x = stream(900, 11)[:, None]
    x[400:420] += 5.0
    d = detector()
    d.run(x)
    row, held = x[0], d.update(x[0])
    tracemalloc.start()
    for _ in range(5):
        held = d.update(row, learn=True)
    before, _ = tracemalloc.get_traced_memory()
    for row in x:
        held = d.update(row)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held.score >= 0.0
    assert after <= before + 500 and peak <= before + 10_000  # what is returned, and no more
