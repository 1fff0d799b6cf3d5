"""What a comparison says: tables that fit a terminal, one plain sentence, and JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rtlstm.studies.compare.comparison import Comparison, Result

HEADINGS = ("MSE", "to rtlstm (95 %)", "MAE", "MASE", "skill", "cover", "width")
COSTS = ("learn µs", "forecast µs", "memory", "device")


def lines(comparison: Comparison, width: int = 120) -> list[str]:
    """Return the tables as lines of at most ``width`` characters, best method first."""
    scored = sorted(
        (r for r in comparison.results if r.scores),
        key=lambda r: r.scores.mse,  # type: ignore[union-attr]
    )
    what = ", ".join(comparison.targets)
    head = (
        f"{what if len(what) <= 60 else f'{len(comparison.targets)} targets'},"
        f" {comparison.horizon} row{'s'[: comparison.horizon != 1]} ahead;"
        f" rows {comparison.start:,} to {comparison.rows:,} scored, in units of each target's scale"
    )
    out = [*_wrapped(head, width), ""]
    rows: list[tuple[str, ...]] = [("method", *HEADINGS, *COSTS)]
    rows += [(r.name, *_accuracy(r), *_cost(r)) for r in scored]
    for table in _fitting(rows, width):
        out += [*table, ""]
    for text in (*_notes(comparison), *_failures(comparison)):
        out += _wrapped(text, width)
    if comparison.interrupted:
        out.append("Interrupted: the methods that are not listed were not run.")
    return [*out, *([] if out[-1] == "" else [""]), *_wrapped(sentence(comparison), width)]


def sentence(comparison: Comparison) -> str:
    """Say which method is best, whether the difference means anything, and what it costs."""
    best, ours = comparison.best(), comparison.results[0] if comparison.results else None
    if best is None or ours is None or ours.scores is None or best.scores is None:
        return "No method was scored."
    spent = _spent(ours)
    if best is ours:
        rivals = [r for r in comparison.results[1:] if r.scores and r.difference]
        if not rivals:
            return f"rtlstm has the least MSE, {ours.scores.mse:.4g}, at {spent} a row."
        next_ = min(rivals, key=lambda r: r.scores.mse)  # type: ignore[union-attr]
        return (
            f"rtlstm is best: {next_.name} has {_percent(next_, ours)} more MSE, a difference that"
            f" {_meaning(next_)}. It costs {spent} a row, {next_.name} {_spent(next_)}."
        )
    less = 1.0 - best.scores.mse / ours.scores.mse
    return (
        f"{best.name} is best: {less:.1%} less MSE than rtlstm, a difference that"
        f" {_meaning(best)}. It costs {_spent(best)} a row, rtlstm {spent}."
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything but the single rows' losses, for a file; NaN as None."""
    plain = asdict(comparison)
    for result in plain["results"]:
        if result["scores"]:
            del result["scores"]["losses"]
    plain["sentence"] = sentence(comparison)
    cleaned: dict[str, Any] = _clean(plain)
    return cleaned


def _notes(comparison: Comparison) -> list[str]:
    """How often methods were fitted, and what else befell them: each note with its methods."""
    methods: dict[str, list[str]] = {}
    for result in comparison.results:
        for note in result.notes:
            methods.setdefault(note, []).append(result.name)
    return [f"{', '.join(names)}: {note}" for note, names in methods.items()]


def _failures(comparison: Comparison) -> list[str]:
    return [f"{result.name}: {result.failure}" for result in comparison.results if result.failure]


def _fitting(rows: list[tuple[str, ...]], width: int) -> list[list[str]]:
    """One table of all columns, or two that each begin with the method, to fit the width."""
    for cut in (None, len(HEADINGS) + 1, len(HEADINGS) - 1):
        parts = [[row[:cut] for row in rows]]
        if cut is not None:
            parts.append([(row[0], *row[cut:]) for row in rows])
        tables = [_table(part) for part in parts]
        if all(len(line) <= width for table in tables for line in table):
            break
    return tables


def _accuracy(result: Result) -> tuple[str, ...]:
    s = result.scores
    assert s is not None
    to_ours = "-"
    if result.difference:
        mean, low, high = result.difference
        to_ours = f"{mean:+.3g} ({low:+.2g} … {high:+.2g})"
    cover = "-" if s.coverage is None else f"{s.coverage:.1%}"
    width = "-" if s.width is None else f"{s.width:.3g}"
    return (_figure(s.mse, 4), to_ours, _figure(s.mae, 4), _figure(s.mase, 3),
            _skill(s.skill), cover, width)  # fmt: skip


def _figure(value: float, digits: int) -> str:
    """A figure with all its digits, zeros at the end among them."""
    return f"{value:#.{digits}g}".rstrip(".")


def _skill(share: float) -> str:
    return f"{share:+.1%}" if share > -10.0 else "< -1000%"


def _cost(result: Result) -> tuple[str, ...]:
    memory = "-" if result.memory is None else _bytes(result.memory)
    learn, forecast = (f"{x:,.0f}" if x >= 0.5 else "<1" for x in
                       (result.learn_us, result.forecast_us))  # fmt: skip
    return learn, forecast, memory, result.device or "-"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    out = []
    for number, row in enumerate(rows):
        cells = [c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths))]
        out.append("  ".join(cells).rstrip())
        if number == 0:
            out.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    return out


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent="  ")


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count = round(count / 1000)
    return f"{count:.0f} GB"


def _spent(result: Result) -> str:
    return f"{result.learn_us + result.forecast_us:,.0f} µs"


def _percent(result: Result, ours: Result) -> str:
    assert result.scores and ours.scores
    return f"{result.scores.mse / ours.scores.mse - 1.0:.1%}"


def _meaning(result: Result) -> str:
    assert result.difference
    _, low, high = result.difference
    return "stands out from chance" if low > 0 or high < 0 else "chance could make"


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
