"""`rtlstm warmup`: every kernel compiled ahead, so that no stream waits for the compiler."""

import time
from collections.abc import Iterable, Iterator

import click

from rtlstm.kernels import tables
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.compiler.entries import ENTRIES, RULES, Entry
from rtlstm.kernels.native.bind import compiled
from rtlstm.spec import DTYPES


@click.command()
@click.option("--rules", "chosen", help="These learning rules alone, separated by commas.")
@click.option(
    "--dtypes", default="float32", show_default=True, help="float32, float64, or both with a comma."
)
@click.option("--rule", help="The same as --rules, for one.", hidden=True)
@click.option("--float64", is_flag=True, help="The same as --dtypes float32,float64.", hidden=True)
def warmup(chosen: str | None, dtypes: str, rule: str | None, float64: bool) -> None:
    """Compile the kernels ahead of use.

    They are kept on disk, so that later processes start without a wait. Prints what it compiled,
    how long each took and where they lie. Set RTLSTM_CACHE_DIR to keep them elsewhere.
    """
    known = [row.name for row in tables.RULES]
    names = _chosen("--rules", chosen or rule or ",".join(known), known)
    precisions = _chosen("--dtypes", "float32,float64" if float64 else dtypes, DTYPES)
    if not mode.COMPILES:
        click.echo(f"nothing to compile: kernels run {mode.NAME} here, since {mode.WHY}")
        return
    from rtlstm.kernels.compiler.directory import cache_directory  # imports numba

    for entry, kinds in _jobs(names, precisions):
        started = time.perf_counter()
        compiled(entry.name, kinds)
        name = ", ".join([entry.name, *dict.fromkeys(kinds)])
        click.echo(f"{name:<40}{time.perf_counter() - started:7.2f} s")
    where = cache_directory()
    size = sum(file.stat().st_size for file in where.glob("*")) if where.is_dir() else 0
    click.echo(f"{size / 2**20:.1f} MiB of compiled kernels in {where}")


def _chosen(option: str, value: str, known: Iterable[str]) -> list[str]:
    """The names in a list with commas; raises UsageError for one that is not known."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    unknown = set(names) - set(known)
    if unknown or not names:
        raise click.UsageError(
            f"{option}: {min(unknown, default='nothing')!r} is none of {', '.join(known)}"
        )
    return names


def _jobs(names: list[str], precisions: list[str]) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """The entries that are wanted, in the dtypes that are."""
    wanted = {tables.row(tables.RULES, name).kernels for name in names}
    for entry in ENTRIES:
        family = entry.name.split(".")[0]
        if family in RULES and family not in wanted:
            continue
        for dtypes in entry.variants:
            if not set(dtypes) & set(DTYPES) - set(precisions):
                yield entry, dtypes
