"""What the tests of the command line share."""

from pathlib import Path

import pytest
from cli.running import GOOD, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table, a model that was trained on it, and the forecasts."""
    (tmp_path / "good.csv").write_text(GOOD)
    done = run(tmp_path / "good.csv", "--save", tmp_path / "m", "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    return tmp_path
