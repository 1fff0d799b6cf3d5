"""The tables of figures: they are made, they are written, and what is compared is the same."""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from paths import TOOLS

import rtlstm
from rtlstm.cli.bench import bench
from rtlstm.cli.timing import Case, costs, tails
from rtlstm.studies.table import Table, shown


@pytest.fixture
def benching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))


def test_the_short_form_prints_its_table_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    words = ["--units", "8", "--seconds", "0.1", "--json", str(path)]
    done = CliRunner().invoke(bench, words, catch_exceptions=False)
    assert done.exit_code == 0
    for part in ("net.step(x)", "Learner.step(x, y)", "net.run(X), a step", "p99.9"):
        assert part in done.output
    table = json.loads(path.read_text())
    least, median, p50, p999, worst = np.array([row[2:] for row in table["rows"][:2]]).T
    assert (least > 0).all()
    assert (least <= median).all()
    assert (p50 <= p999).all()
    assert (p999 <= worst).all()


def test_costs_are_those_of_a_step() -> None:
    numbers = {"a": np.ones(100_000), "b": np.ones(100_000)}
    whole = Case("whole", "a.sum(); b.sum()", numbers)
    half = Case("half", "a.sum(); b.sum()", numbers, steps=2)
    found = costs([whole, half], turns=5, seconds=0.002)
    assert found["whole"].least <= found["whole"].median
    assert 1.5 < found["whole"].least / found["half"].least < 2.7


def test_a_slow_call_among_fast_ones_is_the_worst() -> None:
    slow = iter([False] * 250 + [True] + [False] * 1000)
    names = {"slow": slow, "sleep": time.sleep}
    tail = tails([Case("a", "sleep(0.02) if next(slow) else None", names)], 400, 100)["a"]
    assert tail.worst > 2e7
    assert tail.p50 < 1e6


@pytest.mark.usefixtures("benching")
def test_both_plots_are_drawn_of_the_tables_as_they_are_made(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plots, setting = (importlib.import_module(f"benching.{n}") for n in ("plots", "setting"))
    effort = replace(setting.QUICK, sizes=(16,))
    tables = [importlib.import_module("benching.rules").rules(effort)]
    tables += [importlib.import_module("benching.stepping").inside(effort)]
    paths = plots.draw(tables, tmp_path)
    assert [path.name for path in paths] == ["time.png", "rules.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_a_table_reads_as_markdown() -> None:
    table = Table("name", "Title", ("what", "figure"), notes=["Note."])
    table.add("first", 0.12345)
    table.add("second, longer", None)
    assert table.markdown().splitlines() == [
        "### Title",
        "",
        "| what           | figure |",
        "|----------------|-------:|",
        "| first          |  0.123 |",
        "| second, longer |      - |",
        "",
        "Note.",
    ]
    with pytest.raises(ValueError, match="2 columns, got 1"):
        table.add("third")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (12.345, "12.3"), (0.0, "0"), (1.23e-5, "1.2e-05"), (25_000, "25,000")],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert shown(value) == text


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("units", [8, 16, 24])
def test_hand_written_c_answers_what_we_answer(benching: None, units: int) -> None:
    from benching import native, setting

    X = setting.samples(300)
    answers = native.HandWritten(setting.network(units)).run(X, np.empty((300, 1), np.float32))
    np.testing.assert_allclose(answers, setting.network(units).run(X), atol=2e-6)


@pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="no onnxruntime")
def test_a_peer_with_other_weights_is_refused(benching: None) -> None:
    from benching import peers, setting

    net = setting.network(8)
    peer = peers.made(peers.OnnxRuntime, net)
    x = setting.samples(1)[0]
    twin = setting.network(8)
    twin.parameters["head.b"][0] += 0.1
    with pytest.raises(ArithmeticError, match="not the same network"):
        peers.agrees("peer", [peer.step(x)], [twin.step(x)])


def test_the_whole_bench_makes_and_writes_a_table(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    words = ["--quick", "--table", "bfloat16", "--json", str(written)]
    words += ["--markdown", str(tmp_path / "bench.md")]
    done = subprocess.run(
        [sys.executable, str(TOOLS / "bench"), *words], check=True, capture_output=True, text=True
    )
    assert "largest difference" in done.stdout
    content = json.loads(written.read_text())
    assert content["tables"][0]["name"] == "bfloat16"
    assert content["machine"]["numpy"] == np.__version__
    assert content["machine"]["numpy"] in (tmp_path / "bench.md").read_text()


def test_every_table_has_its_maker(benching: None) -> None:
    from benching import tables

    for name, (module, _) in tables.TABLES.items():
        assert callable(getattr(importlib.import_module(f"benching.{module}"), name))


def test_a_network_that_diverges_is_found(benching: None) -> None:
    from benching import divergence

    rows = np.random.default_rng(0).normal(size=(500, divergence.INPUTS))
    kinds = dict(divergence.networks(1))
    assert len(kinds) == 2 * 2 * 3 * len(divergence.layers(1)) == 12 * 17
    assert all(divergence.holds(net, rows, 1000) for net in list(kinds.values())[::7])
    linear = rtlstm.Network(divergence.INPUTS, rtlstm.RNN(1, "identity"), 1)
    linear.parameters["layer0.R.a"][...] = 2.0
    assert not divergence.holds(linear, rows, 1000)


def test_a_short_soak_holds_and_a_fault_is_told(benching: None) -> None:
    from benching import soaking

    (decade,) = soaking.soak("learner", 8, 4)
    assert decade.steps == 10_000
    assert decade.finite
    assert not soaking.broken([replace(decade, ageing=1.0)])
    slower, fatter = replace(decade, ageing=1.03), replace(decade, ageing=1.0, resident=1e6)
    assert "1.030 of the young twin" in soaking.broken([slower])[0]
    assert "MiB" in soaking.broken([replace(decade, ageing=1.0), fatter])[0]
    assert "not finite" in soaking.broken([replace(decade, ageing=1.0, finite=False)])[0]
    assert "another way" in soaking.broken([replace(decade, ageing=1.0, diverged=2)])[0]


def test_counters_go_on_past_the_edges(benching: None) -> None:
    from benching import soaking

    assert all(count.right for count in soaking.counters(8))
