"""`rtlstm warmup`: every kernel compiled ahead, so that no stream waits for the compiler."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import click
import numpy as np

import rtlstm
from rtlstm.kernels.compiler.jit import cache_directory
from rtlstm.layouts import rules
from rtlstm.spec import DTYPES
from rtlstm.training import Rule


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
    names = _chosen("--rules", chosen or rule or ",".join(rules.RULE_ENTRIES), rules.RULE_ENTRIES)
    precisions = _chosen("--dtypes", "float32,float64" if float64 else dtypes, DTYPES)
    for name, compiled in _jobs(names, precisions):
        started = time.perf_counter()
        compiled()
        click.echo(f"{name:<32}{time.perf_counter() - started:7.2f} s")
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


def _jobs(names: list[str], precisions: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    for dtype in precisions:
        yield f"network, {dtype}", partial(_run_network, dtype)
        for rule in names:
            yield f"learner, {rule}, {dtype}", partial(_run_learner, rule, dtype)
    for rule in names:
        yield f"forecaster, {rule}", partial(_run_forecaster, rule)


def _network(dtype: str) -> rtlstm.Network:
    return rtlstm.Network(inputs=2, layers=[rtlstm.LSTM(4)], outputs=1, dtype=dtype)


def _run_network(dtype: str) -> None:
    net = _network(dtype)
    net.step(np.zeros(2))
    net.run(np.zeros((2, 2)))


def _run_learner(rule: str, dtype: str) -> None:
    learner = rtlstm.Learner(_network(dtype), rule=_rule(rule))
    learner.step(np.zeros(2), np.zeros(1))
    learner.run(np.zeros((2, 2)), np.zeros((2, 1)))


def _run_forecaster(rule: str) -> None:
    forecaster = rtlstm.Forecaster(columns=["a"], layers=[rtlstm.LSTM(4)], rule=_rule(rule))
    forecaster.update([0.0])
    forecaster.run(np.zeros((2, 1)))


def _rule(name: str) -> str | Rule:
    return rtlstm.TBPTT(4) if name == "tbptt" else name
