"""The anomaly score against a plain twin; the detector's border and files; NAB's protocol."""

from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from places import TOOLS

import rtlstm
from rtlstm.errors import SampleError, SpecError
from rtlstm.kernels.tasks import anomaly

sys.path.insert(0, str(TOOLS / "lib"))
import nab_scoring as nab

SMALL = {"lags": 2, "layers": rtlstm.LSTM(2)}


def stream(rows: int, seed: int = 0) -> np.ndarray:
    """A day of 50 rows with noise."""
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(rows) * 2.0 * np.pi / 50.0) + 0.1 * rng.normal(size=rows)


def detector(**options: object) -> rtlstm.Detector:
    return rtlstm.Detector(["a"], **{**SMALL, **options})  # type: ignore[arg-type]


class Signal:
    """One signal of the module's docstring in plain Python."""

    def __init__(self, rate: float) -> None:
        self.rate, self.seen = rate, 0
        self.gone: list[float] = []

    def excess(self, x: float, flat: float) -> float:
        seen, self.seen = self.seen, self.seen + 1
        if seen == 0:
            self.mean = self.low = self.high = x
            return 0.0
        warm, low, high = seen >= anomaly.WARM, self.low, self.high
        width = max(high - low, flat)
        if warm and self.rate < 1.0:
            x = float(np.clip(x, low - anomaly.FAR * width, high + anomaly.FAR * width))
        self.mean += max(self.rate, 1.0 / (seen + 1.0)) * (x - self.mean)
        y, out = self.mean, max(self.mean - high, low - self.mean)
        left = warm and out > flat
        if not self.gone and left:
            self.old, self.gone = (low, high), [y]
        elif self.gone and self.old[0] <= y <= self.old[1]:
            self.gone = []
        elif self.gone:
            self.gone.append(y)
        middle = 0.5 * (low + high)
        low, high = (v + anomaly.FORGET * (middle - v) for v in (low, high))
        reach = anomaly.GROW * width if warm and self.high - self.low > flat else math.inf
        self.low, self.high = min(low, max(y, low - reach)), max(high, min(y, high + reach))
        if len(self.gone) >= anomaly.SHIFT:
            self.low, self.high, self.gone = min(self.gone), max(self.gone), []
        return min(out / width, anomaly.MOST) if left else 0.0


def twin(values: np.ndarray, errors: np.ndarray) -> list[float]:
    """The scores of one target, by the module's docstring."""
    signals = [Signal(rate) for rate in anomaly.VALUE_RATES + anomaly.ERROR_RATES]
    scores, held, age = [], 0.0, 0
    for seen, (value, error) in enumerate(zip(values, errors, strict=True)):
        flat = anomaly.FLAT * abs(value)
        inputs = [value] * len(anomaly.VALUE_RATES) + [error] * len(anomaly.ERROR_RATES)
        shares = [1.0] * len(inputs)
        shares[len(anomaly.VALUE_RATES)] = anomaly.ERROR_SHARE
        b = max(w * s.excess(x, flat) for w, s, x in zip(shares, signals, inputs, strict=True))
        b *= math.sqrt(min(1.0, seen / anomaly.EARLY))
        age += 1
        held = 0.0 if age > anomaly.HOLD else held
        news = b > held
        if news:
            held, age = b, 0
        scores.append(b / (b + anomaly.HALF) if news else 0.0)
    return scores


def kernel_scores(values: np.ndarray, errors: np.ndarray) -> list[float]:
    d = np.zeros(anomaly.FIELDS + anomaly.NEWS_LEN)
    pairs = zip(values, errors, strict=True)
    return [anomaly.announce(d, anomaly.FIELDS, anomaly.watch(d, 0, x, e, 1)) for x, e in pairs]


@pytest.mark.parametrize("kind", ["calm", "spikes", "shift", "constant", "far from 0"])
def test_the_kernel_is_its_twin(kind: str) -> None:
    rng = np.random.default_rng(1)
    x = stream(2600)
    if kind == "spikes":
        x[rng.integers(150, 2600, 12)] *= np.logspace(0.5, 6, 12)
    if kind == "shift":
        x[900:] += 25.0
    if kind == "constant":
        x = np.where(np.arange(2600) < 700, 3.0, 3.0 + 1e-3 * rng.normal(size=2600))
    if kind == "far from 0":
        x = 1e6 + 1e-2 * x
    errors = 0.1 * rng.normal(size=2600)
    np.testing.assert_allclose(kernel_scores(x, errors), twin(x, errors), atol=1e-6)


