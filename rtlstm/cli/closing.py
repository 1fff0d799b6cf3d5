"""What is said of a run when it is over: in one line, and in a report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rtlstm.cli.scores import mean_skill, scores
from rtlstm.stream.clock import shown_moment
from rtlstm.stream.source import Source

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecaster

_TARGETS = 4


@dataclass
class Span:
    """Rows and times that passed; counts of this run alone."""

    rows: int = 0
    first: float | None = None
    last: float | None = None
    disorder: int = 0
    before: dict[str, int] = field(default_factory=dict)

    def add(self, time: float | None) -> None:
        """Take note of a row."""
        self.rows += 1
        if time is None:
            return
        if self.last is None:
            self.first = time
        elif time <= self.last:
            self.disorder += 1
        self.last = time

    @property
    def times(self) -> list[str] | None:
        """First and last time, ISO 8601 in UTC."""
        if self.first is None or self.last is None:
            return None
        return [shown_moment(self.first), shown_moment(self.last)]


def facts(forecaster: "Forecaster", span: Span, source: Source | None) -> dict[str, Any]:
    """The figures of a run, for JSON."""
    health = forecaster.health()
    since = {name: health[name] - span.before.get(name, 0) for name in health}
    found = scores(forecaster)
    reading = getattr(source, "reading", None)
    return {
        "rows": span.rows,
        "time": span.times,
        "skill": mean_skill(forecaster),
        "skills": {s.label: None if math.isnan(s.skill) else s.skill for s in found},
        "missing_cells": since["missing_cells"],
        "faulty_cells": since["faulty_cells"],
        "times_out_of_order": span.disorder,
        "passed_over": dict(source.counts) if source is not None else {},
        "reading": None if reading is None else str(reading),
    }


def why_out_of_order(summary: Mapping[str, Any]) -> str:
    """Why most times are not after the last, and what mends it; empty where few are."""
    if 2 * summary["times_out_of_order"] < summary["rows"] or not summary["time"]:
        return ""
    first, last = summary["time"]
    if last < first:  # both ISO 8601 in UTC
        return "the newest row comes first; turn the file round"
    return "rows share their times; --group COL learns the rows of each value of COL apart"


def closing_line(summary: dict[str, Any]) -> str:
    """The figures of a run in one line."""
    parts = [f"{summary['rows']:,} rows learned"]
    if summary["time"]:
        parts[0] += f", {summary['time'][0]} to {summary['time'][1]}"
    known = {name: skill for name, skill in summary["skills"].items() if skill is not None}
    if known:
        some = [f"{name} {skill:+.1%}" for name, skill in list(known.items())[:_TARGETS]]
        more = f" and {len(known) - _TARGETS} more" if len(known) > _TARGETS else ""
        parts.append(f"skill {', '.join(some)}{more}")
    for name, word in (("missing_cells", "missing"), ("faulty_cells", "faulty")):
        parts.append(f"{summary[name]:,} {word} cells")
    if summary["times_out_of_order"]:
        parts.append(f"{summary['times_out_of_order']:,} times not after the last")
        if why := why_out_of_order(summary):
            parts[-1] += f", since {why}"
    return "; ".join(parts)
