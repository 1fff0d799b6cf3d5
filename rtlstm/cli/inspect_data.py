"""What `rtlstm inspect` says of a source of samples: how it is read, and what is in it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np

from rtlstm.cli.closing import why_out_of_order
from rtlstm.stream import Options, Source, open_source
from rtlstm.stream.clock import shown_moment

_STEPS = 10_000
"""Steps in time over which the middle one is taken."""


class Tally:
    """What is in the rows of a source, in constant memory."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        n = len(columns)
        self.columns = columns
        self.rows = 0
        self.first: float | None = None
        self.last: float | None = None
        self.untimed = 0
        self.disorder = 0
        self.missing = np.zeros(n, int)
        self.low, self.high = np.full(n, np.inf), np.full(n, -np.inf)
        self.whole: int | None = None
        """The first row from which every column has had a value."""
        self._seen = np.zeros(n, bool)
        self._steps: list[float] = []

    def add(self, time: float | None, values: np.ndarray[Any, Any]) -> None:
        """Take note of a row."""
        self.rows += 1
        known = np.isfinite(values)
        self.missing += ~known
        np.fmin(self.low, values, out=self.low, where=known)
        np.fmax(self.high, values, out=self.high, where=known)
        if self.whole is None:
            self._seen |= known
            self.whole = self.rows if self._seen.all() else None
        if time is None:
            self.untimed += 1
            return
        if self.last is None:
            self.first = time
        else:
            self.disorder += time <= self.last
            if len(self._steps) < _STEPS:
                self._steps.append(time - self.last)
        self.last = time

    @property
    def step(self) -> float | None:
        """The middle step in time, in seconds."""
        return float(np.median(self._steps)) if self._steps else None

    @property
    def span(self) -> list[str] | None:
        """First and last time, ISO 8601 in UTC."""
        if self.first is None or self.last is None:
            return None
        return [shown_moment(self.first), shown_moment(self.last)]


def data_facts(name: str, options: Options, on_error: Any = "raise") -> dict[str, Any]:
    """Read a source to its end and tell what it holds, for JSON."""
    source = open_source(name, options=options, on_error=on_error)
    with closing(source):
        tally = Tally(source.columns)
        for sample in source:
            tally.add(sample.time, sample.values)
    return {
        "file": name,
        **_layout(source),
        "columns": list(source.columns),
        "time": tally.span,
        "rows": tally.rows,
        "missing": int(tally.missing.sum()),
        "median_step": tally.step,
        "rows_without_time": tally.untimed if tally.span else 0,
        "times_out_of_order": int(tally.disorder),
        "first_forecastable_row": tally.whole,
        "words_for_missing": list(_reading(source, "missing") or ()),
        "values": {column: _value(source, tally, k) for k, column in enumerate(source.columns)},
        "left_out": dict(_reading(source, "left_out") or {}),
        "passed_over": dict(source.counts),
        "notices": list(getattr(source, "notices", ())),
    }


def _reading(source: Source, what: str) -> Any:
    return getattr(getattr(source, "reading", None), what, None)


def _layout(source: Source) -> dict[str, Any]:
    """How the source is written, as far as it is text."""
    clock = _reading(source, "clock")
    about: dict[str, Any] = dict(getattr(source, "layout", {}))
    about["decimal"] = _reading(source, "decimal")
    about["time_columns"] = list(clock.names) if clock else []
    about["time_format"] = clock.form if clock else None
    about["time_zone"] = (clock.zone or None) if clock else None
    return about


def _value(source: Source, tally: Tally, k: int) -> dict[str, Any]:
    name = tally.columns[k]
    low, high = float(tally.low[k]), float(tally.high[k])
    return {
        "kind": (_reading(source, "kinds") or {}).get(name, "number"),
        "unit": source.units.get(name),
        "missing": int(tally.missing[k]),
        "min": low if math.isfinite(low) else None,
        "max": high if math.isfinite(high) else None,
    }


def data_page(facts: Mapping[str, Any]) -> Iterator[str]:
    """The facts as a page for a person."""
    text = ", ".join(f"{key} {facts[key]}" for key in _WRITTEN if facts.get(key))
    yield f"{facts['file']}: {text or 'rows of numbers'}"
    yield _time_line(facts)
    span = f"{facts['rows']:,} rows, {facts['missing']:,} missing cells"
    if facts["first_forecastable_row"]:
        span += f"; every column has a value from row {facts['first_forecastable_row']:,} on"
    yield span
    width = max([len(name) for name in facts["values"]] + [6])
    yield ""
    yield f"{'values':<{width}}  {'kind':<6}  {'unit':<8}  {'missing':>8}  {'from':>12}  {'to':>12}"
    for name, value in facts["values"].items():
        ends = (_number(value["min"]), _number(value["max"]))
        yield (
            f"{name:<{width}}  {value['kind']:<6}  {value['unit'] or '-':<8}"
            f"  {value['missing']:>8,}  {ends[0]:>12}  {ends[1]:>12}"
        )
    if facts["words_for_missing"]:
        yield f"taken for missing: {', '.join(facts['words_for_missing'])}"
    for what, title in (("left_out", "left out"), ("passed_over", "passed over")):
        if facts[what]:
            yield f"{title}: " + ", ".join(f"{name} ({why})" for name, why in facts[what].items())
    yield from facts["notices"]


_WRITTEN = ("format", "packed", "encoding", "separator")


def _time_line(facts: Mapping[str, Any]) -> str:
    if not facts["time_columns"]:
        return "time: none"
    names = " + ".join(facts["time_columns"])
    said = ", ".join(filter(None, (names, facts["time_format"], facts["time_zone"])))
    span = f"; {facts['time'][0]} to {facts['time'][1]}" if facts["time"] else ""
    step = facts["median_step"]
    every = f", every {step:g} s" if step is not None else ""
    odd = facts["times_out_of_order"]
    back = f"; {odd:,} steps not forward" if odd else ""
    if why := why_out_of_order(facts):
        back += f": {why}"
    return f"time: {said}{span}{every}{back}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
