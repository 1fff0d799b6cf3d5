"""Options that do not go together are refused in one sentence, before the first row is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli.running import GOOD, MORE, contents, run

import rtlstm

STREAM = [
    (["--every", 5], "which is not given"),
    (["--continue"], "which is not given"),
    (["--publish", "t"], "mqtt://host/topic"),
    (["--home-assistant"], "mqtt://host/topic"),
    (["--resume-or-start", "s", "--resume", "m"], "leave out --resume"),
    (["--resume", "m", "--config", "config.toml"], "the model has its own"),
    (["--resume", "m", "--continue", "--append", "--out", "o"], "leave out --append"),
    (["--truth"], "--out, which is not given"),
    (["--watch"], "on a terminal"),
    (["--resume", "m", "--horizon", 3], "horizon"),
    (["--out", "."], "is a directory, not a file"),
    (["--out", "nowhere/o"], "no directory nowhere"),
    (["--plot", "run.txt"], ".txt"),
    *((["--group", "b", *option], "is for one model") for option in (
        ["--onnx", "m.onnx"], ["--plot", "p.png"], ["--report", "r"], ["--metrics", 0],
        ["--resume", "m", "--continue"],
    )),
    (["--resume", "."], "is a directory, not a file"),
    (["--save", "."], "is a directory, not a file"),
    (["--group", "b", "--resume", "m"], "with --group it is a folder of models"),
    (["--group", "b", "--out", "good.csv"], "it is a folder, not a file"),
    (["--group", "b", "--save", "nowhere/m"], "no directory nowhere"),
]  # fmt: skip


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "config.toml").write_text("lags = 2\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(("words", "message"), STREAM, ids=lambda value: str(value)[:60])
def test_stream_refuses(words: list[Any], message: str, here: Path) -> None:
    before = contents(here)
    done = run("good.csv", *words)
    said = " ".join(done.stderr.decode().replace("│", " ").split())
    assert done.returncode == 2 and message in said, said
    assert contents(here) == before


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        ("mqtt://localhost/t", ["--home-assistant"], "give it a topic"),
        ("mqtt://localhost/t", ["--resume", "m", "--continue"], "the broker knows"),
        ("host", ["--resume", "m", "--continue"], "host never does"),
    ],
)
def test_sources_that_are_no_files_refuse(
    source: str, words: list[Any], message: str, here: Path
) -> None:
    done = run(source, *words)
    assert done.returncode == 2 and message in done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("compare", ["--budget", "soon"], "90s, 10m or 1h"),
        ("compare", ["--methods", "magic"], "methods are"),
        ("classify", ["--label", "a,b"], "is one column"),
        ("detect", ["--resume", "detector"], "the detector watches b, absent"),
    ],
)
def test_other_commands_refuse(command: str, words: list[Any], message: str, here: Path) -> None:
    rtlstm.Detector(["a", "b"]).save("detector")
    (here / "one.csv").write_text("time,a\n1,2\n2,3\n")
    done = run("one.csv" if command == "detect" else "good.csv", *words, command=command)
    assert done.returncode == 2 and message in done.stderr.decode(), done.stderr


def test_a_group_is_resumed_with_its_columns_in_its_own_order(here: Path) -> None:
    rows = "".join(f"{60 * i},{i % 5},{i % 7},{'xy'[i % 2]}\n" for i in range(60))
    Path("both.csv").write_text("time,a,b,kind\n" + rows)
    done = run("both.csv", "--group", "kind", "--save", "models", "--limit", 40)
    assert done.returncode == 0, done.stderr
    assert rtlstm.load("models/x.safetensors").rows == 20
    turned = "".join(f"{6000 + 60 * i},{i % 7},{i % 5},x\n" for i in range(20))
    Path("turned.csv").write_text("time,b,a,kind\n" + turned)
    again = ["--group", "kind", "--resume", "models", "--save", "models", "--out", "forecasts"]
    done = run("turned.csv", *again)
    assert done.returncode == 0, done.stderr
    model = rtlstm.load("models/x.safetensors")
    assert model.rows == 40 and model.columns == ("a", "b")
    assert Path("forecasts/x.csv").exists()
    Path("empty.csv").write_text("time,a,b,kind\n")
    assert run("empty.csv", "--group", "kind", "--save", "models").returncode == 1
    assert rtlstm.load("models/x.safetensors").rows == 40


def test_more_groups_than_models_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtlstm.cli.groups.MOST", 3)
    done = run("good.csv", "--group", "b", "--save", "models")
    assert done.returncode == 1 and b"more than 3 values" in done.stderr
    saved = sorted(path.name for path in Path("models").iterdir())
    assert saved == [f"{k}.safetensors" for k in range(3)]  # where nothing stood


def test_a_source_that_lacks_columns_of_the_model_says_so(here: Path) -> None:
    Path("one.csv").write_text("time,a\n" + "".join(f"{6000 + 60 * i},{i}\n" for i in range(5)))
    done = run("one.csv", "--resume", "m", "--metrics", 0)
    assert done.returncode == 0 and b"missing in this source: b" in done.stderr
    assert b"/metrics" in done.stderr


def test_a_file_whose_newest_row_comes_first_is_said_to_be_so(here: Path) -> None:
    lines = GOOD.splitlines()
    Path("turned.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    done = run("turned.csv", "--save", "n")
    assert b"turn the file round" in done.stderr
    seen = run("turned.csv", command="inspect")
    assert "the newest row comes first" in seen.stdout


def test_rows_that_share_their_times_are_said_to_do_so(here: Path) -> None:
    rows = "".join(f"{6000 + 60 * k},{who},{k % 7}\n" for k in range(60) for who in ("a", "b"))
    Path("long.csv").write_text("time,who,t\n" + rows)
    for command in ("inspect", "stream"):
        done = run("long.csv", command=command)
        said = done.stdout if command == "inspect" else done.stderr.decode()
        assert "--group COL" in said and "newest" not in said


def test_inspect_tells_of_files_without_a_time_and_of_text(here: Path) -> None:
    rows = "".join(f"{k % 5},{'off' if k % 9 == 4 else k % 7},txt{k}\n" for k in range(90))
    Path("untimed.csv").write_text("a,b,name\n" + rows)
    seen = run("untimed.csv", command="inspect")
    assert seen.returncode == 0
    assert "time: none" in seen.stdout and "name (text)" in seen.stdout


def test_the_plan_of_every_kind_of_model_can_be_seen(here: Path) -> None:
    learner = rtlstm.Learner(rtlstm.Network(2, rtlstm.LSTM(3), 1))
    for model in (learner.net, learner, rtlstm.Fleet(learner, 2), rtlstm.Detector(["a"])):
        model.save("model")
        seen = run("model", "--plan", command="inspect")
        assert seen.returncode == 0 and "INPUTS" in seen.stdout, seen.stderr


def test_classes_are_counted_and_measured(here: Path) -> None:
    rows = "".join(f"{60 * i},{i % 5},{'high' if i % 5 > 2 else 'low'}\n" for i in range(80))
    Path("kinds.csv").write_text("time,a,kind\n" + rows)
    words = ["--label", "kind", "--save", "model", "--out", "answers.csv", "--limit", 70]
    done = run("kinds.csv", *words, command="classify")
    assert done.returncode == 0, done.stderr
    assert len(Path("answers.csv").read_text().splitlines()) == 71
    seen = run("model", command="inspect")
    assert "accuracy" in seen.stdout
    done = run("kinds.csv", "--label", "kind", command="classify")
    assert done.returncode == 0, done.stderr


def test_more_classes_than_make_sense_are_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtlstm.cli.label.MOST", 5)
    Path("many.csv").write_text("time,a,kind\n" + "".join(f"{i},{i},k{i}\n" for i in range(9)))
    done = run("many.csv", "--label", "kind", command="classify")
    assert done.returncode == 1 and b"5" in done.stderr


def test_a_label_among_the_columns_is_measured_against(here: Path) -> None:
    rows = "".join(f"{60 * i},{i % 5},{int(i in (30, 31))}\n" for i in range(60))
    Path("odd.csv").write_text("time,a,odd\n" + rows)
    words = ["--columns", "a", "--label", "odd", "--save", "detector"]
    done = run("odd.csv", *words, command="detect")
    assert done.returncode == 0 and "ROC" in done.stdout, (done.stdout, done.stderr)


def test_a_run_goes_on_from_where_it_stopped(here: Path) -> None:
    Path("more.csv").write_text(GOOD + MORE.split("\n", 1)[1])
    words = ["--resume-or-start", "service", "--continue", "--out", "f.csv"]
    for source, rows, code in (("good.csv", 40, 0), ("more.csv", 80, 0), ("more.csv", 80, 1)):
        done = run(source, *words)
        assert done.returncode == code, done.stderr
        assert rtlstm.load("service").rows == rows
    assert b"no row was learned" in done.stderr
    assert len(Path("f.csv").read_text().splitlines()) == 81
