"""Finding the time of a table: by name, by content, in one column, in two, or in its parts."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rtlstm.errors import SourceError
from rtlstm.kernels.frozen import frozen
from rtlstm.stream.clock import Clock, Found, clock_of, form_of, form_said, shown_moment
from rtlstm.stream.time_names import parts_of_time, says_time, words_of
from rtlstm.stream.time_parts import (
    clock_text,
    finer,
    in_range,
    nameless_hours,
    nameless_parts,
    seconds_of_parts,
)
from rtlstm.stream.times import EPOCH_FORM, Form, is_clock, is_epoch
from rtlstm.stream.values import check_known, is_missing

_OLDEST, _LATEST = 3.15e8, 4.1e9  # epoch seconds: of 1980 and 2099
Further = Callable[[Sequence[int]], Iterable[Sequence[str]]]
"""From places in a row to the texts there in the rows behind those looked at."""


@frozen
class Asked:
    """What a user said of the time; None where the file is to tell. columns: () for no time."""

    columns: tuple[str, ...] | None = None
    form: str | None = None
    zone: str | None = None


@frozen
class Table:
    """What was looked at: names, and for each the texts of the first rows, in order.

    values: names that are to be values in any case. numbers: names whose cells came as numbers, so
    that they tell nothing of how numbers are written. further: the rows behind, live: none yet.
    """

    where: str
    names: Sequence[str]
    cells: Sequence[Sequence[str]]
    values: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    further: Further = lambda places: ()
    live: bool = False


def choose_clock(table: Table, asked: Asked) -> tuple[Clock | None, Mapping[str, str]]:
    """The clock of a table, if it has one, and the other columns that are times, with a word why.

    Raises `SourceError`, naming the value, for a column that is to be the time and cannot be read.
    """
    if asked.columns is not None:
        check_known(table.where, asked.columns, table.names)
        places = [list(table.names).index(name) for name in asked.columns]
        return (_of(table, asked, places), {}) if places else (None, {})
    free = [p for p, name in enumerate(table.names) if name not in table.values]
    parts = _parts(table, free)
    if parts:
        return _of_parts(table, asked, parts), _others(table, free, set(parts.values()))
    found = {p: seen for p in free if (seen := _screen(table, p, asked))}
    clocks = [p for p in free if _is_clock_column(table, p)]
    both = [p for p in clocks if p in found]  # 22.10.00 is a date as well as a time of day
    if len(found) > len(both):
        found = {p: seen for p, seen in found.items() if p not in both}
    if any(seen.dates_only for seen in found.values()):
        found = {p: seen for p, seen in found.items() if not _is_hhmm(table, p)}
    clocks = [p for p in clocks if p not in found]
    chosen = _best(table, found, clocks)
    if chosen:
        return _of(table, asked, chosen), _others(table, free, set(chosen))
    _refuse_unread(table, free)
    return None, {}


def _others(table: Table, free: Iterable[int], taken: set[int]) -> dict[str, str]:
    """Columns that are times, too: they are no values."""
    left = [p for p in free if p not in taken]
    return {
        table.names[p]: "another time"
        for p in left
        if _screen(table, p, Asked(), quick=True) or _is_clock_column(table, p)
    }


def _screen(table: Table, place: int, asked: Asked, quick: bool = False) -> Found | None:
    """What kind of time a column is, by itself, without regard to the order of day and month."""
    cells, name = table.cells[place], table.names[place]
    known = [cell for cell in cells[:60] if not is_missing(cell)]
    telling = says_time(name) or _is_nameless_epoch(name, place, known)
    if asked.form is not None and known:
        form = form_said(asked.form)
        fits = sum(form.pattern.fullmatch(cell.strip()) is not None for cell in known)
        telling = telling or form.pattern is not EPOCH_FORM.pattern
        return Found(form, form.name) if telling and 2 * fits >= len(known) else None
    if not known and telling and not quick:
        return Found(EPOCH_FORM, "none yet")
    return form_of(cells, telling, name, live=True)


def _is_nameless_epoch(name: str, place: int, known: Sequence[str]) -> bool:
    """Whether a column without a name holds epoch numbers of this century, none before the last.

    Or one called t or dt, which is as often a temperature, or a step.
    """
    if not known or not all(map(is_epoch, known)):
        return False
    if name.strip().lower() in ("t", "dt"):
        return True
    if name != f"column{place + 1}" or len(known) < 2:
        return False
    numbers = [float(cell) for cell in known]
    return sorted(numbers) == numbers and numbers[0] < numbers[-1]


def _best(table: Table, found: Mapping[int, Found], clocks: Sequence[int]) -> list[int]:
    """The places of the time: a moment under a telling name, a date and a clock, any moment."""
    rank: list[tuple[int, list[int]]] = []
    for place, seen in found.items():
        named = says_time(table.names[place])
        if seen.said == "none yet":
            rank.append((5, [place]))
        elif seen.dates_only:
            partner = _partner(table, place, clocks)
            if partner is not None:
                rank.append((1, [place, partner, *finer(table.names, table.cells, partner)]))
            else:
                rank.append((3 - named, [place]))
        elif _is_elapsed(table, place, seen):
            rank.append((4, [place]))
        else:
            rank.append((0 if named else 2, [place]))
    return min(rank, key=lambda entry: entry[0])[1] if rank else []


def _is_elapsed(table: Table, place: int, seen: Found) -> bool:
    """Whether epoch numbers are of no time that a file of today has: seconds since some start."""
    if not seen.said.startswith("epoch"):
        return False
    known = []
    for cell in table.cells[place][:60]:
        with contextlib.suppress(ValueError):
            known.append(seen.form.read(cell))
    return bool(known) and not _OLDEST <= sorted(known)[len(known) // 2] <= _LATEST


def _partner(table: Table, place: int, clocks: Sequence[int]) -> int | None:
    """The clock beside a column of dates; also one of numbers, hours or hhmm, under such a name."""
    if clocks:
        return min(clocks, key=lambda p: (abs(p - place), p < place))
    near = sorted(range(len(table.names)), key=lambda p: abs(p - place))
    hours = next((p for p in near if p != place and _is_hhmm(table, p)), None)
    return nameless_hours(table.names, table.cells, place) if hours is None else hours


def _is_hhmm(table: Table, place: int) -> bool:
    """Whether a column has hours, hhmm or hhmmss as numbers, under such a name."""
    name = table.names[place]
    words = set(words_of(name))
    if name in table.values or not words & _CLOCK_WORDS or len(words) > 2:
        return False
    known = [cell.strip() for cell in table.cells[place] if not is_missing(cell)]
    return bool(known) and all(cell.isdigit() and int(cell) <= 240000 for cell in known)


_CLOCK_WORDS = {
    "hour",
    "hr",
    "hh",
    "he",
    "time",
    "hhmm",
    "hhmmss",
    "stunde",
    "uhrzeit",
    "hora",
    "heure",
}


def _is_clock_column(table: Table, place: int) -> bool:
    known = [cell for cell in table.cells[place][:60] if not is_missing(cell)]
    return bool(known) and all(map(is_clock, known))


def _of(table: Table, asked: Asked, places: Sequence[int]) -> Clock:
    """The clock over these columns, whose texts are read as one."""
    names = [table.names[p] for p in places]
    given = parts_of_time(names)
    if len(given) == len(places) and asked.form is None and len(places) > 1:
        return _of_parts(table, asked, {part: places[at] for part, at in given.items()})
    join = _joiner(table, places) if len(places) > 1 else None
    rows = list(zip(*(table.cells[p] for p in places)))
    texts = [_joined(join, row) for row in rows if not any(map(is_missing, row))]
    more = (_joined(join, row) for row in table.further(places) if not any(map(is_missing, row)))
    name = " + ".join(names)
    found = _form(table, asked, name, texts, more)
    if found is None:
        shown = texts[0] if texts else ""
        raise SourceError(
            f"{table.where}: time column {name!r} has {shown!r}, which is no date or time that is"
            " known; say how to read it with --time-format, or --time none"
        )
    return clock_of(names, places, found, asked.zone, join)


def _form(
    table: Table, asked: Asked, name: str, texts: Sequence[str], more: Iterable[str]
) -> Found | None:
    if asked.form is not None:
        form = form_said(asked.form)
        zoned = any(map(form.zoned, texts[:50])) or form.pattern is EPOCH_FORM.pattern
        return Found(form, form.name, zoned=zoned)
    if not texts:
        return Found(_ANY, "none yet", zoned=True)
    try:
        return form_of(texts, True, name, more, live=table.live)
    except ValueError as fault:
        raise SourceError(f"{table.where}: time column {name!r}: {fault}") from None


def _read_any(text: str) -> float:
    """A moment in whatever form fits it alone."""
    found = form_of([text], True, live=True)
    if found is None:
        raise ValueError("not a moment in time")
    return found.form.read(text)


_ANY = Form("any", EPOCH_FORM.pattern, _read_any)


def _joined(join: Callable[..., str] | None, texts: Sequence[str]) -> str:
    return texts[0] if join is None else join(*texts)


def _joiner(table: Table, places: Sequence[int]) -> Callable[..., str]:
    """What makes one text of the columns of a time; numbers of a clock become hh:mm:ss."""
    if len(places) > 2 and places[2:] == finer(table.names, table.cells, places[1]):
        return lambda date, *clock: f"{date} {':'.join(part.strip() for part in clock)}"
    clock = clock_text(table.cells[places[-1]])
    return lambda *texts: " ".join((*texts[:-1], clock(texts[-1])))


def _parts(table: Table, free: Sequence[int]) -> Mapping[str, int]:
    """Where year, month, day and the rest stand as numbers, and a clock, c, if the hour is none of
    them; empty unless there is a year.
    """
    named = parts_of_time([table.names[p] for p in free])
    if "Y" not in named:
        return {} if table.values else nameless_parts(table.names, table.cells)
    if not in_range(table.cells[free[named["Y"]]], "Y"):
        return {}
    places = {part: free[at] for part, at in named.items()}
    found = {part: p for part, p in places.items() if in_range(table.cells[p], part)}
    if "h" not in found and ("D" in found or "J" in found):
        left = [p for p in free if p not in found.values()]
        clocks = (p for p in left if _is_clock_column(table, p) or _is_hhmm(table, p))
        clock = next(clocks, None)
        return found if clock is None else found | {"c": clock}
    return found


def _of_parts(table: Table, asked: Asked, parts: Mapping[str, int]) -> Clock:
    letters = [letter for letter in "YMDJhmsc" if letter in parts]
    places = [parts[letter] for letter in letters]
    clock = clock_text(table.cells[parts["c"]]) if "c" in parts else None

    def read(*texts: str) -> float:
        return seconds_of_parts(
            letters, texts if clock is None else (*texts[:-1], clock(texts[-1]))
        )

    known = Found(Form("parts", EPOCH_FORM.pattern, lambda text: 0.0), "in its parts")
    names = [table.names[p] for p in places]
    made = clock_of(names, places, known, asked.zone, lambda *texts: "\0".join(texts))
    if asked.zone is None:
        return replace(made, read=read)
    form = Form("parts", EPOCH_FORM.pattern, lambda text: read(*text.split("\0")))
    return clock_of(
        names, places, replace(known, form=form), asked.zone, lambda *texts: "\0".join(texts)
    )


def _refuse_unread(table: Table, free: Sequence[int]) -> None:
    """A column that says time and cannot be read as one is no feature, and is not left out."""
    for p in free:
        known = [cell for cell in table.cells[p] if not is_missing(cell)]
        if known and says_time(table.names[p]) and len(set(words_of(table.names[p]))) <= 3:
            clock = is_clock(known[0])
            what = "a time of day without a date" if clock else "no date or time that is known"
            raise SourceError(
                f"{table.where}: time column {table.names[p]!r} has {known[0]!r}, {what}; say how"
                " to read it with --time-format, name the time's columns with --time, or say"
                " --time none"
            )


__all__ = ["Asked", "Table", "choose_clock", "shown_moment"]
