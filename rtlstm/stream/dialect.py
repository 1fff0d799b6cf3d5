"""How a file of delimited text is laid out: separator, comments, preface, header, units, rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from rtlstm.errors import SourceError
from rtlstm.kernels.frozen import frozen
from rtlstm.stream.heads import (
    full_names,
    header_among,
    is_head,
    is_typed,
    names_time,
    stripped,
    trailing_block,
)
from rtlstm.stream.rows import Cells, Rows
from rtlstm.stream.time_names import says_time
from rtlstm.stream.values import is_missing

BLANKS = " "
"""Runs of blanks as a separator."""
_SEPARATORS = (",", ";", "\t", "|", BLANKS, "  ")
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", BLANKS: "blanks",
          "  ": "wide blanks"}  # fmt: skip
_UNNAMED = ("\t", ";", "|", "  ")
"""Separators that hardly any name contains, so that a name is not two."""
_HEADS = 3  # lines: a header, units and a row
_JUDGED = 200  # lines


@frozen
class Layout:
    """Where what stands. skip: lines before the first row, header and units among them.

    names: of the cells of a row, "" for a cell without one. width: cells of a row. header: its
    cells as they stand, to know them again; None where there is none.
    """

    separator: str
    quote: str
    comment: str
    skip: int
    names: tuple[str, ...]
    header: tuple[str, ...] | None
    units: tuple[str, ...] | None
    trailing: int
    row_names: bool

    @property
    def width(self) -> int:
        """Cells of a row, those behind trailing separators not counted."""
        return len(self.names)

    def __str__(self) -> str:
        return _WORDS[self.separator]


def splitter(separator: str, quote: str = '"') -> Cells:
    """What makes cells of lines; raises csv.Error for a line that is none."""
    if separator == BLANKS:
        return lambda lines, strict: csv.reader(
            map(_single_blanks, lines), delimiter=" ", quotechar=quote, strict=strict
        )
    if separator == "  ":
        return lambda lines, strict: (re.split(r"\s{2,}|\t", line.strip()) for line in lines)
    return lambda lines, strict: csv.reader(
        lines, delimiter=separator, quotechar=quote, skipinitialspace=True, strict=strict
    )


def _single_blanks(line: str) -> str:
    """A line with one blank for each run of them; a tab is none."""
    return " ".join(part for part in line.strip("\r\n ").split(" ") if part)


def lay_out(lines: Sequence[str], where: str, ended: bool) -> Layout | None:
    """The layout of a file that starts with these lines; None while no row is among them.

    ended: whether nothing follows, so that a header alone is a table without rows. Raises
    `SourceError` if the lines are no table.
    """
    named, skipped = _named_separator(lines)
    lines = lines[skipped:]
    comment, first = _comments(lines)
    body = [line for line in lines[first:] if not (comment and line.lstrip().startswith(comment))]
    if not body:
        return _alone(lines, where, ended, first)
    quote = "'" if _single_quoted(body) else '"'
    separator = named or _separator(body[:_JUDGED], quote)
    rows = _split(body, separator, quote)
    found = _table(rows, list(_commented(lines[:first], comment, separator, quote)))
    if found is None and not ended:
        return None
    header, before, units, width = found or (rows[0], 1, None, len(rows[0]))
    if found is None and width == 1 and len(rows) > 1:
        width = len(rows[0])
    skip = skipped + first + before
    return _layout(where, separator, quote, comment, skip, header, units, rows[before:], width)


def _alone(lines: Sequence[str], where: str, ended: bool, first: int) -> Layout | None:
    if not ended:
        return None
    raise SourceError(f"{where}: no header line; a line of column names was expected")


def _named_separator(lines: Sequence[str]) -> tuple[str | None, int]:
    """What a first line such as `sep=;` says, as spreadsheets write it, and lines it takes."""
    found = re.fullmatch(r"\"?sep=(.)\"?\s*", lines[0]) if lines else None
    return (found[1], 1) if found else (None, 0)


def _comments(lines: Sequence[str]) -> tuple[str, int]:
    """The mark of comment lines at the start, and how many there are."""
    for mark in ("#", "//", "%", "!", ";"):
        count = 0
        for line in lines:
            if not line.lstrip().startswith(mark):
                break
            count += 1
        if count and (mark != ";" or count < len(lines)):
            return mark, count
    return "", 0


def _commented(
    lines: Sequence[str], comment: str, separator: str, quote: str
) -> Iterator[list[str]]:
    """Comment lines as cells: the header may be one."""
    if comment:
        yield from _split(
            [line.lstrip().removeprefix(comment).lstrip() for line in lines], separator, quote
        )


def _single_quoted(lines: Sequence[str]) -> bool:
    some = lines[:20]
    return all('"' not in line and line.count("'") >= 4 for line in some)


def _split(lines: Sequence[str], separator: str, quote: str) -> list[list[str]]:
    """Cells of each row; a line whose quotes are wrong is cut without regard to them."""
    if separator == "  " or not any(quote in line for line in lines):
        return [_cells(line, separator, quote) for line in lines]
    found = []
    rows = Rows(lines, splitter(separator, quote))
    while True:
        try:
            found.append(next(rows))
        except csv.Error:
            found.append(rows.text.rstrip("\r\n").split(separator))
        except StopIteration:
            return found


def _cells(line: str, separator: str, quote: str) -> list[str]:
    try:
        return next(splitter(separator, quote)([line], False), [""])
    except csv.Error:
        return [""]


def _separator(lines: Sequence[str], quote: str) -> str:
    """The separator that splits these lines most evenly into cells that mean something."""
    return max(_SEPARATORS, key=lambda mark: _score(lines, mark, quote))


def _score(lines: Sequence[str], mark: str, quote: str) -> float:
    try:
        rows = _split(lines, mark, quote)
    except csv.Error:
        return 0.0
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda item: (item[1], -item[0]))
    if width < 2:
        return 1e-3 * (len(rows[0]) > 1 and mark.strip() != "") + 1e-4 * (mark == ",")
    cells = [cell for row in rows if len(row) == width for cell in row]
    typed = sum(0.3 if not cell.strip() else 1.0 * (is_typed(cell) or is_missing(cell))
                for cell in cells)  # fmt: skip
    near_widths = (width, width - 1) if width > 2 else (width,)
    near = any(len(row) in near_widths and is_head(row) for row in rows[:30])
    fits = 1.0 if near else 0.7  # of two ways, the one that splits the header likewise
    return fits * count / len(rows) * (width - 1) / width * (0.1 + typed / len(cells))


def _table(
    rows: Sequence[list[str]], commented: Sequence[list[str]]
) -> tuple[list[str] | None, int, list[str] | None, int] | None:
    """Header, how many rows lie before the first one of values, units, and cells of a row."""
    width = max(Counter(map(len, rows)).items(), key=lambda item: (item[1], item[0]))[0]
    typed = _typed_columns(rows, width)
    if not any(typed):
        return None
    first = next((k for k, row in enumerate(rows) if _is_row(row, typed)), None)
    if first is None:
        return None
    before = [(k, row) for k, row in enumerate(rows[:first])]
    heads = trailing_block(before, width)
    if not heads:
        near = [row for row in commented if len(row) in (width, width - 1) and is_head(row)]
        if near:
            timed = (k for k, row in enumerate(near) if names_time(row))
            chosen = next(timed, len(near) - 1)
            units = near[chosen + 1] if chosen + 1 < len(near) else None
            return near[chosen], first, units, width
        odd = rows[first - 1] if first else []
        return odd if len(odd) > 1 and is_head(odd) else None, first, None, width
    chosen = header_among(heads)
    at, header = heads[chosen][0], full_names([row for _, row in heads], chosen)
    after = heads[chosen + 1 :]
    units = after[0][1] if after else None
    skip = at + 1
    while skip < first and _looks_like_units(rows[skip], width, typed):
        skip += 1
    if skip == at + 1 or units == header:  # the header once more says no units
        units = None
    return header, skip, units, max(width, len(stripped(header)))


def _typed_columns(rows: Sequence[list[str]], width: int) -> list[bool]:
    """Which columns hold numbers, times or truths in most rows.

    Behind a header and units, the first row of a live stream is no majority: it is believed if
    every cell of it is of such a kind.
    """
    full = [row for row in rows if len(row) == width][-_JUDGED:]
    if 1 < len(full) <= _HEADS and all(is_typed(c) or is_missing(c) for c in full[-1]):
        return [is_typed(cell) for cell in full[-1]]
    typed = []
    for cells in zip(*full):
        known = [cell for cell in cells if not is_missing(cell)]
        good = sum(map(is_typed, known))
        typed.append(bool(known) and (2 * good > len(known) or (2 * good >= len(known) > 1)))
    return typed


def _is_row(row: Sequence[str], typed: Sequence[bool]) -> bool:
    """Whether a row's cells are what they are in most rows."""
    if len(row) != len(typed):
        return False
    return all(is_typed(cell) or is_missing(cell) for cell, yes in zip(row, typed) if yes)


