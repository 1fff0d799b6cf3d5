"""`rtlstm classify` and `rtlstm regress`: thin faces of what Python has."""

import csv
import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import rtlstm
import rtlstm.cli

ROWS = 120


def run(*words: object) -> tuple[int, str]:
    """The command in this process: exit code, and what it said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said), redirect_stdout(said):
        patch.setattr(sys, "argv", ["rtlstm", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            rtlstm.cli.main()
    return int(ended.value.code or 0), said.getvalue()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = []
    for i in range(ROWS):
        p, q = np.sin(i / 7), np.cos(i / 5)
        label = "" if i % 10 == 4 else ("high" if p + q > 0 else "low")
        lines.append(f"{60 * i},{p:.4f},{q:.4f},{label},{3 * p - q:.4f}\n")
    path = tmp_path / "table.csv"
    path.write_text("time,p,q,level,y\n" + "".join(lines))
    return path


def test_classes_are_told_and_learned(table: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "out.csv", tmp_path / "m"
    words = ("--label", "level", "--columns", "p,q", "--out", out, "--save", model)
    code, said = run("classify", table, *words)
    assert code == 0, said
    assert "accuracy" in said and f"{ROWS} rows learned" in said
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert list(rows[0]) == ["time", "high", "low"]
    same = rtlstm.Classifier(["p", "q"], ["high", "low"])
    for row, told in zip(csv.DictReader(io.StringIO(table.read_text())), rows, strict=True):
        verdict = same.update(
            [float(row["p"]), float(row["q"])], row["level"] or None, float(row["time"])
        )
        assert float(told["high"]) == pytest.approx(verdict.probabilities[0], rel=1e-6)
    assert rtlstm.load(model).classes == ("high", "low")


def test_numbers_are_told_and_learned(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    code, said = run("regress", table, "--label", "y", "--out", out)
    assert code == 0, said
    assert "skill y" in said and "left out: level (text)" in said
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    truths = [float(row["y"]) for row in csv.DictReader(io.StringIO(table.read_text()))]
    errors = [abs(float(told["y"]) - truth) for told, truth in zip(rows, truths, strict=True)]
    assert np.mean(errors[60:]) < 0.5 * np.mean(np.abs(np.diff(truths)))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["classify", "{}"], "--label"),
        (["classify", "{}", "--label", "levle"], "did you mean 'level'"),
        (["classify", "-", "--label", "level"], "--classes"),
        (["regress", "{}", "--label", "z"], "no column 'z'"),
        (["regress", "{}", "--label", "y", "--out", "{}"], "is the same file as SOURCE"),
    ],
)
def test_a_user_error_is_one_line(words: list[str], part: str, table: Path) -> None:
    code, said = run(*(word.format(table) for word in words))
    assert code in (1, 2)
    assert part in said and said.count("\n") == 1
