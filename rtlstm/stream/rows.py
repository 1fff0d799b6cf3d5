"""Rows of delimited text, of which a quote that is left open swallows none but its own."""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator

MOST_LINES = 64
"""Lines that a row may have, with line ends inside quotes."""
MOST_CHARACTERS = 1 << 17
"""Characters that a row of several lines may have."""

Cells = Callable[[Iterable[str], bool], Iterator[list[str]]]
"""Makes cells of lines; the second argument says whether quotes must be as they should be."""


class Rows:
    """The rows of these lines, as lists of cells.

    A quote may span lines, but not more than MOST_LINES nor MOST_CHARACTERS, nor the end, and what
    follows the closing one must be a separator. Else `csv.Error` is raised for the first line
    alone, and the next row begins behind that. cells: what makes cells of lines. at: the number of
    the line that was taken last. Memory: the lines of a row.
    """

    def __init__(
        self, lines: Iterable[str], cells: Cells, at: Callable[[], int] = lambda: 0
    ) -> None:
        self._lines, self._cells, self._at = iter(lines), cells, at
        self._again: deque[tuple[int, str]] = deque()
        self._taken: list[str] = []  # the lines of this row
        self._numbers: list[int] = []  # of all of them but the last
        self._replayed: int | None = None
        self._rows = cells(self._feed(), False)

    def __iter__(self) -> "Rows":
        return self

    def __next__(self) -> list[str]:
        taken = self._taken
        taken.clear()
        if self._numbers:
            self._numbers.clear()
        try:
            found = next(self._rows)
            if len(taken) > 1:
                next(self._cells(taken, True))
        except csv.Error:
            self.resume()
            raise
        return found

    @property
    def number(self) -> int:
        """The number of the line in which this row begins."""
        return self._numbers[0] if self._numbers else self._current()

    @property
    def text(self) -> str:
        """The first line of this row."""
        return self._taken[0] if self._taken else ""

    def resume(self) -> None:
        """Go on behind the first line of this row, whatever others were taken for a part of it."""
        numbers = [*self._numbers[1:], self._current()]
        self._again.extendleft(reversed(list(zip(numbers, self._taken[1:]))))
        del self._taken[1:], self._numbers[1:]
        self._rows = self._cells(self._feed(), False)

    def _current(self) -> int:
        return self._at() if self._replayed is None else self._replayed

    def _feed(self) -> Iterator[str]:
        """The lines, noted; when one is asked for and the row has some, a quote is open."""
        taken, again = self._taken, self._again
        while again:
            self._replayed, line = again.popleft()
            taken.append(line)
            yield line
            if taken:
                self._go_on()
        self._replayed = None
        for line in self._lines:
            taken.append(line)
            yield line
            if taken:
                self._go_on()
        if taken:
            raise csv.Error("the last row has an open quote")

    def _go_on(self) -> None:
        """Note where the row's last line stands; raises csv.Error if there are enough of them."""
        if len(self._taken) >= MOST_LINES or sum(map(len, self._taken)) > MOST_CHARACTERS:
            raise csv.Error("a quote stays open")
        self._numbers.append(self._current())
