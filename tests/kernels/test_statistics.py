"""What the kernels of tasks keep of a stream, driven one by one: scales, seasons, rows, spells.

Interpreted, since that shows which branches were taken; compiled, whole streams go through them in
`models/test_forecaster_streams.py` and `models/test_detector.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import calendar, mixing, ranges, scaling, selection, spells, tail
from rtlstm.kernels.tasks import forecast_plan as k

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(mode.COMPILES, reason="kernels are called one by one, uncompiled"),
]


class Columns:
    """A forecaster's plan and arrays, and rows that go as far as its statistics."""

    def __init__(self, columns: int = 1, **options: Any) -> None:
        names = [f"c{j}" for j in range(columns)]
        model = rtlstm.Forecaster(names, lags=0, layers=rtlstm.LSTM(1), **options)
        arena = model._arena
        self.plan, self.f, self.d, self.q = model._plan, arena.f, arena.d, arena.q
        self.counts = self.q[self.plan[k.COUNTS] :]

    def of(self, which: int, j: int = 0) -> float:
        """A statistic of a column."""
        return float(self.d[scaling.field(self.plan, which, j)])

    def take(self, *row: float, learn: int = 1) -> bool:
        """Fill and standardise a row; returns whether it was skipped."""
        if scaling.fill_row(self.plan, self.d, self.q, np.array(row)):
            return True
        place = self.counts[k.TAKEN] % k.WINDOW * self.plan[k.COLUMNS]
        scaling.standardise(self.plan, self.d, self.q, self.plan[k.Z] + place, learn)
        for j in range(len(row)):
            change = self.of(k.LAST, j) - self.of(k.BEFORE, j)
            self.d[self.plan[k.CHANGES] + place + j] = change
        self.counts[k.TAKEN] += 1
        return False

    def noise(self, rows: int, seed: int = 0) -> None:
        """Standard normal rows."""
        width = int(self.plan[k.COLUMNS])
        for row in np.random.default_rng(seed).normal(size=(rows, width)):
            self.take(*row)


# ---------------------------------------------------------------- scales
def test_a_sentinel_is_no_value_until_it_lasts() -> None:
    c = Columns()
    c.noise(60)
    mean = c.of(k.MEAN)
    for _ in range(5):
        c.take(-9999.0)
    assert c.counts[k.SENTINELS] == 4 and c.counts[k.SPIKES] == 5
    assert c.of(k.MEAN) == mean
    for _ in range(scaling.PERSISTENT):
        c.take(-9999.0)
    assert c.of(k.LAST) == -9999.0  # by now it is a level


def test_the_range_of_a_young_column_says_little_of_faults() -> None:
    c = Columns()
    c.noise(60)
    width = c.of(k.HIGH) - c.of(k.LOW)
    c.take(c.of(k.HIGH) + 30.0 * width)
    assert not c.counts[k.SPIKES]
    c.take(0.0)
    c.noise(int(scaling.KNOWN))
    c.take(c.of(k.HIGH) + 30.0 * (c.of(k.HIGH) - c.of(k.LOW)))
    assert c.counts[k.SPIKES] == 1


def test_a_young_column_that_meets_its_sensors_limit_has_no_sentinel() -> None:
    c = Columns()
    c.noise(60)
    for _ in range(30):
        c.take(25.0)
    assert not c.counts[k.SENTINELS] and c.of(k.LAST) == 25.0


def test_a_near_sentinel_is_known_by_its_repetition() -> None:
    c = Columns()
    c.noise(260)
    c.take(25.0)
    assert c.of(k.JUMPED) == 1.0 and c.of(k.HIGH) == 25.0
    c.take(25.0)
    assert c.of(k.HAS_SENTINEL) == 1.0 and c.of(k.SENTINEL) == 25.0
    assert c.of(k.HIGH) < 5.0  # as it was before
    c.take(0.0)
    before = c.counts[k.SENTINELS]
    c.take(25.0)
    assert c.counts[k.SENTINELS] == before + 1
    for _ in range(scaling.PERSISTENT + 1):
        c.take(25.0)
    assert c.of(k.LAST) == 25.0


