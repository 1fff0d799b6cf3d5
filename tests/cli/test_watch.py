"""The live view: what a person at a terminal sees of values, forecasts and bounds."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rtlstm
from rtlstm.cli.watch import Watch, spark
from rtlstm.models.forecaster import Forecast

ROWS = 400


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("watch") / "waves.csv"
    t = np.arange(ROWS)
    table = np.column_stack([np.sin(0.1 * t), 5.0 + np.cos(0.07 * t)])
    np.savetxt(path, table, delimiter=",", header="sin,cos", comments="")
    return path


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "rtlstm", "stream", *map(str, words)]


def at_a_terminal(*words: object, width: int = 120) -> tuple[subprocess.Popen[bytes], int]:
    """A run whose standard error is a terminal, and the end of it to read from."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "LINES": "40", "TERM": "xterm"}
    run = subprocess.Popen(command(*words), stdin=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    return run, ours


def read_all(terminal: int) -> str:
    seen = b""
    try:
        while part := os.read(terminal, 65536):
            seen += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(terminal)
    return seen.decode()


def test_values_forecasts_and_bounds_are_seen(waves: Path) -> None:
    run, terminal = at_a_terminal(waves, "--watch")
    with run:
        seen = read_all(terminal)
    assert run.returncode == 0
    for part in (f"{ROWS} rows", "rows/s", "MiB", "anomaly", "forecast", "between", "skill"):
        assert part in seen
    assert "sin+1" in seen and "cos+1" in seen
    assert "█" in seen and "▁" in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor is given back


def test_the_screen_is_left_whole_by_ctrl_c(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    run, terminal = at_a_terminal("-", "--watch", "--save", model)
    seen = b""
    deadline = time.monotonic() + 60
    with run:
        assert run.stdin
        run.stdin.write(b"a\n" + b"1\n2\n3\n" * 20)
        run.stdin.flush()
        while b"rows/s" not in seen:  # a page was drawn
            assert time.monotonic() < deadline and run.poll() is None
            run.stdin.write(b"1\n")
            run.stdin.flush()
            if select.select([terminal], [], [], 0.05)[0]:
                seen += os.read(terminal, 65536)
        run.send_signal(signal.SIGINT)
        rest = read_all(terminal)
    assert run.returncode == 0
    assert "Traceback" not in rest and "\x1b[?25h" in rest
    assert rtlstm.load(model).rows >= 1


def test_without_a_terminal_it_is_refused_in_one_line(waves: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    done = subprocess.run(
        command(waves, "--watch", "--save", model), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--watch draws on a terminal" in done.stderr and done.stderr.count("\n") == 1
    assert not model.exists()


def told(value: float, anomaly: float = 0.0) -> Forecast:
    at = np.array([[value]])
    return Forecast(at, at - 1.0, at + 1.0, anomaly)


def cells(watch: Watch) -> list[list[str]]:
    return [list(map(str, column.cells)) for column in watch.table("").columns]


def test_a_value_stands_beside_what_was_forecast_of_it() -> None:
    watch = Watch(rtlstm.Forecaster(["a"], horizon=[2], lags=2, layers=rtlstm.LSTM(2)))
    assert cells(watch) == [[]] * 7
    for value in (1.0, 2.0):
        watch.see(np.array([value]), told(10.0 * value))
    assert cells(watch)[2:6] == [["2"], ["-"], ["20"], ["19 … 21"]]
    watch.see(np.array([3.0]), told(30.0, anomaly=0.9995))
    assert cells(watch)[2:6] == [["[red]3[/red]"], ["10"], ["30"], ["29 … 31"]]
    assert "[red]0.9995[/red]" in str(watch.table("").title)


def test_many_targets_are_counted_and_gaps_are_gaps() -> None:
    names = [f"c{i}" for i in range(11)]
    watch = Watch(rtlstm.Forecaster(names, lags=2, layers=rtlstm.LSTM(2)))
    one = np.zeros((1, 11))
    watch.see(np.full(11, np.nan), Forecast(one, one, one, 0.0))
    found = cells(watch)
    assert len(found[0]) == 9 and found[0][-1] == "… and 3 more"
    assert set(found[2][:8]) == {"-"}


def test_a_spark_is_a_character_a_value() -> None:
    assert spark(np.array([0.0, 7.0, np.nan, 3.0])) == "▁█ ▄"
    assert spark(np.array([2.0, 2.0])) == "▁▁"
    assert spark(np.array([np.nan])) == " "
