"""The measures of anomaly scores by hand-made cases, sets with labels, and NAB's protocol."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import TOOLS

from rtlstm.cli import detect_measures as measure

sys.path.insert(0, str(TOOLS / "lib"))
import anomaly_sets as sets
import anomaly_streams as streams
import nab_scoring as nab


def stream(rows: int, seed: int = 0) -> np.ndarray:
    """A day of 50 rows with noise."""
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(rows) * 2.0 * np.pi / 50.0) + 0.1 * rng.normal(size=rows)


# ---------------------------------------------------------------- ranking
def test_area_and_precision_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(0)
    label, score = (rng.random(200) < 0.2) * 1, rng.random(200).round(1)
    odd, normal = score[label > 0], score[label == 0]
    pairs = (odd[:, None] > normal).mean() + 0.5 * (odd[:, None] == normal).mean()
    assert measure.roc_auc(label, score) == pytest.approx(pairs)
    area = last = 0.0
    for level in np.unique(score)[::-1]:
        taken = score >= level
        recall = label[taken].sum() / label.sum()
        area, last = area + (recall - last) * label[taken].mean(), recall
    assert measure.average_precision(label, score) == pytest.approx(area)
    assert math.isnan(measure.roc_auc(np.zeros(5), np.ones(5)))


def test_the_volume_forgives_a_near_miss_and_rewards_the_labels() -> None:
    label = np.zeros(2000, np.int64)
    label[1000:1050] = 1
    late = np.roll(label, 30).astype(float) + np.linspace(0.0, 0.1, 2000)
    noise = np.random.default_rng(0).random(2000)
    exact = measure.vus_pr(label, label + 1e-3 * noise)
    assert measure.vus_pr(label, late) > measure.average_precision(label, late)
    assert exact > 0.75 > measure.vus_pr(label, late) > 5 * measure.vus_pr(label, noise)


def test_labels_fall_off_on_both_sides() -> None:
    label = np.zeros(40, np.int64)
    label[20:22] = 1
    soft = measure.widened(label, 8)
    assert soft[20] == soft[21] == 1.0 and soft[15] == soft[26] == 0.0
    assert soft[19] == soft[22] == pytest.approx(math.sqrt(7.0 / 8.0))


def test_ranges_count_by_overlap_and_pieces() -> None:
    label, found = np.zeros(100, np.int64), np.zeros(100, np.int64)
    label[10:30] = 1
    found[10:20] = 1
    assert measure.range_f1(label, found) == pytest.approx(2 * 0.5 / 1.5)
    assert measure.range_f1(label, label) == 1.0
    found[25:30] = 1  # two pieces: recall (15 / 20) / 2
    assert measure.range_f1(label, found) == pytest.approx(2 * 0.375 / 1.375)
    assert measure.range_f1(label, np.zeros(100)) == 0.0


def test_delays_and_false_flags() -> None:
    label, inside = np.zeros(1000, np.int64), np.zeros(1000, np.int64)
    label[100:150] = label[500:550] = 1
    inside[120:160] = 1
    assert measure.delays(label, inside) == [20]
    flags = np.zeros(1000, bool)
    flags[[120, 160, 800]] = True  # the second within the margin behind a spell
    assert measure.false_flags(label, flags) == pytest.approx(1e4 / 700)


def test_labelled_files_are_read(tmp_path: Path) -> None:
    text = "time,a,b,label\n1,2,,0\n2,3,5,1\n"
    (tmp_path / "one.csv").write_text(text)
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    (made,) = sets.read(tmp_path, 10)
    assert made.values.shape == (2, 2) and math.isnan(made.values[0, 1])
    assert made.label.tolist() == [0, 1]


@pytest.mark.parametrize("kind", streams.KINDS)
def test_every_kind_changes_its_spells_and_nothing_else(kind: str) -> None:
    rows = streams.clean("seasonal", 2000, 2)
    changed, label = streams.inject(rows, kind)
    same = (changed == rows).all(axis=1)
    assert same[label == 0].all() and not same[label > 0].all()
    assert len(measure.spells(label)) == 4


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