def test_far_values_in_a_row_are_believed() -> None:
    c = Columns()
    c.noise(60)
    for x in (1e4, 1.1e4):
        c.take(x)
        assert math.isnan(c.d[c.plan[k.TARGET_ROW]])
    c.take(1.2e4)
    assert c.of(k.LAST) == 1.2e4
    c.take(-5e6)  # on the other side: none of that row of suspects
    assert c.of(k.LAST) == 1.2e4


def test_far_values_that_keep_coming_alike_are_believed() -> None:
    c = Columns()
    c.noise(60)
    for pulse in range(scaling.RECURRED + 2):
        c.take(1e4 + pulse)
        c.noise(5, seed=pulse)
    assert c.counts[k.SPIKES] == scaling.RECURRED and c.of(k.HIGH) > 1e4


def test_far_values_that_are_not_alike_stay_faults() -> None:
    c = Columns()
    c.noise(60)
    draw = np.random.default_rng(0)
    sizes = 1e4 * draw.uniform(0.1, 1.0, 120) * draw.choice([-1.0, 1.0], 120)
    for size in sizes:
        c.take(size)
        c.noise(2)
    assert c.counts[k.SPIKES] == len(sizes) and c.of(k.HIGH) < 5.0


def test_the_first_of_three_values_may_be_the_fault() -> None:
    c = Columns()
    for x in (1e9, 5.0, 5.1, 4.9):
        c.take(x)
    assert c.of(k.HIGH) < 10.0


def test_a_lull_is_taken_back_and_a_loud_run_is_a_new_scale() -> None:
    c = Columns()
    c.noise(100)
    usual = c.of(k.RMS2)
    for t in range(80):
        c.take(1e-3 * (t % 2))
    assert c.of(k.RMS2) < 1e-4 * usual and c.of(k.SINCE) > 0.0
    for x in (3.0, -3.0, 3.0, -3.0):
        c.take(x)
    assert c.of(k.RMS2) > 0.5 * usual and c.of(k.PATIENCE) > 0.0
    c.noise(30, seed=1)
    for t in range(30):
        c.take(25.0 * (-1) ** t)
    assert c.of(k.RMS2) > 100.0 * usual


def test_scales_stand_still_while_nothing_moves() -> None:
    c = Columns()
    c.noise(40)
    for _ in range(scaling.REST + 2):
        c.take(0.5)
    still = c.of(k.VAR)
    c.take(0.5)
    assert c.of(k.VAR) == still
    c.take(0.7, learn=0)
    assert c.of(k.VAR) == still and c.of(k.LAST) == 0.7


def test_what_is_missing_is_filled_or_the_row_is_skipped() -> None:
    c = Columns(2, missing_values=(-9.0,))
    c.noise(30)
    last = c.of(k.LAST)
    assert not c.take(-9.0, math.inf)
    assert c.of(k.LAST) == last and c.counts[k.MISSING_CELLS] == 2
    c.d[c.plan[k.EXPECTED]] = 1e6  # a forecast that has wandered off is held at the range
    c.take(math.nan, 0.0)
    assert c.of(k.LAST) == pytest.approx(2.0 * c.of(k.HIGH) - c.of(k.LOW))
    skipping = Columns(1, missing="skip")
    assert skipping.take(math.nan) and skipping.counts[k.SKIPPED_ROWS] == 1


# ---------------------------------------------------------------- seasons
def follow_season(c: Columns, rows: int, season: int) -> None:
    for t in range(rows):
        c.take(math.sin(2.0 * math.pi * t / season) + 0.01 * (t * 7 % 5))
        c.counts[k.TAKEN] -= 1  # the row is still being taken in
        calendar.update_autocorrelation(c.plan, c.d, c.q)
        calendar.find_season(c.plan, c.d, c.q)
        calendar.write_calendar(c.plan, c.d, c.q)
        c.counts[k.TAKEN] += 1


