"""The options that say how a source is read, which several commands share."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from rtlstm.stream import Options, Source

F = TypeVar("F", bound=Callable[..., Any])


def names(context: click.Context, option: click.Parameter, value: str | None) -> list[str] | None:
    """The names in a list that commas part."""
    if value is None:
        return None
    return [name for part in value.split(",") if (name := part.strip())]


def reading_options(command: F) -> F:
    """Add --time, --time-format, --time-zone, --missing and --encoding to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of(given: Mapping[str, Any], columns: list[str] | None = None) -> Options:
    """What the options of a command say of how to read its source."""
    time = given["time"]
    return Options(
        None if columns is None else tuple(columns),
        None if time is None else () if time == ["none"] else tuple(time),
        given["time_format"],
        given["time_zone"],
        tuple(given["missing"] or ()),
        given["encoding"],
    )


def tell_reading(source: Source) -> None:
    """Say on standard error, in one line, how a source is read."""
    reading = getattr(source, "reading", None)
    if reading is not None:
        click.echo(f"rtlstm: read {reading}", err=True)


def tell_end(source: Source) -> None:
    """Say on standard error what was found otherwise than stated, and what was passed over."""
    for notice in getattr(source, "notices", ()):
        click.echo(f"rtlstm: {notice}", err=True)
    if source.counts:
        counts = ", ".join(f"{reason} {count}" for reason, count in source.counts.items())
        click.echo(f"rtlstm: passed over in the source: {counts}", err=True)


_OPTIONS = (
    click.option("--time", callback=names, metavar="A,B", help="Columns of the time, or none."),
    click.option("--time-format", metavar="FMT", help="As '%d.%m.%Y %H:%M', ms, day-first."),
    click.option("--time-zone", metavar="ZONE", help="Of times that say none [UTC]."),
    click.option("--missing", callback=names, metavar="A,B", help="Numbers that mean missing."),
    click.option("--encoding", metavar="NAME", help="Of the text [told by its bytes]."),
)
