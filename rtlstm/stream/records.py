"""Records with named fields, nested ones too, as a source of samples."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtlstm.errors import SourceError
from rtlstm.inputs.measures import Measures, UnitError
from rtlstm.stream.reading import Options, Reading, decide
from rtlstm.stream.rejects import Rejects
from rtlstm.stream.source import Closing, Sample
from rtlstm.stream.time_columns import Table
from rtlstm.stream.time_names import says_time
from rtlstm.stream.values import check_known, numbers_among, units_in

Record = dict[str, Any]
Again = Callable[[], Iterator[Record]]
"""Gives the records once more, from the first on; there is none where that cannot be."""
TRIED = 20
"""Records of a live source within which what was decided on fewer may be revised, once."""
LOOK = 1000
_RARE = 0.02
"""Share of the records looked at below which a field is no column of its own accord."""
_ABSENT = object()
_DEEPEST = 8
_AXES = 16
"""Numbers in the longest list whose places are columns."""


class Records(Protocol):
    """An iterable of records that tells where it stands."""

    text: str

    @property
    def where(self) -> str:
        """The place of the record that was read last."""

    def __iter__(self) -> Iterator[Record]: ...


class RecordSource(Closing):
    """A stream of records, each read by the names of its fields.

    A look at the first records decides as for a table (see `csv_source`): fields with numbers, or
    with texts that are some, are the columns unless columns= says which, in which order; fields of
    an object in a record are called `object.field`; fields that say time are. A field that is
    absent, null or a word such as "NaN" is missing; one that was asked for may come later. A record
    with none of the columns is passed over and counted (`no_values`). Counted, and otherwise
    ignored: `absent_keys`, and `unknown_keys`; strict=True rejects records that have one.
    """

    columns: tuple[str, ...]
    units: Mapping[str, str]
    reading: Reading

    def __init__(
        self,
        records: Records,
        rejects: Rejects,
        options: Options,
        *,
        strict: bool = False,
        live: bool = False,
        close: Any = None,
        again: Again | None = None,
    ) -> None:
        self._source, self._rejects, self._strict = records, rejects, strict
        self._where, self._options, self._live = rejects.where, options, live
        self._close, self._again = close or (lambda: None), again
        self.notices: list[str] = []
        """What was found otherwise than decided, a line each."""
        self._count = 0
        flat = ((records.where, records.text, flatten(record)) for record in records)
        self._first = self._look(flat)
        self._records = chain(self._first, flat)
        self._place, self._text = "", ""
        self._decide([record for _, _, record in self._first])
        self.columns = self.reading.columns
        self.units = units_in(self.columns)

    @property
    def counts(self) -> Mapping[str, int]:
        """What was passed over so far, by reason."""
        return self._rejects.counts

    def close(self) -> None:
        """Close the file; it also closes itself at its end."""
        self._close()

    def __iter__(self) -> Iterator[Sample]:
        try:
            for place, text, record in self._records:
                self._place, self._text = place, text
                self._count += 1
                sample = self._sample(record)
                if sample is None:
                    continue
                key = self._options.group
                yield sample if key is None else sample._replace(key=_text(record.get(key)))
            self.close()
        except SourceError:
            self.close()
            raise

    # ------------------------------------------------------------------ the look
    def _look(self, flat: Iterator[tuple[str, str, Record]]) -> list[tuple[str, str, Record]]:
        """The first records: one if more may have to be waited for."""
        found = []
        most = 1 if self._live or self._strict else LOOK
        for entry in flat:
            found.append(entry)
            if len(found) >= most and (not self._live or _has_number(entry[2], self._options)):
                break
        return found

    def _decide(self, looked: Sequence[Record]) -> None:
        names = list(dict.fromkeys(name for record in looked for name in record))
        asked = self._options.columns
        if not looked and asked is None:
            raise SourceError(f"{self._where}: no record, whose fields would be the columns")
        if asked is not None and looked and not any(name in names for name in asked):
            check_known(self._where, asked, names)
        ended = len(looked) < LOOK and not self._live
        texts = {name: [_text(record.get(name)) for record in looked] for name in names}
        table = Table(
            self._where, [*names, *(name for name in asked or () if name not in names)],
            [*texts.values(), *([""] * len(looked) for name in asked or () if name not in names)],
            numbers=frozenset(name for name in names if _are_numbers(name, looked)),
            further=lambda places: self._further([names[p] for p in places]),
            live=self._live or (self._again is None and not ended),
        )  # fmt: skip
        reading = decide(table, self._options, ";", ended)
        if asked is None:
            reading = _without_rare(reading, texts)
        self.reading = reading
        self._measures = Measures(reading.decimal)
        clock = reading.clock
        self._keys = clock.names if clock else ()
        self._known = {*reading.columns, *names}
        words = [word.strip().lower() for word in self._options.missing]
        self._words = frozenset((*words, *reading.missing))
        self._sentinels = numbers_among(words)

    def _further(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        """The texts of these fields in the records behind those looked at, read a second time."""
        records = self._again() if self._again is not None else iter(())
        for record in islice(records, LOOK, None):
            flat = flatten(record)
            yield [_text(flat.get(name)) for name in names]

    # ------------------------------------------------------------------ records
    def _sample(self, record: Record) -> Sample | None:
        if not (record.keys() <= self._known or self._passes_unknown(record)):
            return None
        values = self._numbers(record)
        if values is None:
            return None
        clock = self.reading.clock
        if clock is None:
            return Sample(None, values)
        texts = [_text(record.get(key)) for key in self._keys]
        try:
            return Sample(clock.moment(texts), values)
        except (ValueError, OverflowError):
            if self._revise(record):
                return self._sample(record)
            shown = " ".join(texts)[:40]
            name = " + ".join(self._keys)
            self._reject("bad_time", f"time {name!r} is {shown!r}, which is no date or time here")
            return None

    def _numbers(self, fields: Record) -> NDArray[np.float64] | None:
        """The values by name, NaN where missing; None if one of them is no number at all."""
        values = np.empty(len(self.columns))
        absent = 0
        for place, name in enumerate(self.columns):
            value = fields.get(name, _ABSENT)
            if value is _ABSENT and f"{name}.0" in fields:
                value = []
            if value is _ABSENT:
                absent += 1
                values[place] = np.nan
                continue
            try:
                values[place] = self._number(name, value)
            except UnitError as fault:
                self._reject("other_unit", f"field {name!r} is {fault}; choose other --columns")
                return None
            except (ValueError, OverflowError, TypeError):
                kind = "text" if isinstance(value, str) else type(value).__name__
                self._reject(
                    "not_numeric",
                    f"field {name!r} is not a number but {kind}; if it stands for a missing value,"
                    " say --missing WORD, else choose other --columns",
                )
                return None
        if absent == len(self.columns):
            self._rejects.counts["no_values"] += 1
            return None
        if absent:
            self._rejects.counts["absent_keys"] += absent
        if self._sentinels.size:
            values[np.isin(values, self._sentinels)] = np.nan
        return values

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, float | int | Decimal | np.number):
            return float(value)
        if value is None:
            return float("nan")
        if isinstance(value, str):
            if value.strip().lower() in self._words:
                return float("nan")
            return self._measures.number(name, value)
        raise ValueError("neither a number nor a missing value")

    def _revise(self, record: Record) -> bool:
        """On a live source, decide anew on the first records, once; whether anything changed."""
        if not self._live or self._count > TRIED or self.notices:
            return False
        before, options = self.reading, self._options
        try:
            self._options = replace(options, columns=before.columns)
            self._decide([*(entry for _, _, entry in self._first), record])
        except SourceError:
            self.reading = before
            return False
        finally:
            self._options = options
        changed = self.reading != before
        if changed:
            self.notices.append(f"record {self._count} says otherwise: {self.reading}")
        return changed

    def _passes_unknown(self, fields: Record) -> bool:
        """Count, or with strict reject, fields that were not declared."""
        unknown = fields.keys() - self._known
        if self._strict:
            names = ", ".join(sorted(repr(name[:40]) for name in unknown)[:5])
            self._reject("unknown_keys", f"fields that were not declared: {names}")
            return False
        self._rejects.counts["unknown_keys"] += len(unknown)
        return True

    def _reject(self, reason: str, message: str) -> None:
        self._rejects.reject(reason, f"{self._place}: {message}", self._text)


def flatten(record: Record, most: int = _DEEPEST) -> Record:
    """The record with the fields of its inner objects as `outer.inner`.

    A short list of numbers, such as the axes of a sensor, is an object with the fields 0, 1, 2.
    """
    if not any(isinstance(value, dict | list) for value in record.values()):
        return record
    flat: Record = {}
    for name, value in record.items():
        if isinstance(value, list) and _is_vector(value) and not says_time(name):
            value = {str(k): cell for k, cell in enumerate(value)}
        if isinstance(value, dict) and most:
            inner = flatten(value, most - 1)
            flat |= {f"{name}.{key}": cell for key, cell in inner.items()}
        else:
            flat[name] = value
    return flat


def _is_vector(cells: Sequence[Any]) -> bool:
    """Whether a list holds nothing but numbers, several, and not many."""
    few = 1 < len(cells) <= _AXES
    return few and all(isinstance(cell, float | int | None) for cell in cells)


def _has_number(record: Record, options: Options) -> bool:
    """Whether a record has a value, as one about an error has not."""
    if options.columns is not None:
        return any(name in record for name in options.columns)
    return True


def _are_numbers(name: str, records: Sequence[Record]) -> bool:
    return not any(isinstance(record.get(name), str) for record in records)


def _text(value: Any) -> str:
    """A field as it would stand in a table."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return (
        str(value) if isinstance(value, float | int | Decimal | np.generic) else f"<{value!r:.30}>"
    )


def _without_rare(reading: Reading, texts: Mapping[str, Sequence[str]]) -> Reading:
    """The reading without fields that few of the records have."""
    rows = max(map(len, texts.values()), default=0)
    rare = {
        name for name in reading.columns if sum(cell != "" for cell in texts[name]) < _RARE * rows
    }
    if not rare or len(rare) == len(reading.columns):
        return reading
    keep = [name for name in reading.columns if name not in rare]
    return replace(
        reading,
        columns=tuple(keep),
        places=tuple(p for p, name in zip(reading.places, reading.columns) if name in keep),
        left_out={**reading.left_out, **dict.fromkeys(sorted(rare), "rare")},
    )
