"""The page that a person sees of a running stream, drawn in a test's own process."""

import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rtlstm.cli import progress


class Terminal(io.StringIO):
    """What a console takes for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_page_is_drawn_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")

    def table(title: str) -> Any:
        made = progress.titled(title)
        made.add_column("column")
        made.add_row("cell")
        return made

    with progress.Progress(SimpleNamespace(table=table)) as drawn:
        assert not drawn.due()
        later = time.monotonic() + 1.0
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert drawn.due()
        drawn.draw(1234)
        assert not drawn.due()
    seen = terminal.getvalue()
    assert "Preparing the kernels" in seen and "1,234 rows" in seen and "rows/s" in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor is given back


def test_without_a_terminal_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.Progress(SimpleNamespace(table=progress.titled)) as drawn:
        drawn.draw(5)
        assert not drawn.due()
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_scores_stand_beside_those_of_the_last_value(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    def score(number: int) -> Any:
        return SimpleNamespace(label=f"c{number}+1", mse=4.0, persistence_mse=16.0, skill=0.75)

    monkeypatch.setattr(progress, "scores", lambda model: [score(k) for k in range(10)])
    console = Console(file=io.StringIO(), width=100)
    console.print(progress.Scores(SimpleNamespace()).table("5 rows"))  # type: ignore[arg-type]
    page = console.file.getvalue()  # type: ignore[attr-defined]
    assert page.count("+75.0%") == progress.TARGETS and "… and 2 more" in page
    assert "c0+1" in page and "c8+1" not in page


def test_the_memory_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    size = progress.resident_mib()
    assert size is not None and size > 1.0

    def fail(path: Path, *_: Any, **__: Any) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", fail)
    highest = progress.resident_mib()
    assert highest is not None and highest > 1.0
    monkeypatch.setitem(sys.modules, "resource", None)
    assert progress.resident_mib() is None
