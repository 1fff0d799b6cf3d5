"""The embedded Reber grammar: strings, legal successors, and whether a network knows them.

Reber 1967; embedded by Cleeremans, Servan-Schreiber & McClelland 1989 and Smith & Zipser 1989: B,
then T or P, a Reber string, the same T or P again, E. Symbols in order: B T P S X V E.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtlstm.models.learner import Learner
from rtlstm.studies.literature.trials import Batch

Array = np.ndarray[Any, Any]
SYMBOLS = "BTPSXVE"
ARCS: dict[int, tuple[tuple[str, int], ...]] = {
    0: (("B", 1),),
    1: (("T", 2), ("P", 3)),
    2: (("S", 2), ("X", 4)),
    3: (("T", 3), ("V", 5)),
    4: (("X", 3), ("S", 6)),
    5: (("P", 4), ("V", 6)),
    6: (("E", 7),),
}


def walk(random: np.random.Generator) -> Iterator[tuple[int, tuple[int, ...]]]:
    """A string of the embedded grammar, symbol by symbol, each with its legal successors."""
    outer = "TP"[random.integers(2)]
    yield 0, _numbers("TP")
    yield SYMBOLS.index(outer), _numbers("B")
    node = 0
    while node != 7:
        symbol, node = ARCS[node][random.integers(len(ARCS[node]))]
        legal = "".join(s for s, _ in ARCS[node]) if node != 7 else outer
        yield SYMBOLS.index(symbol), _numbers(legal)
    yield SYMBOLS.index(outer), _numbers("E")
    yield SYMBOLS.index("E"), _numbers("B")


def rows(random: np.random.Generator, count: int) -> Batch:
    """So many strings one behind the other, as a stream that never ends: X one-hot, Y 1 for each
    legal successor; the targets of an E, too, which is followed by a B. As `walk`, but at once.
    """
    node, outer = np.zeros(count, int), random.integers(1, 3, count)
    inner: list[Array] = []
    after: list[Array] = []
    while (node < 7).any():
        arc = random.integers(0, 2, count)
        inner.append(np.where(node < 7, _NEXT[node, arc, 0], -1))
        node = _NEXT[node, arc, 1]
        after.append(np.where(node < 7, node, 6 + outer))
    symbols, legal = np.full((2, count, len(inner) + 4), -1)
    symbols[:, 2:-2], legal[:, 2:-2] = np.transpose(inner), np.transpose(after)
    length = (symbols[:, 2:] >= 0).sum(axis=1)
    every = np.arange(count)
    for place, symbol, allowed in ((0 * length, 0, 9), (0 * length + 1, outer, 10),
                                   (length + 2, outer, 11), (length + 3, 6, 10)):  # fmt: skip
        symbols[every, place], legal[every, place] = symbol, allowed
    there = symbols >= 0
    return Batch(np.eye(7)[symbols[there]], _LEGAL[legal[there]], length + 4)


def _numbers(symbols: str) -> tuple[int, ...]:
    return tuple(SYMBOLS.index(symbol) for symbol in symbols)


def _row(symbols: str) -> Array:
    found: Array = np.eye(7)[list(_numbers(symbols))].sum(axis=0)
    return found


# By node and arc: the symbol and the node that follows; node 7 is the end and stays there.
_NEXT = np.array(
    [[(SYMBOLS.index(s), to) for s, to in (arcs * 2)[:2]] for arcs in ARCS.values()]
    + [[(6, 7), (6, 7)]]
)
# By node what may follow; then T or P at the end of the inner string (7, 8), and the outer symbols.
_LEGAL = np.array(
    [_row("".join(s for s, _ in arcs)) for arcs in ARCS.values()]
    + [_row(symbols) for symbols in ("T", "P", "TP", "B", "E")]
)


@dataclass(frozen=True)
class Strings:
    """Strings as symbols and legal successors (rows, 7), one behind the other."""

    symbols: tuple[Array, ...]
    legal: tuple[Array, ...]  # without the E, after which nothing comes

    def batch(self, chosen: Any) -> Batch:
        """Some of them for learning: the next symbol is the target of each step."""
        eye = np.eye(7)
        X = np.concatenate([eye[self.symbols[k][:-1]] for k in chosen])
        Y = np.concatenate([eye[self.symbols[k][1:]] for k in chosen])
        return Batch(X, Y, np.array([len(self.symbols[k]) - 1 for k in chosen]))


def different_strings(random: np.random.Generator, count: int) -> Strings:
    """So many strings, no two alike."""
    found: dict[tuple[int, ...], Array] = {}
    while len(found) < count:
        steps = list(walk(random))
        legal = np.array([[s in after for s in range(7)] for _, after in steps])
        found.setdefault(tuple(symbol for symbol, _ in steps), legal[:-1])
    return Strings(tuple(np.array(key) for key in found), tuple(found.values()))


def knows(learner: Learner, strings: Strings) -> bool:
    """Whether at each step the legal successors are the most active outputs."""
    net, eye = learner.net, np.eye(7)
    for symbols, legal in zip(strings.symbols, strings.legal, strict=True):
        net.reset()
        P = net.run(eye[symbols[:-1]])
        lowest = np.where(legal, P, np.inf).min(axis=1)
        if not (lowest > np.where(legal, -np.inf, P).max(axis=1)).all():
            return False
    return True


@dataclass
class KnowsGrammar:
    """Met when the strings are known, those that are learned and those that are not."""

    strings: Strings

    def met(self, batch: Batch, P: Array, learner: Callable[[], Learner]) -> int:
        """See :class:`rtlstm.studies.literature.trials.Criterion`."""
        return len(batch.lengths) - 1 if knows(learner(), self.strings) else -1