def _looks_like_units(row: Sequence[str], width: int, typed: Sequence[bool]) -> bool:
    """Whether a row under the header is one of units or words, and no broken row of values."""
    if len(row) not in (width, width - 1):
        return False
    wrong = sum(yes and not (is_typed(cell) or is_missing(cell)) for cell, yes in zip(row, typed))
    right = sum(yes and is_typed(cell) for cell, yes in zip(row, typed))
    return wrong > 0 and right == 0


def _layout(
    where: str, separator: str, quote: str, comment: str, skip: int, header: Sequence[str] | None,
    units: Sequence[str] | None, rows: Sequence[list[str]], width: int,
) -> Layout:  # fmt: skip
    """Names over the cells of a row, whatever the header lacks or has too much of."""
    trailing = 0
    widest = Counter(map(len, rows)).most_common(1)[0][0] if rows else width
    if header is None:
        while widest - trailing > 1 and rows and all(
            len(row) == widest and not row[-1 - trailing].strip() for row in rows[:50]
        ):  # fmt: skip
            trailing += 1
        names = [f"column{k + 1}" for k in range(widest - trailing)]
        return Layout(separator, quote, comment, skip, tuple(names), None, None, trailing, False)
    names = [_clean(cell) for cell in header]
    if separator in _UNNAMED and len(rows) >= _HEADS:
        del names[max(map(len, rows)) :]  # as of comments, which none of the rows has
    full = [row for row in rows[:200] if len(row) == widest]
    empty_end = bool(full) and all(not row[-1].strip() for row in full)
    row_names = False
    if widest == len(names) + 1 and not empty_end:
        if separator == BLANKS and full and _date_and_clock(full[0], names):
            names.insert(names.index(next(filter(says_time, names))) + 1, "(clock)")
        else:
            row_names = True
            names.insert(0, "")
    elif widest > len(names) and full:
        more = widest - len(names)
        if not all(not cell.strip() for row in full for cell in row[-more:]):
            raise SourceError(
                f"{where}: a header of {len(names)} names over rows of {widest} cells; name the"
                " missing columns in the file's header"
            )
        trailing = more
    while names and not names[-1] and len(names) > 1 and all(
        not row[len(names) - 1].strip() for row in full if len(row) >= len(names)
    ):  # fmt: skip
        names.pop()
        trailing += 1
    names = _distinct([name or (f"column{k + 1}" if k else "") for k, name in enumerate(names)])
    return Layout(
        separator, quote, comment, skip, tuple(names), tuple(header),
        tuple(units) if units else None, trailing, row_names,
    )  # fmt: skip


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with .2, .3 … behind those that stand there already."""
    found: list[str] = []
    for name in names:
        free = (f"{name}.{k}" for k in range(2, len(names) + 2))
        found.append(next(n for n in free if n not in names and n not in found)
                     if name and name in found else name)  # fmt: skip
    return found


def _date_and_clock(row: Sequence[str], names: Sequence[str]) -> bool:
    """Whether one name of a time stands over a date and a clock that a blank parts."""
    at = next((k for k, name in enumerate(names) if says_time(name)), None)
    return at is not None and at + 1 < len(row) and bool(re.match(r"\d{1,2}:\d\d", row[at + 1]))


def _clean(name: str) -> str:
    return " ".join(name.strip().strip("\ufeff").split())
