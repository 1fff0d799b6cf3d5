"""How an experiment is run: its size, its seeds, who hears of its progress."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def _silent(text: str) -> None:
    pass


@dataclass(frozen=True)
class Settings:
    """What the command line asks for.

    quick: sizes that end within three minutes on one core. trials: how many, where the paper's
    number is not wanted. budget: how much a trial learns at most, in sequences, symbols or steps,
    where the experiment's number is not wanted. only: parts or rows by how their names begin; none
    means all. data: where data is read from. folder: where a search is kept that can be resumed.
    hours and passes: of a search, and of each of its trials at most.
    """

    quick: bool = False
    trials: int | None = None
    budget: int | None = None
    seed: int = 0
    threads: int = os.cpu_count() or 1
    only: tuple[str, ...] = ()
    data: Path | None = None
    folder: Path | None = None
    hours: float | None = None
    passes: int | None = None
    say: Callable[[str], None] = _silent

    def wants(self, *names: str) -> bool:
        """Whether to run what has these names: one of them begins with one that was asked for."""
        return not self.only or any(name.startswith(self.only) for name in names)

    def count(self, full: int, quick: int) -> int:
        """How many trials: as asked for, else the paper's or the quick number."""
        return self.trials or (quick if self.quick else full)

    def most(self, full: int, quick: int | None = None) -> int:
        """How much a trial learns at most: as asked for, else as given, less in a quick run."""
        return self.budget or (quick if self.quick and quick else full)
