"""Which of the first rows is the header, and what its names are."""

import re
from collections.abc import Sequence

from rtlstm.stream.time_names import parts_of_time, says_time
from rtlstm.stream.values import without_unit

_TYPED = re.compile(
    r"[+-]?(?:\d[\d.,'’ \u00a0\u2009\u202f]*|[.,]\d+)(?:[eEdD][+-]?\d+)?%?"
    r"|(?=\d|[+-]\d)(?:[\d:/.\-+T _Z年月日时分秒]|, )+(?: ?[AaPp]\.?[Mm]\.?)?"
    r"(?: ?(?:UTC|GMT|[A-Z]{3,4}))?"
    r"|\d{1,2}[-/. ]?[A-Za-z]{3,9}[-/. ,]+\d{2,4}.*|[A-Za-z]{3,9} \d{1,2},? \d{4}.*"
    r"|true|false|on|off",
    re.IGNORECASE,
)
_MOST_HEADS = 4  # rows: names, units, kinds of averages
_PLAIN = re.compile(r"\d+(?:[._]\d+)?")


def is_typed(cell: str) -> bool:
    """Whether a cell is a number, a date, a time or a truth by its looks."""
    return _TYPED.fullmatch(without_unit(cell.strip())) is not None


def trailing_block(
    before: Sequence[tuple[int, list[str]]], width: int
) -> list[tuple[int, list[str]]]:
    """The rows right before the first one of values that have about as many cells as that."""
    block: list[tuple[int, list[str]]] = []
    for at, row in reversed(before):
        index = not block and len(row) == width and names_time(row)  # the level of names below all
        many = width if index else len(stripped(row))
        if width > 1 and many < width - 1 and len(row) not in (width, width - 1):
            break
        if width > 2 and many <= 1:
            break
        block.insert(0, (at, row))
    while len(block) > 1 and not (is_head(block[0][1]) or _is_labelled(block[0][1])):
        block.pop(0)
    return block


def stripped(row: Sequence[str]) -> Sequence[str]:
    """A row without empty cells at its end."""
    end = len(row)
    while end and not row[end - 1].strip():
        end -= 1
    return row[:end]


def is_head(row: Sequence[str]) -> bool:
    """Whether the cells of a row are words, as the names of columns are."""
    return not any(is_typed(cell) for cell in row) and any(cell.strip() for cell in row)


def names_time(row: Sequence[str]) -> bool:
    return any(map(says_time, row)) or bool(parts_of_time(row))


def header_among(heads: Sequence[tuple[int, list[str]]]) -> int:
    """Which of several rows of words is the header: one that names a time, else the fullest one.

    Of several that are as full it is the first, behind which are units; but a header has no more
    than a few such rows under it, and what has is a list of settings.
    """
    for fits in (is_head, _is_labelled):
        for k, (_, row) in enumerate(heads):
            if names_time(row) and fits(row):
                return k
    many = [sum(bool(cell.strip()) for cell in row) for _, row in heads]
    fullest = [k for k, count in enumerate(many) if count == max(many)]
    return fullest[0] if len(fullest) <= _MOST_HEADS else fullest[-1]


def _is_labelled(row: Sequence[str]) -> bool:
    """Whether a row names a time, and else has words or plain numbers: of depths, bands, channels.

    A line about the file, as `Date 2024/03/01`, has the date itself.
    """
    return names_time(row) and not any(
        is_typed(cell) and _PLAIN.fullmatch(without_unit(cell.strip())) is None for cell in row
    )


def full_names(rows: Sequence[Sequence[str]], chosen: int) -> list[str]:
    """The cells of the chosen row of several, with those of the others above it where it has none.

    As tables with levels of names have them: a row of prices, one of tickers, one for the index.
    """
    names = list(rows[chosen])
    above = [row for row in rows[:chosen] if len(row) == len(names)]
    for place, name in enumerate(names):
        if not name.strip() and place:
            names[place] = " ".join(row[place].strip() for row in above if row[place].strip())
    return names