def test_a_season_is_found_kept_and_left_to_the_clock() -> None:
    c = Columns()
    follow_season(c, 256, 12)
    assert c.counts[k.SEASON] == 12 and not c.counts[k.BY_CLOCK]
    slots = c.q[c.plan[k.SLOT] :][: k.SEASONAL]
    assert list(slots[:3]) == [11 - 1, 11, 12] or 12 in slots[:3] + 1
    assert c.d[c.plan[k.CAL]] ** 2 + c.d[c.plan[k.CAL] + 1] ** 2 == pytest.approx(1.0)
    clock = c.plan[k.CLOCK]
    c.counts[k.STEPS_TIMED] = 5
    c.d[clock + k.TIME], c.d[clock + k.STEP] = 36000.0, 3600.0
    assert calendar.find_season(c.plan, c.d, c.q) == 1
    assert c.counts[k.SEASON] == 24 and c.counts[k.BY_CLOCK]
    calendar.write_calendar(c.plan, c.d, c.q)
    assert c.d[clock + k.PHASE] == pytest.approx(11 / 24)
    c.d[clock + k.TIME] = math.nan
    calendar.write_calendar(c.plan, c.d, c.q)
    assert not c.d[c.plan[k.CAL] :][: k.CALENDAR].any()


def test_noise_has_no_season() -> None:
    c = Columns()
    for t, x in enumerate(np.random.default_rng(4).normal(size=130)):
        c.take(x)
        c.counts[k.TAKEN] = t
        calendar.update_autocorrelation(c.plan, c.d, c.q)
        calendar.find_season(c.plan, c.d, c.q)
        c.counts[k.TAKEN] = t + 1
    assert c.counts[k.SEASON] == 0


# ---------------------------------------------------------------- chosen rows
def test_the_row_that_says_most_of_the_errors_is_chosen_once() -> None:
    c, lag = Columns(2), 20
    assert c.plan[k.PAIRS] > 0
    errors = c.plan[k.LAST_ERROR]
    for t, row in enumerate(np.random.default_rng(2).normal(size=(256, 2))):
        c.take(*row)
        c.counts[k.TAKEN] = t
        c.d[errors : errors + 2] = 0.0
        if t > lag + 1:
            then = (t - 1 - lag) % k.WINDOW * 2
            selection.remember_error(c.plan, c.d, 0, 0, c.d[c.plan[k.CHANGES] + then + 1])
        selection.correlate(c.plan, c.d, c.q)
        selection.choose(c.plan, c.f, c.d, c.q)
        c.counts[k.TAKEN] = t + 1
    picks = c.q[c.plan[k.PICK] :][: c.plan[k.PAIRS]]
    assert picks[0] == lag * 2 + 1
    assert not c.d[c.plan[k.CROSS_SQUARES]]  # the sums begin anew at every look
    assert selection.seen_already(c.plan, c.q, 0, lag, 1, False)
    found = np.zeros(2 * int(c.plan[k.PAIRS]))
    d = np.concatenate([c.d, found])
    selection.picked(c.plan, d, c.q, 0, len(c.d))
    assert d[len(c.d)] != 0.0


# ---------------------------------------------------------------- levels
@pytest.mark.parametrize("point", ["mean", "median"])
def test_levels_follow_their_targets(point: str) -> None:
    c = Columns(1, point=point)
    rng = np.random.default_rng(3)
    for x in rng.normal(5.0, 1.0, 80):
        c.take(x)
        mixing.update_levels(c.plan, c.d, 1)
    level = c.d[c.plan[k.LEVEL] :][: k.LEVELS]
    assert abs(level - 5.0).max() < 1.5
    before = level[0]
    mixing.update_levels(c.plan, c.d, 0)
    assert level[0] == before
    mixing.rescale_mix(c.plan, c.d, 0)
    assert level[0] == c.of(k.MEAN)
    regrets = c.d[c.plan[k.REGRET2] :][: k.EXPERTS]
    assert (regrets > 0.0).all()


# ---------------------------------------------------------------- spells
class Oddness:
    """The record of a row's oddness, and rows of so much of it."""

    def __init__(self) -> None:
        c = Columns()
        self.d, self.at = c.d, int(c.plan[k.ODDNESS])

    def __getitem__(self, slot: int) -> float:
        return float(self.d[self.at + slot])

    def row(self, odd: float) -> int:
        """Score a row; returns 1 if a spell has become normal."""
        self.d[self.at + a.S_ODDNESS] = odd
        tail.write_share(self.d, self.at)
        settled = spells.move(self.d, self.at)
        tail.learn(self.d, self.at, spells.pace(self.d, self.at))
        return settled


