"""`rtlstm reproduce`: the experiments of the literature, with each paper's table beside ours."""

import json
import sys
import time
from pathlib import Path

import click

from rtlstm.cli.outputs import check_paths, write_output
from rtlstm.studies.literature import EXPERIMENTS, experiment
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.table import Table


@click.command()
@click.argument("name", type=click.Choice(list(EXPERIMENTS)))
@click.option("--quick", is_flag=True, help="Few trials: three minutes at most on one core.")
@click.option("--trials", type=click.IntRange(1), help="How many trials (or searches) a row.")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option("--threads", type=click.IntRange(1), help="Cores to use; all by default.")
@click.option("--only", multiple=True, help="A part, such as 6a; may be given again.")
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), help="odyssey: the chorales' .npz."
)
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="For what is kept: a search."
)
@click.option("--hours", type=click.FloatRange(0.0, min_open=True), help="odyssey: how long.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures there.")
def reproduce(name: str, path: Path | None, threads: int | None, **options: object) -> None:
    """Run the experiments of a paper: lstm1997, forget2000, peephole2002, odyssey, gradients or
    memory.

    Prints Markdown as it goes. Ctrl-C ends it and keeps the rows that are done.
    """
    check_paths([("--json", path)])
    if threads:
        options["threads"] = threads
    chosen = {key: value for key, value in options.items() if value is not None}
    settings = Settings(say=_Line(), **chosen)  # type: ignore[arg-type]
    tables: dict[str, Table] = {}
    interrupted = False
    started = time.monotonic()
    try:
        for table in experiment(name)(settings):
            tables[table.name] = table
    except KeyboardInterrupt:
        interrupted = True
    settings.say("")
    click.echo("\n\n".join(table.markdown() for table in tables.values()))
    minutes = (time.monotonic() - started) / 60
    end = ", interrupted: what was done stands above" if interrupted else ""
    click.echo(f"\n{EXPERIMENTS[name]}: {minutes:.1f} minutes{end}.")
    if path is not None:
        plain = {"experiment": name, "interrupted": interrupted, "seed": settings.seed}
        plain["tables"] = [table.plain() for table in tables.values()]
        text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
        write_output(path, text.encode())
    if interrupted:
        sys.exit(130)


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
