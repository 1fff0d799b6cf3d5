"""`rtlstm detect`: scores, spells, measures and picture of a stream with a known anomaly."""

from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import rtlstm
from rtlstm.cli.commands import commands
from rtlstm.cli.detect_plot import DetectPlot

ROWS, ODD = 900, slice(700, 720)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detect") / "labelled.csv"
    t = np.arange(ROWS)
    rng = np.random.default_rng(0)
    values = np.stack([np.sin(0.2 * t), np.cos(0.2 * t)], axis=1) + 0.1 * rng.normal(size=(ROWS, 2))
    label = np.zeros(ROWS)
    values[ODD, 1], label[ODD] = 4.0, 1.0
    table = np.column_stack([values, label])
    np.savetxt(path, table, delimiter=",", header="a,b,odd", comments="")
    return path


def told(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(commands, ["detect", *map(str, words)])
    return found.exit_code, found.output + (str(found.exception) if found.exception else "")


def test_it_scores_measures_draws_and_goes_on(labelled: Path, tmp_path: Path) -> None:
    out, plot, model = (tmp_path / name for name in ("scores.csv", "run.png", "d.safetensors"))
    code, text = told(labelled, "--label", "odd", "--out", out, "--plot", plot, "--save", model)
    assert code == 0, text
    lines = out.read_text().splitlines()
    assert len(lines) == ROWS + 1 and "score" in lines[0]
    assert "rows 700 to" in text and " b " in text
    assert all(name in text for name in ("ROC-AUC", "VUS-PR", "range F1", "NAB standard"))
    assert plot.stat().st_size > 10_000
    assert rtlstm.load(model).rows == ROWS
    code, text = told(labelled, "--label", "odd", "--resume", model, "--limit", 50)
    assert code == 0 and "50 rows" in text


def test_what_does_not_fit_is_refused(labelled: Path, tmp_path: Path) -> None:
    code, text = told(labelled, "--label", "none")
    assert code == 1 and "no column 'none'" in text
    code, text = told(labelled, "--plot", tmp_path / "absent" / "run.png")
    assert code == 2 and "no directory" in text
    code, text = told(labelled, "--label", "a")
    assert code == 1 and "row 1: the label is neither 1" in text
    other = tmp_path / "f.safetensors"
    rtlstm.Forecaster(["a"], layers=rtlstm.LSTM(2)).save(other)
    code, text = told(labelled, "--resume", other)
    assert code and "Detector is needed" in text


def test_the_pictures_memory_is_bounded(tmp_path: Path) -> None:
    plot = DetectPlot(("a",))
    for t in range(5000):
        plot.add(np.array([float(t == 4321)]), 0.5)
    assert plot._high.shape == (1500, 1) and plot._high.max() == 1.0
    plot.mark(rtlstm.Spell(4321, 4322, 4321, 1.0, False), (rtlstm.Reason("a", "range", 1.0),))
    plot.save(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 5000
    assert isinstance(commands, click.Group)
