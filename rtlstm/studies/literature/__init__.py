"""The experiments behind the cells and rules, with each paper's table beside our column.

An experiment is a generator of tables: it yields a table again whenever there is a row more, so
that whoever stops it keeps what is done. Each lives in a module of its own, by name, with the names
of its parts or rows in NAMES.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

EXPERIMENTS = {
    "lstm1997": "Hochreiter & Schmidhuber 1997, experiments 1 to 6",
    "forget2000": "Gers, Schmidhuber & Cummins 2000, continual embedded Reber grammar",
    "peephole2002": "Gers, Schraudolph & Schmidhuber 2002, timing",
    "odyssey": "Greff et al. 2015, the nine variants on JSB chorales",
    "gradients": "how much error flows back over 1 to 1,000 steps",
    "memory": "what exact forward gradients buy",
}


def experiment(name: str) -> Any:
    """The function that runs an experiment: settings -> an iterator of tables."""
    return import_module(f"rtlstm.studies.literature.{name}").run


def names(name: str) -> tuple[str, ...]:
    """The parts or rows of an experiment, of which some can be chosen."""
    found: tuple[str, ...] = import_module(f"rtlstm.studies.literature.{name}").NAMES
    return found
