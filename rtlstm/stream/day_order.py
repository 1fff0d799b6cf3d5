"""Whether 03/04/2024 is a day of March or of April: what the other rows say about it."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise

from rtlstm.kernels.frozen import frozen
from rtlstm.stream.times import FORMS, Form

Pair = tuple[str, str]

CANDIDATES = ("dmy", "mdy", "ymd2")
_FEW = 4  # rows between two looks at evidence that is read on for


@frozen
class Order:
    """The form that was chosen; why, or an empty text where nothing settles it."""

    form: Form
    why: str


def settle(names: Sequence[str], cells: Sequence[str], further: Iterable[str] = ()) -> Order | None:
    """Choose among forms that fit the writing of these cells, which follow each other.

    First by the values (no month is 13), then where the date changes from a row to the next: by
    increasing order, by even steps, by small ones. further: the cells behind them, read on only
    while nothing settles it. None if no cell can be read.
    """
    pairs = list(pairwise(cells)) or [(cell, cell) for cell in cells]
    found = _by_values(names, pairs)
    if found is None or found.why:
        return found
    pairs = list(_turns(cells[0], cells))
    turns = _turns(cells[-1], further)
    while True:
        found = _by_turns(names, pairs) or found
        more = [] if found.why else list(islice(turns, _FEW))
        if not more:
            return found
        pairs += more


def _turns(last: str, further: Iterable[str]) -> Iterator[Pair]:
    """Neighbours whose dates differ: what lies between them tells no more."""
    for cell in further:
        if cell[:8] != last[:8]:
            yield last, cell
        last = cell


def _best_read(names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """The steps from cell to cell, of each form that reads most of the pairs; none if none does."""
    read = {name: _steps(FORMS[name], pairs) for name in names}
    most = max(len(steps) for steps in read.values())
    return {name: steps for name, steps in read.items() if most and len(steps) == most}


def _by_values(names: Sequence[str], pairs: Sequence[Pair]) -> Order | None:
    """What the values say by themselves."""
    left = list(_best_read(names, pairs))
    if not left:
        return None
    if len(left) == 1:
        return Order(FORMS[left[0]], "by its values")
    if "dmy" in left and "." in pairs[0][0][:3]:
        return Order(FORMS["dmy"], "as with points")
    if _same(left, pairs):
        return Order(FORMS[left[0]], "either way the same")
    return Order(FORMS[left[0]], "")


def _by_turns(names: Sequence[str], pairs: Sequence[Pair]) -> Order | None:
    """What the steps say at which the date changes."""
    read = _best_read(names, pairs)
    left = list(read)
    if not left:
        return None
    if len(left) == 1:
        return Order(FORMS[left[0]], "by its values")
    for why, measure, least in _MEASURES:
        sizes = {name: measure(read[name]) for name in left}
        best = min(left, key=lambda name: sizes[name])
        left = [name for name in left if sizes[name] - sizes[best] <= least]
        if len(left) == 1:
            return Order(FORMS[best], why)
    return Order(FORMS[left[0]], "")


def _steps(form: Form, pairs: Sequence[Pair]) -> list[float]:
    steps = []
    for before, after in pairs:
        try:
            steps.append(form.read(after) - form.read(before))
        except ValueError:
            continue
    return steps


def _same(names: Sequence[str], pairs: Sequence[Pair]) -> bool:
    """Whether every cell is the same moment under all forms, as on 5 May."""
    moments = [{_moment(FORMS[name], cell) for name in names} for _, cell in pairs]
    return all(len(same) == 1 for same in moments)


def _moment(form: Form, cell: str) -> float | None:
    """The moment in a cell under a form; None if it is none, which tells nothing of the order."""
    try:
        return form.read(cell)
    except ValueError:
        return None


def _disorder(steps: Sequence[float]) -> float:
    """Share of the steps against the direction of most."""
    back = sum(step < 0 for step in steps)
    return min(back, sum(step > 0 for step in steps)) / max(len(steps), 1)


def _unevenness(steps: Sequence[float]) -> float:
    """Share of the steps that are far from the middle one."""
    sizes = sorted(abs(step) for step in steps)
    middle = sizes[len(sizes) // 2]
    return sum(not 0.6 * middle <= size <= 1.6 * middle for size in sizes) / len(sizes)


def _size(steps: Sequence[float]) -> float:
    """The logarithm of the middle step."""
    sizes = sorted(abs(step) for step in steps)
    return math.log(max(sizes[len(sizes) // 2], 1e-9))


_MEASURES: tuple[tuple[str, Callable[[Sequence[float]], float], float], ...] = (
    ("by its order", _disorder, 0.1),
    ("by even steps", _unevenness, 0.03),
    ("by even steps", _size, math.log(3.0)),
)
