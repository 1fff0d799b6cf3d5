"""What becomes of a row that cannot be read: an error, or counted and passed over."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from rtlstm.errors import SourceError

OnError = Literal["raise", "skip"]
DeadLetter = Callable[[str, str], None]
"""Called with the message and the raw text of a row that is passed over."""


class Rejects:
    """The policy of one source and its counts by reason.

    Messages name places and kinds, never the content of a cell: readings may be confidential, and
    messages end up in logs. Only the dead-letter hook is given the text.
    """

    def __init__(self, where: str, on_error: OnError, dead_letter: DeadLetter | None) -> None:
        if on_error not in ("raise", "skip"):
            raise SourceError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.where = where
        self.counts: Counter[str] = Counter()
        self._raises = on_error == "raise"
        self._dead_letter = dead_letter

    def reject(self, reason: str, message: str, raw: str) -> None:
        """Raise `SourceError` with the message, or count the reason and hand the text on."""
        message = f"{self.where}: {message}"
        if self._raises:
            raise SourceError(f"{message}; the rows before it were read")
        self.counts[reason] += 1
        if self._dead_letter is not None:
            self._dead_letter(message, raw)
