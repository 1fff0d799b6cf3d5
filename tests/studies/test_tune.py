"""The search of settings: judged on rows that it has not seen, resumed, written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.cli import main
from rtlstm.studies.compare.recording import Recording
from rtlstm.studies.tune import space
from rtlstm.studies.tune.config import read_config
from rtlstm.studies.tune.search import tune

pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore")


def stream(rows: int = 900) -> Recording:
    """Two waves with noise."""
    r, t = np.random.default_rng(0), np.arange(rows)
    values = np.stack([np.sin(t / 4), np.cos(t / 9)], axis=1) + 0.1 * r.normal(size=(rows, 2))
    return Recording(("a", "b"), values, np.full(rows, np.nan))


def test_a_search_never_sees_the_rest() -> None:
    whole = stream()
    changed = whole.rows.copy()
    changed[400:] = 7.0
    first = tune(whole, trials=4, searched=400)
    second = tune(Recording(whole.columns, changed, whole.times), trials=4, searched=400)
    assert first.settings == second.settings and first.mse != second.mse


def test_its_figures_are_those_of_the_forecasters() -> None:
    recording = stream()
    found = tune(recording, targets=["b"], horizon=2, trials=3, searched=400)
    model = rtlstm.Forecaster(["a", "b"], ["b"], horizon=[2])
    made = model.run(recording.rows)[:, 0, 0]
    truth = recording.rows[:, 1]
    mse = np.mean(((truth[400:] - made[398:-2]) / truth[:400].std()) ** 2)
    assert found.default_mse == pytest.approx(mse, rel=1e-12)
    if found.settings == space.DEFAULT:
        assert found.sentence().startswith("The defaults")
    assert found.settings in (space.DEFAULT, found.best)


def test_a_journal_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "search.log"
    assert tune(stream(500), trials=2, searched=200, journal=journal).trials == 2
    assert tune(stream(500), trials=3, searched=200, journal=journal).trials == 3
    with pytest.raises(rtlstm.SpecError, match="other rows"):
        tune(stream(500), trials=3, searched=210, journal=journal)


def test_a_gain_that_chance_explains_changes_nothing() -> None:
    """On noise no settings are better than others, and some trial is always the best."""
    noise = np.random.default_rng(3).normal(size=(600, 1))
    recording = Recording(("a",), noise, np.full(600, np.nan))
    found = tune(recording, trials=6, searched=300)
    assert found.settings == space.DEFAULT and not found.better
    assert found.sentence().startswith("The defaults are")
    assert "units = 32" in found.toml()


def test_settings_are_written_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, config = tmp_path / "data.csv", tmp_path / "best.toml"
    data.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in stream(500).rows))
    words = ["tune", data, "--target", "b", "--trials", "2", "--search", "300", "--out", config]
    assert call(monkeypatch, words) == 0
    assert "Best of 2 trials on the first 300 rows" in capsys.readouterr().out
    model = rtlstm.Forecaster(["a", "b"], **read_config(config))
    assert model.targets == ("b",) and model.horizons == (1,)
    assert call(monkeypatch, ["stream", data, "--config", config, "--limit", "30"]) == 0


@pytest.mark.parametrize(
    "text",
    ["", "[forecaster", "[other]\n", "[forecaster]\nunit = 3\n", "[forecaster]\nunits = 3.5\n",
     '[forecaster]\ncell = "LSTM"\n'],
)  # fmt: skip
def test_a_wrong_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(rtlstm.SpecError):
        read_config(tmp_path / "c.toml")


def test_wrong_arguments_are_refused() -> None:
    for wrong in ({"searched": 900}, {"searched": 10}, {"jobs": 2}, {"targets": ["c"]}):
        with pytest.raises(rtlstm.SpecError):
            tune(stream(), **wrong)


def call(monkeypatch: pytest.MonkeyPatch, words: list[Any]) -> int:
    """The exit code of the command."""
    monkeypatch.setattr("sys.argv", ["rtlstm", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