def test_a_spike_a_shift_and_a_broken_season_are_flagged_and_little_else() -> None:
    x = stream(4000, 3)
    x[1510:1560] = 0.0  # well inside the range of the values: only the forecast can tell
    x[2200] += 3.0
    x[3000:] += 6.0
    found = np.flatnonzero(detector(lags=60).run(x[:, None]).flags)
    for start, end in ((1510, 1570), (2200, 2201), (3000, 3002)):
        assert np.any((found >= start) & (found < end)), (start, found)
    inside = [(found >= s) & (found < s + 400) for s in (1510, 2200, 3000)]
    assert np.count_nonzero(~np.any(inside, axis=0) & (found > 1000)) <= 2, found


def test_a_level_that_lasts_becomes_the_normal_one() -> None:
    x = stream(4000, 4)
    x[1500:] += 40.0
    x[3500] += 2.0
    d = detector()
    d.run(x[:1500, None])
    assert d.update(x[1500:1501]).flag
    assert d.run(x[1501:3500, None]).flags[300:].sum() <= 2
    assert d.update(x[3500:3501]).flag  # 2 is little beside a shift of 40


def test_news_is_said_once() -> None:
    values = stream(1300, 5)
    values[1200], values[1220], values[1240] = 5.0, 5.0, 90.0
    scores = kernel_scores(values, np.zeros(1300))
    assert scores[1200] > 0.9 and scores[1220] == 0.0 and scores[1240] > scores[1200]


def test_a_wild_cell_is_flagged_and_leaves_no_trace() -> None:
    x = stream(1500, 6)
    wild, calm = detector(), detector()
    for value in x[:1200]:
        wild.update([value])
        calm.update([value])
    assert wild.update([1e9]).score > 0.99
    calm.update([math.nan])
    rest = wild.run(x[1201:, None]), calm.run(x[1201:, None])
    assert np.count_nonzero(rest[0].flags != rest[1].flags) == 0
    assert wild.excess.shape == (1,)


def test_missing_and_dropped_rows_score_nothing() -> None:
    d = detector(times="drop")
    seconds = 300.0 * np.arange(400)
    d.run(stream(400)[:, None], seconds)
    assert d.update([50.0], seconds[-1]) == (0.0, False)
    assert d.update([math.nan], seconds[-1] + 300.0) == (0.0, False)
    assert d.update([50.0], seconds[-1] + 600.0).flag
    assert d.update({"a": None}, seconds[-1] + 900.0).score == 0.0


def test_run_is_update_byte_for_byte_and_learning_can_be_off() -> None:
    x = stream(500, 7)[:, None]
    x[300], x[400] = 4.0, 5.0
    one, many = detector(), detector()
    scores = np.array([one.update(row).score for row in x])
    together = many.run(x)
    assert scores.tobytes() == together.scores.tobytes()
    assert np.array_equal(together.flags, scores >= 0.5)
    assert one.snapshot() == many.snapshot()
    ranges = one.snapshot()
    again = [one.update([9.0], learn=False).score for _ in range(anomaly.HOLD + 2)]
    assert again[0] > 0.9 and max(again[anomaly.HOLD :]) > 0.9  # nothing took it in
    one.restore(ranges)
    assert one.snapshot() == ranges


def test_it_goes_on_bit_for_bit_from_a_file_a_snapshot_and_a_pickle(tmp_path: Path) -> None:
    x = stream(700, 8)[:, None]
    x[600:] += 2.0
    d = detector(threshold=0.7)
    d.run(x[:400])
    d.save(tmp_path / "d.rtlstm")
    others = [rtlstm.load(tmp_path / "d.rtlstm"), pickle.loads(pickle.dumps(d)), detector()]
    others[2].restore(d.snapshot())
    scores = d.run(x[400:]).scores
    assert scores.max() > 0.8
    for other in others:
        assert type(other) is rtlstm.Detector
        assert other.run(x[400:]).scores.tobytes() == scores.tobytes()
    assert [other.threshold for other in others] == [0.7, 0.7, 0.5]


def test_reset_forgets_what_was_normal() -> None:
    d = detector()
    x = stream(600, 9)
    d.run(x[:300, None])
    d.reset()
    assert not d.run(x[300:, None] + 100.0).flags[: anomaly.WARM].any()
    assert d.update([150.0]).flag


