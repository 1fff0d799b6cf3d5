"""What was learned, written again and again: an attempt that fails is told, and the run goes on."""

from collections.abc import Callable

import click

from rtlstm.cli import message_of
from rtlstm.errors import ModelFileError, SinkError


class Checkpoints:
    """Attempts to write what was learned.

    write: does it, or raises. A ModelFileError (the disk is full, the folder may not be written,
    the model could not be loaded again) leaves the file that was there; it is said on standard
    error, once until an attempt succeeds, and the next attempt makes it good. So does a SinkError
    where waits() says that forecasts wait for room.
    """

    def __init__(self, write: Callable[[], None], waits: Callable[[], bool]) -> None:
        self._write, self._waits = write, waits
        self.failed = 0
        """Attempts that failed, of all."""
        self.fault: ModelFileError | SinkError | None = None
        """What the last attempt failed of; None if it succeeded."""

    def attempt(self, rows: int, last: bool = False) -> bool:
        """Write what was learned after so many rows; whether that succeeded."""
        before, self.fault = self.fault, None
        try:
            self._write()
        except ModelFileError as fault:
            self.fault = fault
        except SinkError as fault:
            if not self._waits():
                raise
            self.fault = fault
        if self.fault is not None:
            self.failed += 1
            if before is None:
                more = "" if last else "; learning goes on"
                _say(f"checkpoint after {rows:,} rows failed: {message_of(self.fault)}{more}")
        elif before is not None:
            _say(f"checkpoint after {rows:,} rows is written again")
        return self.fault is None


def _say(message: str) -> None:
    click.echo(f"rtlstm: {' '.join(message.split())}", err=True)
