"""Numbered slots: plain integers for the kernels, with what each one means kept beside it.

A kernel reads ``plan[p.UNITS]``, where ``p.UNITS`` must be a plain integer of a module. A
:class:`SlotTable` deals such integers out in order and keeps a :class:`Slot` for each: its name,
the buffer and shape it leads to, and one sentence. `rtlstm inspect --plan` prints them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

BUFFERS = {
    "f": "floats of the network's dtype",
    "h": "matrices in the storage dtype: that of f, or bfloat16",
    "d": "float64",
    "c": "covariances: f of a forecaster, d of a classifier or regressor",
    "q": "int64",
    "plan": "int64, further on in this plan",
    "state": "floats, relative to the base of a state",
    "frame": "floats, relative to the base of a frame",
    "work": "floats, relative to the base of the scratch of a backward pass",
    "ring": "floats, relative to the start of a row of the ring",
}


class Slot(NamedTuple):
    """One entry of a table of integers or numbers.

    buffer: "" for a value of its own, else a key of :data:`BUFFERS`, in which the value is the
    offset of an array of this shape.
    """

    name: str
    value: int
    buffer: str
    shape: str
    meaning: str


class SlotTable:
    """Deals out consecutive integers, and knows what each of them stands for.

    title: what the table describes. after: the table whose slots come first, if any.
    """

    def __init__(self, title: str, after: SlotTable | None = None) -> None:
        self.title = title
        self.first = len(after) if after else 0
        self.slots: list[Slot] = list(after.slots) if after else []

    def __len__(self) -> int:
        return len(self.slots)

    def number(self, meaning: str) -> int:
        """The next slot, which holds a value of its own."""
        return self.array("", "", meaning)

    def array(self, buffer: str, shape: str, meaning: str) -> int:
        """The next slot, which holds the offset of an array of this shape in a buffer."""
        if buffer and buffer not in BUFFERS:
            raise ValueError(f"no buffer {buffer!r} among {', '.join(BUFFERS)}")
        self.slots.append(Slot("", len(self.slots), buffer, shape, meaning))
        return len(self.slots) - 1

    def close(self, namespace: dict[str, Any]) -> int:
        """Name the slots after the variables just assigned; returns their number.

        namespace: the `globals()` of the module in which every slot since the table was made has
        been assigned to a name of its own, and nothing else. Raises ValueError if it was not so.
        """
        new = self.slots[self.first :]
        names = list(namespace)[-len(new) :]
        if [namespace[name] for name in names] != [slot.value for slot in new]:
            raise ValueError(f"the slots of the {self.title} do not have a name each")
        self.slots[self.first :] = [
            Slot(name, slot.value, slot.buffer, slot.shape, slot.meaning)
            for name, slot in zip(names, new, strict=True)
        ]
        return len(self.slots)
