"""What a look at the first rows decides: values, time, what is left out, how cells are written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from itertools import pairwise

from rtlstm.errors import SourceError
from rtlstm.kernels.frozen import frozen
from rtlstm.stream.clock import Clock
from rtlstm.stream.time_columns import Asked, Table, choose_clock
from rtlstm.stream.time_names import says_row_number
from rtlstm.stream.values import (
    TRUTHS,
    check_known,
    check_names,
    decimal_mark,
    is_missing,
    number,
)

_ENOUGH = 20
"""Rows from which a column without a value is taken for an empty one."""
_OFTEN, _LONGEST = 3, 3
"""How often a code stands among numbers, and its letters at most, if it means a missing value."""


@frozen
class Options:
    """How a user wants a source to be read; what is not said, the first rows tell.

    columns: the values, in this order. time: the columns of the time, () for none. time_format:
    strptime's directives, s, ms, us, ns, day-first or month-first. time_zone: of times that say
    none. missing: numbers and words that stand for missing values. encoding: of the text. partial:
    of the columns, those that there are, if there is one. group: the column whose text is the
    `key` of a sample.
    """

    columns: tuple[str, ...] | None = None
    time: tuple[str, ...] | None = None
    time_format: str | None = None
    time_zone: str | None = None
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    partial: bool = False
    group: str | None = None

    @property
    def asked(self) -> Asked:
        """What is said of the time."""
        return Asked(self.time, self.time_format, self.time_zone)


@frozen
class Reading:
    """The decision. columns: names of the values; kinds: number or truth, a column each."""

    columns: tuple[str, ...]
    places: tuple[int, ...]
    kinds: Mapping[str, str]
    clock: Clock | None
    left_out: Mapping[str, str]
    decimal: str = "."
    format: str = ""
    missing: tuple[str, ...] = ()
    """Words that are missing values by how often they stand among numbers, in lower case."""
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """One line for a person."""
        parts = [f"time: {self.clock or 'none'}", f"values: {_brief(self.columns)}"]
        if self.left_out:
            shown = [f"{name} ({why})" for name, why in self.left_out.items()]
            parts.append(f"left out: {_brief(shown)}")
        if self.missing:
            parts.append(f"missing: {', '.join(self.missing)}")
        return "; ".join([*([self.format] if self.format else []), *parts, *self.notes])


def decide(table: Table, options: Options, separator: str = ",", whole: bool = False) -> Reading:
    """Decide how a table is read from its first rows; raises `SourceError`.

    separator: between its cells, which tells what a comma may be. whole: whether the rows looked
    at are all that there are.
    """
    wanted = options.columns
    if options.partial and wanted is not None:
        here = tuple(name for name in wanted if name in table.names)
        wanted = here or None
    words = frozenset(word.strip().lower() for word in options.missing)
    if words:
        cells = [
            ["" if c.strip().lower() in words else c for c in column] for column in table.cells
        ]
        table = replace(table, cells=cells)
    table = replace(table, values=frozenset(wanted or ()))
    clock, left_out = choose_clock(table, options.asked)
    taken = set(clock.places) if clock else set()
    if options.group is not None:
        check_known(table.where, (options.group,), table.names)
        taken.add(list(table.names).index(options.group))
    free = [p for p in range(len(table.names)) if p not in taken]
    written = [p for p in free if table.names[p] not in table.numbers]
    decimal = decimal_mark((c for p in written for c in table.cells[p][:300]), separator)
    codes = _codes_of_several([table.cells[p] for p in free], decimal)
    kinds = {p: _kind(table, p, decimal, whole, codes) for p in free}
    if wanted is None:
        left = dict(left_out)
        for p in free:
            if kinds[p] not in ("number", "truth") and table.names[p] not in left:
                left[table.names[p]] = kinds[p]
        columns = tuple(table.names[p] for p in free if table.names[p] not in left)
        if not columns and table.cells and len(table.cells[0]):
            columns, left = _empty_ones(table, free, kinds, left)
    else:
        columns, left = tuple(wanted), {}
    _check(table, columns, kinds, left)
    where = {name: p for p, name in reversed(list(enumerate(table.names)))}
    known = {name: kinds.get(where[name], "number") for name in columns if name in where}
    left = {name or "(no name)": why for name, why in left.items()}
    numbers = [table.cells[where[name]] for name, kind in known.items() if kind == "number"]
    return Reading(
        columns, tuple(where.get(name, -1) for name in columns), known, clock, left, decimal,
        missing=_words_for_missing(numbers, decimal, codes),
    )  # fmt: skip


def _empty_ones(
    table: Table, free: Sequence[int], kinds: Mapping[int, str], left: dict[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """If nothing but empty columns is left, they are the values."""
    names = tuple(table.names[p] for p in free if kinds[p] == "empty" and table.names[p])
    return names, {name: why for name, why in left.items() if name not in names}


def _check(
    table: Table, columns: Sequence[str], kinds: Mapping[int, str], left: Mapping[str, str]
) -> None:
    if not columns and left:
        shown = _brief([f"{name} ({why})" for name, why in left.items()])
        raise SourceError(f"{table.where}: no column of numbers among {shown}; nothing was read")
    check_names(table.where, columns)
    names = list(table.names)
    for name in columns:
        if name in names and kinds.get(names.index(name)) == "text":
            raise SourceError(
                f"{table.where}: column {name!r} is text and no numbers; leave it out of --columns"
            )


def _kind(table: Table, place: int, decimal: str, whole: bool, codes: frozenset[str]) -> str:
    """number, truth, or why a column is left out: text, empty, row number."""
    cells, name = table.cells[place], table.names[place]
    known = [cell for cell in cells if not is_missing(cell) and cell.strip().lower() not in codes]
    if not known:
        sparse = name and len(cells) < (1 if whole else _ENOUGH)
        return "number" if sparse or not cells else "empty"
    if says_row_number(name) and _counts_up(known):
        return "row number"
    if not name:
        return "row name"
    if all(cell.strip().lower() in TRUTHS for cell in known):
        return "truth"
    good = sum(_is_number(cell, decimal) for cell in known)
    return "number" if 2 * good >= len(known) else "text"


def _words_for_missing(
    columns: Sequence[Sequence[str]], decimal: str, codes: frozenset[str]
) -> tuple[str, ...]:
    """Codes that stand among numbers at least three times, as MM does in files of buoys."""
    counts: Counter[str] = Counter()
    for cells in columns:
        counts.update(cell.strip().lower() for cell in cells if _is_code(cell, decimal))
    found = [code for code, count in counts.items() if count >= _OFTEN]
    return tuple(dict.fromkeys([*found, *sorted(codes & counts.keys())]))


def _codes_of_several(columns: Sequence[Sequence[str]], decimal: str) -> frozenset[str]:
    """Codes that stand among nothing but numbers in several columns, however few these are.

    So a wave height that comes once an hour, with MM in between, is a column of numbers.
    """
    counts: Counter[str] = Counter()
    for cells in columns:
        known = {cell for cell in cells if not is_missing(cell)}
        codes = {cell for cell in known if _is_code(cell, decimal)}
        numbers = known - codes
        enough = sum(cell in numbers for cell in cells) >= _OFTEN
        if codes and enough and all(_is_number(c, decimal) for c in numbers):
            counts.update({code.strip().lower() for code in codes})
    return frozenset(code for code, count in counts.items() if count > 1)


def _is_code(cell: str, decimal: str) -> bool:
    """Whether a cell may be a code for a missing value: up to three capitals or marks.

    Longer words may say what a person should know.
    """
    code = cell.strip()
    short = 0 < len(code) <= _LONGEST and code.upper() == code
    if not short or any(map(str.isdigit, code)):
        return False
    return not is_missing(code) and not _is_number(code, decimal)


def _counts_up(cells: Sequence[str]) -> bool:
    try:
        numbers = [int(cell.strip().strip('"')) for cell in cells]
    except ValueError:
        return False
    steps = {b - a for a, b in pairwise(numbers)}
    return len(steps) <= 1 and min(steps, default=1) > 0


def _is_number(cell: str, decimal: str) -> bool:
    try:
        number(cell, decimal)
    except ValueError:
        return False
    return True


def _brief(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


__all__ = ["Options", "Reading", "check_known", "decide"]
