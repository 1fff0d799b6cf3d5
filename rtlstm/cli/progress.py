"""What a person at a terminal sees of a running stream."""

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from rtlstm.cli.scores import scores

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from rtlstm.models.forecaster import Forecaster

TARGETS = 8
"""Lines of a table, beyond which the rest is counted."""

_REFRESH = 0.25
_WAITING = "Preparing the kernels, which are compiled once on a machine …"


class Page(Protocol):
    """What is drawn of a run."""

    def table(self, title: str) -> "Table":
        """The page of this moment, under its title."""


class Progress:
    """A page on standard error, drawn at most four times a second; nothing if no terminal."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._started = self._drawn = time.monotonic()
        self._live: Live | None = None
        if sys.stderr.isatty():
            from rich import console, live

            self._live = live.Live(console=console.Console(stderr=True), auto_refresh=False)
            self._live.start()
            self._live.update(_WAITING, refresh=True)

    def due(self) -> bool:
        """Whether it is time to draw; cheap enough to ask at every sample."""
        return self._live is not None and time.monotonic() - self._drawn >= _REFRESH

    def draw(self, rows: int) -> None:
        """Draw the page, `rows` rows being done so far."""
        if self._live is not None:
            self._drawn = time.monotonic()
            rate = rows / max(self._drawn - self._started, 1e-9)
            size = resident_mib()
            memory = "" if size is None else f"   {size:.0f} MiB"
            title = f"{rows:,} rows   {rate:,.0f} rows/s{memory}"
            self._live.update(self._page.table(title), refresh=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave the last drawing on the screen and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Scores:
    """Where the errors of each target and horizon stand."""

    def __init__(self, forecaster: "Forecaster") -> None:
        self._forecaster = forecaster

    def table(self, title: str) -> "Table":
        """Errors so far, beside those of the last value repeated."""
        found, table = scores(self._forecaster), titled(title)
        table.add_column("target")
        for heading in ("error (RMS)", "last value repeated", "skill"):
            table.add_column(heading, justify="right")
        for score in found[:TARGETS]:
            errors = (f"{math.sqrt(mse):.4g}" for mse in (score.mse, score.persistence_mse))
            table.add_row(score.label, *errors, f"{score.skill:+.1%}")
        if len(found) > TARGETS:
            table.add_row(f"… and {len(found) - TARGETS} more")
        return table


def titled(title: str) -> "Table":
    """An empty table under a title."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)


def resident_mib() -> float | None:
    """Resident size of this process in MiB, its highest so far where the system tells that alone.

    None where it tells neither.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20
