"""The table of entries: every kernel that Python calls.

An entry takes whole numbers alone: first the address of a table that holds the address and the row
length of each array that it works on for good (`native/bind.py`), then addresses of what a call
brings, and counts. So one list says how a kernel is compiled just in time (`rtlstm warmup` walks
it), ahead of time, and called from C.

Kernels are named, not imported: this package knows how kernels are compiled, not which there are.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from rtlstm.kernels import tables

__all__ = ["ENTRIES", "FLOATS", "RULES", "Entry", "find"]

# What a table may hold the place of: whole numbers that say what a network is and where its arrays
# lie; weights as they are stored; buffers of the network's floats, of float64 and of int64.
PLAN, MATRICES, FLOAT_BUFFER, DOUBLE_BUFFER, INT_BUFFER = KINDS = (
    *("plan", "matrices", "floats", "doubles", "ints"),
)
VARIABLE = (MATRICES, FLOAT_BUFFER)  # whose dtype differs from one object to another
FLOATS = ("float32", "float64")
LEARNER = (PLAN, FLOAT_BUFFER, DOUBLE_BUFFER, INT_BUFFER)
FORECASTER = (PLAN, *LEARNER)
SUPERVISED = (PLAN, PLAN, *LEARNER)
LABELLED = ("row", "time", "truth", "known", "out")
METHOD = ("self", "arguments", "count")  # a C function of Python's kind, METH_FASTCALL


class Entry(NamedTuple):
    """A kernel, as Python and C call it: kernel(table, dtype of each variable kind, *numbers).

    One without a table takes its numbers alone, and is a C function.
    """

    name: str
    kernel: str  # "module:function", below rtlstm.kernels
    table: tuple[str, ...]  # the kind of each array in the table
    numbers: tuple[str, ...]  # names of the whole numbers that a call brings
    around: str = ""  # "module:function": what makes the kernel of another one, which this names
    dtypes: tuple[str, ...] = FLOATS  # of the float buffers

    @property
    def tags(self) -> tuple[str, ...]:
        """The variable kinds in the table: for each the kernel takes a dtype."""
        return tuple(kind for kind in VARIABLE if kind in self.table)

    @property
    def numbers_in_c(self) -> int:
        """How many numbers its C function takes: the table's address is the first."""
        return len(self.numbers) + bool(self.table)

    @property
    def variants(self) -> tuple[tuple[str, ...], ...]:
        """The dtypes that it is needed in, one for each of its tags."""
        if not self.tags:
            return ((),)
        if MATRICES not in self.tags:
            return tuple(dict.fromkeys((dtype,) * len(self.tags) for dtype in self.dtypes))
        stored = {"float32": ("float32", "uint16")}
        return tuple((kept, dtype) for dtype in self.dtypes for kept in stored.get(dtype, (dtype,)))

    def load(self) -> Any:
        """Import the module of the kernel and return the kernel."""
        found = _load(self.kernel)
        return _load(self.around)(found) if self.around else found


@cache
def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(f"rtlstm.kernels.{module}"), name)


RULES = tuple(dict.fromkeys(row.kernels for row in tables.RULES))  # modules of kernels/learn
BLOCK_RULES = {row.kernels for row in tables.RULES if row.window != "no"}  # learn from windows


def _rule(name: str) -> tuple[Entry, ...]:
    """What a learning rule's kernels do to learners, each a row of three matrices."""
    kernel, around = f"learn.{name}:", "learn.driver:"
    step = ("rows", "X", "Y", "P", "count")
    made = [
        Entry(f"{name}.step", kernel + "run", LEARNER, step, around + "learner_rows"),
        Entry(f"{name}.gradient", kernel + "gradient", LEARNER, ("row", "g"), around + "gradient"),
    ]
    if name in BLOCK_RULES:
        made.append(Entry(f"{name}.close", kernel + "close", LEARNER, ("row",), around + "close"))
    return tuple(made)


def _task(name: str, kernel: str, table: tuple[str, ...], *numbers: str) -> Entry:
    """What is done to a forecaster, classifier or regressor, whose networks are of one dtype."""
    return Entry(name, f"tasks.entry_points:{kernel}", table, numbers, dtypes=("float32",))


ON_CHIPS = ("row", "time", "learn", "late", "out")


def _rows(
    name: str,
    step: str,
    around: str,
    numbers: tuple[str, ...] = ("rows", "times", "call", "out", "values"),
) -> Entry:
    """A forecaster's rows, around the step of a learning rule."""
    return Entry(name, step, FORECASTER, numbers, f"tasks.entry_points:{around}", ("float32",))


ENTRIES: tuple[Entry, ...] = (
    Entry(
        "network.run", "network.forward:run_at", (PLAN, MATRICES, FLOAT_BUFFER), ("X", "Y", "rows")
    ),
    Entry(
        "streams.step",
        "network.streams:step_at",
        (PLAN, MATRICES, FLOAT_BUFFER, FLOAT_BUFFER),
        ("offsets", "X", "Y", "streams"),
    ),
    *(entry for rule in RULES for entry in _rule(rule)),
    Entry("fast.step", "native.fastcall_kernels:step_method", (), METHOD, dtypes=()),
    Entry("fast.learn", "native.fastcall_kernels:learn_method", (), METHOD, dtypes=()),
    Entry("learner.predict", "learn.driver:predict_at", LEARNER, ("x", "out")),
    Entry("learner.begin", "learn.driver:begin_at", LEARNER, ("row",)),
    Entry("learner.update", "learn.driver:update_at", LEARNER, ("total",)),
    Entry("jacobian.step", "network.jacobian:step_jacobian_at", (PLAN, FLOAT_BUFFER), ("x",)),
    Entry("rtrl.units", "learn.driver:units_at", (PLAN,), ()),
    Entry("rtrl.push", "learn.driver:push_at", (PLAN, FLOAT_BUFFER), ("first", "start")),
    _rows("forecaster.rows", "native.step_by_address:step", "rows_of"),
    _task("covariance.settle", "settle_at", (PLAN, FLOAT_BUFFER, DOUBLE_BUFFER), "target"),
    _task("supervised.predict", "predict_row_at", SUPERVISED, *LABELLED),
    _task("supervised.learn", "learn_label_at", SUPERVISED),
    _task("supervised.reset_network", "reset_supervised_at", SUPERVISED),
    _task("supervised.catch_up", "catch_up_at", SUPERVISED),
)
# A forecaster's rows with the learning rule inside, in no library and not warmed up: for chips, and
# for Python where a kernel cannot be called by its address.
CHIP_ENTRIES: tuple[Entry, ...] = tuple(
    _rows(f"forecaster.row_{rule}", f"learn.{rule}:run", "row_for_chips", ON_CHIPS)
    for rule in RULES
)
INLINE_ENTRIES: tuple[Entry, ...] = tuple(
    _rows(f"forecaster.rows_{rule}", f"learn.{rule}:run", "rows_inline") for rule in RULES
)
_BY_NAME = {entry.name: entry for entry in (*ENTRIES, *CHIP_ENTRIES, *INLINE_ENTRIES)}


def find(name: str) -> Entry:
    """Return the entry of a name; raises KeyError if there is none."""
    return _BY_NAME[name]
