"""Runs commands in this process, over a small table that a model was trained on."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import rtlstm.cli

ROWS = 40
GOOD = "time,a,b\n" + "".join(f"{60 * i},{i % 5},{i % 7}\n" for i in range(ROWS))
MORE = "time,a,b\n" + "".join(f"{60 * i},{i % 5},{i % 7}\n" for i in range(ROWS, 2 * ROWS))


class Done(NamedTuple):
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: bytes


def run(*words: object, command: str = "stream") -> Done:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["rtlstm", command, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            rtlstm.cli.main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue().encode())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in the folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