def test_a_spell_begins_goes_on_and_ends() -> None:
    rows = Oddness()
    for odd in np.random.default_rng(5).normal(size=400):
        rows.row(odd)
    assert rows[a.S_WEIGHT] > tail.WARM
    spells_before = rows[a.S_SPELLS]
    rows.row(25.0)
    assert rows[a.S_FLAG] == 1.0 and rows[a.S_SPELLS] == spells_before + 1.0
    assert spells.pace(rows.d, rows.at) == rows[a.S_PACE]
    learned = [spells.learned_from(rows.d, rows.at)]
    rows.row(30.0)
    learned.append(spells.learned_from(rows.d, rows.at))
    assert rows[a.S_FLAG] == 0.0 and rows[a.S_INSIDE] == 1.0
    assert rows[a.S_PEAK] == rows[a.S_ROWS] - 1.0
    quiet = 0
    while rows[a.S_INSIDE]:
        rows.row(0.0)
        quiet += 1
    assert quiet == rows[a.S_QUIET]
    assert spells.learned_from(rows.d, rows.at) == 1 and set(learned) <= {0, 1}


def test_a_spell_that_lasts_becomes_normal() -> None:
    rows = Oddness()
    for odd in np.random.default_rng(6).normal(size=200):
        rows.row(odd)
    rows.d[rows.at + a.S_INSIDE] = 0.0
    rows.d[rows.at + a.S_SETTLE] = 10.0
    rows.d[rows.at + a.S_PACE] = 0.0  # nothing of it is learned
    settled = [rows.row(25.0) for _ in range(12)]
    assert settled.count(1) == 1
    rows.d[rows.at + a.S_THRESHOLD] = 0.9
    assert spells.limit(rows.d, rows.at) == pytest.approx(0.1)


def test_the_share_of_a_tail_falls_with_the_oddness() -> None:
    rows = Oddness()
    for odd in np.random.default_rng(7).normal(size=300):
        rows.row(odd)
    shares = []
    for odd in (-5.0, 0.0, 1.0, 3.0, 6.0, 20.0, math.nan):
        rows.d[rows.at + a.S_ODDNESS] = odd
        tail.write_share(rows.d, rows.at)
        shares.append(rows[a.S_SHARE])
    assert shares[:6] == sorted(shares[:6], reverse=True) and 0.0 < shares[5] < 0.01


# ---------------------------------------------------------------- news
def test_news_is_what_lies_beyond_all_that_was_shown() -> None:
    d = np.zeros(ranges.FIELDS)
    rng = np.random.default_rng(8)
    for value in rng.normal(size=150):
        assert ranges.watch(d, 0, value, math.nan, 1) >= 0.0
    assert ranges.glance(d, 0, 0.0) == 0.0 < ranges.glance(d, 0, 50.0)
    assert ranges.watch(d, 0, 50.0, 50.0, 1) > 0.0
    for value in rng.normal(50.0, 1.0, ranges.SHIFT + 100):  # a new level
        ranges.watch(d, 0, value, 0.0, 1)
    assert d[ranges.SIGNAL_AT + ranges.LOW] > 40.0
    for value in rng.normal(90.0, 1.0, 5):  # away, and back
        ranges.watch(d, 0, value, 0.0, 1)
    ranges.watch(d, 0, 50.0, 0.0, 1)
    assert d[ranges.SIGNAL_AT + ranges.GONE] == 0.0


def test_news_is_heard_once() -> None:
    d = np.zeros(ranges.NEWS_LEN)
    assert ranges.announce(d, 0, 2.0, 1.0) == 2.0
    assert ranges.announce(d, 0, 1.5, 1.0) == 0.0 < ranges.announce(d, 0, 3.0, 1.0)
    for _ in range(ranges.HOLD + 1):
        ranges.announce(d, 0, 0.0, 1.0)
    assert ranges.announce(d, 0, 1.0, 1.0) == 1.0
    assert ranges.announce(d, 0, 1.1, 1.2) == 0.0 < ranges.announce(d, 0, 1.3, 1.2)
