"""The picture of a detector's run: columns that spoke, the score, the spells and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtlstm.cli.plot import INK, figure_class, save_figure

if TYPE_CHECKING:
    from rtlstm.models.detector import Reason, Spell

Row = NDArray[np.float64]
_PANELS, _NAMED, _BUCKETS, _SPELLS = 3, 2, 1500, 200
_LOWEST = 1e-6  # share of normal rows below which the score's axis ends
_SPELL = "#f0a202"


class DetectPlot:
    """Collects a run row by row, in a bounded memory, and draws it.

    Of every column the lowest and highest value, and of the score the highest, are kept for at most
    1500 stretches of the run; when all are full, neighbours merge. The oldest spells beyond 200 are
    forgotten.
    """

    def __init__(self, columns: Sequence[str], first: int = 0) -> None:
        figure_class()  # a missing matplotlib is better told before the run than after it
        self.columns, self.first = tuple(columns), first
        self._low = np.full((_BUCKETS, len(columns)), np.inf)
        self._high = np.full((_BUCKETS, len(columns)), -np.inf)
        self._score = np.zeros(_BUCKETS)
        self._stride, self._rows = 1, 0
        self._spells: list[tuple[Spell, tuple[Reason, ...]]] = []

    def add(self, row: Row, score: float) -> None:
        """Note one row (columns,) and its score."""
        if self._rows == _BUCKETS * self._stride:
            half = _BUCKETS // 2
            self._low[:half] = np.minimum(self._low[0::2], self._low[1::2])
            self._high[:half] = np.maximum(self._high[0::2], self._high[1::2])
            self._score[:half] = np.maximum(self._score[0::2], self._score[1::2])
            self._low[half:], self._high[half:], self._score[half:] = np.inf, -np.inf, 0.0
            self._stride *= 2
        place = self._rows // self._stride
        self._low[place] = np.fmin(self._low[place], row)
        self._high[place] = np.fmax(self._high[place], row)
        self._score[place] = max(self._score[place], score)
        self._rows += 1

    def mark(self, spell: Spell, why: tuple[Reason, ...]) -> None:
        """Note a spell, and why its first row was odd."""
        self._spells = [*self._spells[-_SPELLS + 1 :], (spell, why)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Draw to `path`, in the format that its ending names. Raises OSError."""
        shown = self._shown()
        figure = figure_class()(
            figsize=(10.0, 1.9 * len(shown) + 2.2), dpi=120, layout="constrained"
        )
        axes = figure.subplots(len(shown) + 1, 1, sharex=True, squeeze=False)[:, 0]
        used = -(-self._rows // self._stride)
        rows = self.first + (np.arange(used) + 0.5) * self._stride
        for place, column in enumerate(shown):
            low = np.where(np.isfinite(self._low[:used, column]), self._low[:used, column], np.nan)
            high = np.where(np.isfinite(low), self._high[:used, column], np.nan)
            axes[place].fill_between(rows, low, high, color=INK["truth"], lw=0.8)
            axes[place].set_title(self.columns[column], loc="left", fontsize="medium")
        axes[-1].plot(rows, np.maximum(1.0 - self._score[:used], _LOWEST), color=INK["forecast"])
        axes[-1].set_yscale("log")
        axes[-1].set_ylim(1.2, _LOWEST)
        axes[-1].set_title(
            "Share of normal rows that are as odd (1 - score)", loc="left", fontsize="medium"
        )
        axes[-1].set_xlabel("row of the stream")
        self._mark_spells(axes, shown)
        save_figure(figure, path)

    def _shown(self) -> list[int]:
        """The columns worth a panel: those named most, by share, then the first."""
        named: Counter[str] = Counter()
        for _, why in self._spells:
            for reason in why:
                named[reason.column] += reason.share  # type: ignore[assignment]
        order = sorted(range(len(self.columns)), key=lambda j: (-named[self.columns[j]], j))
        return sorted(order[:_PANELS])

    def _mark_spells(self, axes: NDArray[np.object_], shown: list[int]) -> None:
        """Shade every spell where its columns are, and write its reasons above the score."""
        least = max(self._rows, 1) / 400.0  # a spell of one row is seen, too
        for number, (spell, why) in enumerate(self._spells):
            end = max(spell.end, spell.start + least)
            spoke = {reason.column for reason in why}
            for place, panel in enumerate(axes):
                named = place == len(shown) or self.columns[shown[place]] in spoke
                panel.axvspan(spell.start, end, color=_SPELL, alpha=0.45 if named else 0.12, lw=0)
            if len(self._spells) <= 12:
                text = "\n".join(f"{r.column} {r.part}" for r in why[:_NAMED])
                height = 1.5 * _LOWEST * 10.0 ** (1.2 * (number % 3))
                axes[-1].text(spell.start, height, text, fontsize=7, va="top", clip_on=True)
