"""The experiments of the literature: the papers' networks and tasks, each in a tiny form."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies.tiny_chorales import chorales

import rtlstm
from rtlstm.studies.literature import (
    EXPERIMENTS,
    experiment,
    forget2000,
    gradients,
    grammar,
    lstm1997,
    memory,
    odyssey,
    peephole2002,
)
from rtlstm.studies.literature import sequences as tasks
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import Batch, Streak, run_trials, until_error

RANDOM = np.random.default_rng(0)


# ------------------------------------------------------------------ the papers' networks
@pytest.mark.parametrize(
    ("weights", "task"),
    [
        (264, lambda: lstm1997.reber(4, 1, 0.1, 1)),
        (276, lambda: lstm1997.reber(3, 2, 0.5, 1)),
        (364, lambda: lstm1997.lag(50, 50, 1)),
        (102, lambda: lstm1997.two_sequences(100, 3, "a", 1)),
        (93, lambda: lstm1997.adding(100, 1)),
        (156, lambda: lstm1997.order(2, 0.5, lstm1997.TWO, 1)),
        (308, lambda: lstm1997.order(3, 0.1, lstm1997.THREE, 1)),
        (10_504, lambda: lstm1997.carousel(False, 1)),
    ],
)
def test_the_networks_of_1997_have_the_papers_weights(weights: int, task: Any) -> None:
    assert task().learner.net.weights == weights


def test_the_networks_of_2000_and_2002_have_the_papers_weights() -> None:
    assert forget2000.learner(forget2000.NETS[3], 0).net.weights == 424
    assert peephole2002.learner(peephole2002.TASKS[0], True, 0).net.weights == 17
    assert peephole2002.learner(peephole2002.TASKS[0], False, 0).net.weights == 14


# ------------------------------------------------------------------ the papers' tasks
def pieces(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
    cuts = np.cumsum(batch.lengths)[:-1]
    return list(zip(np.split(batch.X, cuts), np.split(batch.Y, cuts), strict=True))


def test_temporal_order_is_told_by_the_class() -> None:
    for X, Y in pieces(tasks.temporal_order(RANDOM, 50, lstm1997.THREE)):
        symbols = X.argmax(axis=1)
        marked = np.flatnonzero((symbols == 4) | (symbols == 5))
        assert 100 <= len(X) <= 110 and len(marked) == 3
        assert all(a <= t <= b for t, (a, b) in zip(marked, lstm1997.THREE, strict=True))
        assert Y[-1].argmax() == int("".join(str(symbols[t] - 4) for t in marked), 2)
        assert np.isnan(Y[:-1]).all() and (symbols[0], symbols[-1]) == (6, 7)


@pytest.mark.parametrize("product", [False, True])
def test_marked_pairs_make_the_target(product: bool) -> None:
    for X, Y in pieces(tasks.marked_pair(RANDOM, 300, 30, product)):
        at = np.flatnonzero(X[:, 1] == 1.0)
        one, two = [X[t, 0] for t in at] + [1.0 if product else 0.0] * (2 - len(at))
        assert Y[-1, 0] == pytest.approx(one * two if product else 0.5 + (one + two) / 4)
        assert X[0, 1] == X[-1, 1] == -1.0 and 30 <= len(X) <= 33
        assert at.max() <= 13


def test_long_lags_are_as_long_as_they_should_be() -> None:
    batch = tasks.long_lag(RANDOM, 2000, 50, 20)
    assert batch.lengths.min() >= 53 and abs(batch.lengths.mean() - 62) < 1
    for X, Y in pieces(batch)[:50]:
        symbols = X.argmax(axis=1)
        assert symbols[0] == 20 and symbols[-1] == 21 and (symbols[2:-1] < 20).all()
        assert Y[-1].argmax() == symbols[1] - 22
    fixed = tasks.fixed_lag(RANDOM, 3, 10, False)
    assert [len(X) for X, _ in pieces(fixed)] == [10] * 3
    assert all(X[0].argmax() == Y[-1].argmax() for X, Y in pieces(fixed))


def test_two_sequences_differ_in_their_first_values() -> None:
    for X, Y in pieces(tasks.two_sequences(RANDOM, 20, 40, 3)):
        assert (X[:3, 0] == 2 * Y[-1, 0] - 1).all()
    noisy = tasks.two_sequences(RANDOM, 4000, 40, 1, "c")
    judged = tasks.without_noise(noisy)
    off = (noisy.Y - judged.Y)[noisy.ends, 0]
    assert abs(off.mean()) < 0.02 and abs(off.var() - 0.1) < 0.01
    assert set(np.unique(judged.Y[judged.ends])) == {0.2, 0.8}


def test_strings_of_the_grammar_follow_its_arcs() -> None:
    for _ in range(200):
        steps = list(grammar.walk(RANDOM))
        text = "".join(grammar.SYMBOLS[s] for s, _ in steps)
        assert text[0] == "B" and text[-1] == "E" and text[1] == text[-2] and len(text) >= 9
        for (_, legal), (following, _) in itertools.pairwise(steps):
            assert following in legal
    found = grammar.different_strings(RANDOM, 40)
    assert len({tuple(s) for s in found.symbols}) == 40


def test_rows_of_the_grammar_are_strings_of_the_walk() -> None:
    drawn = pieces(grammar.rows(np.random.default_rng(1), 3000))
    texts = ["".join(grammar.SYMBOLS[s] for s in X.argmax(axis=1)) for X, _ in drawn]
    known = {}
    for _ in range(3000):
        steps = list(grammar.walk(RANDOM))
        text = "".join(grammar.SYMBOLS[s] for s, _ in steps)
        known[text] = known.get(text, 0) + 1
        if text in texts:
            legal = [tuple(np.flatnonzero(row)) for row in drawn[texts.index(text)][1]]
            assert legal == [tuple(sorted(after)) for _, after in steps]
    for text, count in sorted(known.items(), key=lambda pair: -pair[1])[:4]:
        assert abs(texts.count(text) - count) < 80  # 190 each, give or take 14


@pytest.mark.parametrize("at", [0, 5, 15, 16, 30, 47, 48, 99, 150])
def test_a_stream_is_learned_as_by_single_steps_until_its_first_error(at: int) -> None:
    made = [forget2000.learner(forget2000.NETS[3], 0) for _ in range(2)]
    batch = grammar.rows(np.random.default_rng(2), 9)
    X, Y = batch.X[:100], batch.Y[:100].copy()
    Y[3::7] = np.nan
    if at < len(X):
        Y[at] = 5.0
    done, P = until_error(made[0], X, Y, 2.0)
    assert done == min(at, len(X)) and len(P) == min(at + 1, len(X))
    for t in range(len(P)):
        np.testing.assert_array_equal(made[1].step(X[t], Y[t]), P[t])
    for name, value in made[1].net.parameters.items():
        np.testing.assert_array_equal(made[0].net.parameters[name], value)
    np.testing.assert_array_equal(made[0].step(X[0]), made[1].step(X[0]))


def test_a_streak_is_met_at_the_first_sequence_at_which_it_holds() -> None:
    def met(errors: list[float], **how: Any) -> int:
        streak, seen = Streak(3, 0.5, **how), 0
        for start in range(0, len(errors), 2):
            part = np.array(errors[start : start + 2])
            n = len(part)
            batch = Batch(np.zeros((n, 1)), np.zeros((n, 1)), np.ones(n, int))
            at = streak.met(batch, part[:, None], lambda: None)  # type: ignore[arg-type, return-value]
            if at >= 0:
                return seen + at
            seen += n
        return -1

    assert met([0.1, 0.9, 0.1, 0.1, 0.1, 0.1]) == 4
    assert met([0.1, 0.9, 0.1, 0.1, 0.1, 0.1], bad=1) == 2
    assert met([0.4, 0.4, 0.4, 0.1, 0.1, 0.1], mean=0.25) == 4
    assert met([0.1, 0.1, np.nan, 0.1, 0.1]) == -1


# ------------------------------------------------------------------ each experiment, tiny
def test_trials_end_when_they_have_learned_and_are_the_learners_alone() -> None:
    net = rtlstm.Network(1, rtlstm.LSTM(2, "1997"), 1, head="logistic", dtype="float64")
    learner = lstm1997.descent(net, 1.0)

    def draw(random: np.random.Generator, count: int) -> Batch:
        return tasks.two_sequences(random, count, 5, 1)

    task = lstm1997.Task(learner, draw, lambda seed: Streak(30, 0.4), 6000, 100)
    said: list[str] = []
    found = run_trials(task, 2, Settings(say=said.append, threads=1), "tiny")
    assert [trial.seed for trial in found] == [0, 1] and said
    assert all(trial.count is not None and 30 <= trial.count < 6000 for trial in found)
    for trial in found:  # is what it was when it stopped, though batches are longer
        own = rtlstm.Network(1, rtlstm.LSTM(2, "1997"), 1, head="logistic", dtype="float64",
                             seed=trial.seed)  # fmt: skip
        alone, random = lstm1997.descent(own, 1.0), np.random.default_rng([trial.seed, 1997])
        batches = [draw(random, 100) for _ in range(-(-(trial.count or 0) // 100))]
        sequences = [pair for batch in batches for pair in pieces(batch)][: trial.count]
        for X, Y in sequences:
            alone.reset()
            alone.run(X, Y)
        for name, value in own.parameters.items():
            np.testing.assert_array_equal(trial.learner.net.parameters[name], value)


@pytest.mark.parametrize("place", ["sequences", "criterion", "progress"])
def test_ctrl_c_keeps_what_the_trials_of_a_row_have_done(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def come_to(here: str) -> None:
        calls.append(here)
        if here == place and calls.count(here) == 5:
            raise KeyboardInterrupt

    def draw(random: np.random.Generator, count: int) -> Batch:
        come_to("sequences")
        return tasks.two_sequences(random, count, 5, 1)

    class Criterion(Streak):
        def met(self, *arguments: Any) -> int:
            come_to("criterion")
            return super().met(*arguments)

    net = rtlstm.Network(1, rtlstm.LSTM(2, "1997"), 1, head="logistic", dtype="float64")
    learner = lstm1997.descent(net, 1.0)
    task = lstm1997.Task(learner, draw, lambda seed: Criterion(99, 0.4), 6000, 20)
    row = lstm1997.Row("x", "tiny", 10, lambda: task, 2, 2)
    monkeypatch.setattr(lstm1997, "ROWS", [row])
    tables = lstm1997.run(Settings(threads=1, say=lambda text: come_to("progress")))
    found = next(tables).rows
    seen = 100 if place == "progress" else 40  # of which each trial draws 20 at a time
    assert found == [
        (f"tiny, stopped after {seen} sequences", 51, 2, 6000, "0%", None, "-", 10, None)
    ]
    with pytest.raises(KeyboardInterrupt):
        list(tables)


def test_forget_gates_let_streams_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget2000, "LONGEST", 50)
    monkeypatch.setattr(forget2000, "BUDGETS", (0, 3000))
    only = ("standard LSTM, ext", "LSTM with state", "f")
    settings = Settings(quick=True, trials=1, threads=1, only=only)
    monkeypatch.setattr(forget2000, "NETS", forget2000.NETS[:4])
    assert forget2000.learner(forget2000.Net("", ("", "", ""), modern=True), 0).net.weights == 424
    (table, *_) = list(forget2000.run(settings))[-1:]
    assert table.column("net") == [forget2000.NETS[k].title for k in (0, 2, 3)]
    assert all(length <= 50 for length in table.column("longest stream"))


def test_a_decay_of_the_state_is_a_forget_gate_that_stays() -> None:
    made = forget2000.learner(forget2000.NETS[2], 0)
    X, Y = forget2000.Flow(RANDOM).take(20)
    for x, y in zip(X, Y):
        made.step(x, y)
    p = made.net.parameters
    assert not p["layer0.W.f"].any() and not p["layer0.R.f"].any()
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-p["layer0.b.f"])), 0.9)
    fresh = forget2000.learner(forget2000.NETS[2], 0).net.parameters
    assert (p["layer0.W.i"] != fresh["layer0.W.i"]).any()


def test_nets_are_perfect_good_or_the_rest() -> None:
    found = [forget2000.Found([7] * 9, 7, 9, 1e5), forget2000.Found([5], 5, None, 2000.0)]
    found += [forget2000.Found([5], 5, None, tested) for tested in (10.0, 20.0)]
    assert forget2000._shares(found) == ["25 (9)", "25 <2,000>", "50 <15>"]


def test_timing_tasks_are_drawn_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in peephole2002.TASKS:
        X, Y = peephole2002.rows(task, RANDOM, 200)
        assert X.shape == Y.shape == (200, 1) and np.isfinite(X).all()
    wave = peephole2002.rows(peephole2002.TASKS[4], RANDOM, 50)[1]
    np.testing.assert_allclose(wave[:25], wave[25:], atol=1e-12)
    spikes, delays = peephole2002.rows(peephole2002.TASKS[0], RANDOM, 500)
    gaps = np.diff(np.flatnonzero(spikes))
    asked = delays[spikes > 0][1:]
    assert np.array_equal(gaps - 10, asked)
    held, spikes = peephole2002.rows(peephole2002.TASKS[1], RANDOM, 500)
    at = np.flatnonzero(spikes)
    assert np.array_equal(held[at[1:], 0], np.diff(at) - 10)


def test_error_flows_back_through_a_carousel_and_fades_in_an_rnn() -> None:
    assert set(gradients.ROWS) == {
        row for row in gradients.ROWS if gradients.layers(row, gradients.INITS["standard"])
    }
    X = np.random.default_rng(0).standard_normal((100, gradients.INPUTS))
    flow = {}
    for name in ("RNN", "1997", "2000, forget bias 2"):
        layers = gradients.layers(name, gradients.INITS["U(±0.1)"])
        net = rtlstm.Network(gradients.INPUTS, layers, 1, dtype="float64")
        flow[name] = rtlstm.gradient_flow(net, X, [1, 10, 100])
    assert flow["RNN"][10] < 1e-3 and flow["RNN"][100] < 1e-20
    assert 0.9 < flow["1997"][100] < 20.0
    assert flow["2000, forget bias 2"][100] < 1e-3
    table = gradients.slopes(0)
    assert all(a <= b for a, b in zip(table.column("mean"), table.column("largest"), strict=True))


def test_memory_tasks_ask_for_what_came_first() -> None:
    for X, Y in pieces(memory.recall(RANDOM, 20)):
        assert X[0, 0] == 2 * Y[-1, 0] - 1 and not X[1:, 0].any()
    for X, Y in pieces(memory.select(RANDOM, 20)):
        assert X[0, 0] == 2 * Y[-1, 1] - 1 and 31 <= len(X) <= 41
        assert X[0, 8] == X[-1, 9] == 1.0
    assert memory.selector("rtrl").net.weights == memory.selector("snap1").net.weights


def test_the_odyssey_reads_chorales_and_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(rtlstm.SourceError, match="JSB-Chorales-dataset"):
        next(odyssey.run(Settings(quick=True)))
    (tmp_path / "other.npz").write_bytes(b"nothing")
    with pytest.raises(rtlstm.SourceError, match="other"):
        odyssey.chorales(tmp_path / "other.npz")
    data = odyssey.chorales(chorales(tmp_path))
    assert [len(X) for X, _ in data["train"]] == [19, 14, 24]
    assert np.array_equal(data["test"][0][0][1:], data["test"][0][1][:-1])


def test_welchs_test_is_the_textbooks() -> None:
    a, b = np.array([27.5, 21.0, 19.0, 23.6, 17.0]), np.array([27.1, 22.0, 20.8, 23.4, 23.4, 23.5])
    stats = pytest.importorskip("scipy.stats")
    assert odyssey.welch(a, b) == pytest.approx(
        stats.ttest_ind(a, b, equal_var=False).pvalue, abs=1e-6
    )
    assert odyssey.welch(a[:1], b) is None
    assert odyssey.student_tails(12.706, 1.0) == pytest.approx(0.05, abs=1e-4)
    assert odyssey.student_tails(2.0, 1e6) == pytest.approx(0.0455, abs=1e-4)


def test_a_search_is_resumed_from_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr(odyssey, "VARIANTS", ("vanilla", "NOAF"))
    settings = Settings(quick=True, trials=1, data=chorales(tmp_path), folder=tmp_path / "kept",
                        only=("search",), threads=1, hours=1.0)  # fmt: skip
    for _ in range(2):
        tables = {table.name: table for table in odyssey.run(settings)}
    assert tables["variants"].column("trials") == [1, 1]


def test_a_search_takes_the_variants_that_are_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    settings = Settings(quick=True, trials=1, data=chorales(tmp_path), only=("NOAF", "NP"),
                        threads=1, hours=1.0)  # fmt: skip
    tables = {table.name: table for table in odyssey.run(settings)}
    variants = tables["variants"]
    counts = dict(zip(variants.column("variant"), variants.column("trials"), strict=True))
    assert {name for name, count in counts.items() if count} == {"NOAF", "NP"}
    assert "modern" not in tables


def test_every_experiment_has_a_function_and_the_command_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from rtlstm.cli.reproduce import reproduce
    from rtlstm.studies.table import Table

    for name in EXPERIMENTS:
        assert callable(experiment(name))

    def stopped(settings: Settings) -> Any:
        table = Table("tiny", "Tiny", ("a", "b"))
        table.add("one", 1.5)
        yield table
        raise KeyboardInterrupt

    monkeypatch.setattr("rtlstm.studies.literature.gradients.run", stopped)
    path = tmp_path / "figures.json"
    done = CliRunner().invoke(reproduce, ["gradients", "--json", str(path)])
    assert done.exit_code == 130 and "interrupted" in done.output and "1.5" in done.output
    figures = json.loads(path.read_text())
    assert figures["interrupted"] and figures["tables"][0]["rows"] == [["one", 1.5]]
    assert CliRunner().invoke(reproduce, ["nothing"]).exit_code == 2
    refused = CliRunner().invoke(reproduce, ["lstm1997", "--only", "7"])
    assert refused.exit_code == 2 and "6a" in refused.output


def test_every_table_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from rtlstm.cli.literature_plot import PANELS, draw
    from rtlstm.studies.table import Table

    rows = {
        "lstm1997": (lstm1997.COLUMNS,
                     [("6a", 156, 2, 40_000, "50%", 30_000, "30,000 – 30,000", 31_390, 0),
                      ("2a", 1, 2, 40_000, "0%", None, "-", None, None)]),
        "flow": (("cell", "initialisation", "lag 1", "lag 1,000", "largest c"),
                 [("RNN", "standard", 0.9, 0.0, None), ("GRU", "standard", 0.9, 1e-9, 1.0)]),
        "recall": (("rule", "learned", "µs a step"), [("rtrl", "100%", 2.0)]),
        "select": (("rule", "learned", "µs a step"), [("uoro", "0%", 2.0)]),
        "forget2000": (("net", "longest stream", "perfect"), [("a", 20_000, "10 (900)")]),
        "peephole2002": (("task", "peepholes", "learned"), [("MSD", "with", "90%")]),
        "variants": (("variant", "trials", "its test", "quartiles of the best tenth, test",
                      "p against vanilla"),
                     [("NP", 9, 8.4, "8.4, 8.5, 8.6", 0.2), ("FGR", 0, None, "-", None)]),
        "importances": (("hyper-parameter", "all variants"), [("lr", 0.8)]),
    }  # fmt: skip
    assert set(rows) == set(PANELS)
    tables = {name: Table(name, name, *filled) for name, filled in rows.items()}
    draw(tables, tmp_path / "all.png")
    assert (tmp_path / "all.png").stat().st_size > 10_000


@pytest.mark.skipif("RTLSTM_DATA" not in os.environ, reason="RTLSTM_DATA names no folder of data")
def test_chorales_have_the_steps_of_the_split() -> None:
    data = odyssey.chorales(Path(os.environ["RTLSTM_DATA"]) / "jsb")
    assert {part: len(pairs) for part, pairs in data.items()} == {
        "train": 229,
        "valid": 76,
        "test": 77,
    }
