"""`rtlstm reproduce`: the experiments of the literature, with each paper's table beside ours."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from rtlstm.cli.outputs import check_paths, write_output
from rtlstm.studies.literature import EXPERIMENTS, experiment, names
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.table import Table


@click.command()
@click.argument("name", metavar="NAME", type=click.Choice(list(EXPERIMENTS)))
@click.option("--quick", is_flag=True, help="Few trials: three minutes at most on one core.")
@click.option("--trials", type=click.IntRange(1), help="How many trials (or searches) a row.")
@click.option(
    "--budget",
    type=click.IntRange(1),
    help="What a trial learns at most: lstm1997, memory: sequences; forget2000: symbols;"
    " peephole2002: steps.",
)
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option("--threads", type=click.IntRange(1), help="Cores to use; all by default.")
@click.option(
    "--only",
    multiple=True,
    help="A part or row by how its name begins, such as 6a; may be given again.",
)
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), help="odyssey: the chorales' .npz."
)
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="For what is kept: a search."
)
@click.option("--hours", type=click.FloatRange(0.0, min_open=True), help="odyssey: how long.")
@click.option("--passes", type=click.IntRange(1), help="odyssey: of a trial; the paper's 150.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures there.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them there (.png, .svg, .pdf).")
def reproduce(
    name: str, path: Path | None, plot: Path | None, threads: int | None, **options: Any
) -> None:
    """Run the experiments of a paper: lstm1997, forget2000, peephole2002, odyssey, gradients or
    memory.

    Prints Markdown tables at the end, with the paper's figures beside ours; --json is written row
    by row. Ctrl-C ends it and keeps the rows that are done.
    """
    check_paths([("--json", path), ("--plot", plot)])
    _check_parts(name, options["only"])
    if threads:
        options["threads"] = threads
    chosen = {key: value for key, value in options.items() if value is not None}
    settings = Settings(say=_Line(), **chosen)
    plain = {"experiment": name, "interrupted": True, "seed": settings.seed, "minutes": 0.0}
    tables: dict[str, Table] = {}
    started = time.monotonic()
    try:
        for table in experiment(name)(settings):
            tables[table.name] = table
            _write(path, plain, tables, started)
        plain["interrupted"] = False
    except KeyboardInterrupt:
        pass
    settings.say("")
    click.echo("\n\n".join(table.markdown() for table in tables.values()))
    minutes = _write(path, plain, tables, started)
    interrupted = bool(plain["interrupted"])
    end = ", interrupted: what was done stands above" if interrupted else ""
    click.echo(f"\n{EXPERIMENTS[name]}: {minutes:.1f} minutes{end}.")
    if plot is not None and any(table.rows for table in tables.values()):
        from rtlstm.cli.literature_plot import draw

        draw(tables, plot)
    if interrupted:
        sys.exit(130)


def _check_parts(name: str, only: tuple[str, ...]) -> None:
    """Raise UsageError for a part that the experiment does not have."""
    known = names(name)
    for part in only:
        if not any(one.startswith(part) for one in known):
            parts = [one for one in known if "," not in one]  # the titles of rows have commas
            listed = "; ".join(parts or known)
            raise click.UsageError(f"--only {part}: {name} has no such part; it has: {listed}")


def _write(
    path: Path | None, plain: dict[str, Any], tables: dict[str, Table], started: float
) -> float:
    """Write what is done so far, if that was asked for; returns the minutes since the start."""
    plain["minutes"] = (time.monotonic() - started) / 60
    if path is not None:
        plain["tables"] = [table.plain() for table in tables.values()]
        text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
        write_output(path, text.encode())
    return float(plain["minutes"])


class _Line:
    """Progress on one line of a terminal, at most ten times a second; elsewhere nothing."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or (text and now - self._last < 0.1):
            return
        self._last = now
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