def test_only_targets_are_watched_and_memory_stays() -> None:
    d = rtlstm.Detector(["a", "b"], targets=["b"], **SMALL)  # type: ignore[arg-type]
    rows = np.stack([stream(300), stream(300, 1)], axis=1)
    rows[250, 0] = 30.0
    before = d.memory
    assert not d.run(rows[:251]).flags[250]
    assert d.update({"a": 0.0, "b": 30.0}).flag
    assert d.memory == before and len(d.snapshot()) == before
    assert (d.columns, d.targets) == (("a", "b"), ("b",))
    assert d.health()["rows"] == 252 and "watching b" in repr(d)


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


def test_a_refused_row_changes_nothing() -> None:
    d = detector()
    before = d.snapshot()
    with pytest.raises(SampleError):
        d.update([1.0, 2.0])
    with pytest.raises(SampleError):
        d.run([[1.0], ["x"]])
    assert d.snapshot() == before


# ---------------------------------------------------------------- the protocol of NAB
def files() -> list[nab.Stream]:
    """Two made-up files, one without a window."""
    times = 300 * np.arange(1000)
    made = []
    for name, windows in (("one", [(300 * 400, 300 * 449), (300 * 700, 300 * 749)]), ("two", [])):
        gain, window = nab.gains(times, windows)
        made.append(nab.Stream(name, times, stream(1000), gain, window, np.arange(1000) >= 150))
    return made


def flags(**rows: list[int]) -> dict[str, np.ndarray]:
    scores = {name: np.zeros(1000) for name in ("one", "two")}
    for name, places in rows.items():
        scores[name][places] = 1.0
    return scores


@pytest.mark.parametrize("profile", nab.PROFILES)
def test_nothing_scores_0_and_the_labels_100(profile: str) -> None:
    streams = files()
    assert nab.best(streams, flags(), profile) == (0.0, math.inf)
    labels = flags(one=[400, 700])
    assert nab.best(streams, labels, profile) == pytest.approx((100.0, 1.0))
    assert nab.score_at(streams, labels, profile, 0.5) == pytest.approx(100.0)


def test_gains_and_prices_are_those_of_the_protocol() -> None:
    streams = files()
    assert nab.score_at(streams, flags(two=[200]), "standard", 0.5) == pytest.approx(-11.0 / 4)
    assert nab.score_at(streams, flags(two=[200]), "low FP", 0.5) == pytest.approx(-22.0 / 4)
    assert nab.score_at(streams, flags(two=[100]), "standard", 0.5) == 0.0  # not scored yet
    half = (2.0 / (1.0 + math.exp(-2.5)) - 1.0) / (2.0 / (1.0 + math.exp(-5.0)) - 1.0)
    assert streams[0].gain[425] == pytest.approx(half)
    found = flags(one=[425, 440])  # the second adds nothing
    assert nab.score_at(streams, found, "standard", 0.5) == pytest.approx(25.0 * (1.0 + half))
    behind = 2.0 / (1.0 + math.exp(5.0 / 49.0)) - 1.0
    late = flags(one=[450])
    assert nab.score_at(streams, late, "standard", 0.5) == pytest.approx(25.0 * 0.11 * behind)


def test_the_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    streams = files()
    scores = {stream.name: rng.random(1000).round(2) for stream in streams}
    scores["one"][[410, 705]] = 0.99
    found = nab.best(streams, scores, "standard")
    levels = np.unique(np.concatenate(list(scores.values())))
    every = [nab.score_at(streams, scores, "standard", level) for level in levels]
    assert found.score == pytest.approx(max(0.0, *every))
    assert found.threshold == levels[int(np.argmax(every))]


def test_files_are_read_as_the_benchmark_lays_them_out(tmp_path: Path) -> None:
    (tmp_path / "data" / "real").mkdir(parents=True)
    lines = [f"2014-04-01 00:{m:02d}:00,{m}" for m in range(60)]
    (tmp_path / "data" / "real" / "a.csv").write_text("\n".join(["timestamp,value", *lines]))
    windows = '{"real/a.csv": [["2014-04-01 00:20:00.000000", "2014-04-01 00:29:00.000000"]]}'
    (tmp_path / "combined_windows.json").write_text(windows)
    (made,) = nab.read(tmp_path)
    assert made.values.tolist() == list(range(60)) and made.times[1] - made.times[0] == 60
    assert np.flatnonzero(made.window == 0).tolist() == list(range(20, 30))
    assert np.flatnonzero(made.scored)[0] == 9
