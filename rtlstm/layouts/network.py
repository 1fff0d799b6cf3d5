"""Where every array of a network lies in its arena, and the plan that tells the kernels.

Whatever builds on a network goes on with the same arena, so a network's plan stays true inside a
learner's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.layouts.arena import Arena, ArenaLayout, ArrayLayout, padded
from rtlstm.spec import GRU, LSTM, RNN, Layer, NetworkSpec, Squash

LAYOUTS = 16  # that are kept, of the specifications used last
FEW_INPUTS = 16  # inputs, or a quarter of the units: see `float32_rows`
CELLS: dict[type, int] = {LSTM: p.LSTM, GRU: p.GRU, RNN: p.RNN}
HEADS = {
    None: p.NO_HEAD,
    "linear": p.LINEAR_HEAD,
    "logistic": p.LOGISTIC_HEAD,
    "softmax": p.SOFTMAX_HEAD,
}


class NetworkLayout(NamedTuple):
    """The plan of a network and the names of what its arena holds."""

    spec: NetworkSpec
    plan: np.ndarray[Any, Any]
    parameters: dict[str, ArrayLayout]
    state: dict[str, ArrayLayout]
    constants: dict[int, tuple[float, ...]]

    def prepare(self, arena: Arena) -> None:
        """Write the constants that the kernels read."""
        for offset, values in self.constants.items():
            arena.f[offset : offset + len(values)] = values


@lru_cache(LAYOUTS)
def alone(spec: NetworkSpec) -> tuple[NetworkLayout, ArenaLayout]:
    """Lay a network out in an arena of its own; equal specifications share one layout.

    Nobody may change it. Loading a file asks for it twice: for the tensors that there must be, and
    for the network.
    """
    arena = ArenaLayout()
    return network(spec, arena), arena


def network(spec: NetworkSpec, arena: ArenaLayout, mask: bool = False) -> NetworkLayout:
    """Lay a network out in an arena: parameters first, then its state, then one frame.

    mask: a frame has room for factors of the head's features, which come behind every sample.
    """
    theta, store = arena.sizes["f"], "h" if spec.storage == "bfloat16" else "f"
    records = [
        _record(layer, m, arena, store, 0 if number else float32_rows(spec))
        for number, (layer, m) in enumerate(_widths(spec))
    ]
    head = np.full(p.HEADER_LEN, -1, np.int64)
    _head(spec, head, arena)
    head[p.THETA], head[p.THETA_LEN] = theta, arena.sizes["f"] - theta
    constants = dict(
        c for (la, _), r in zip(_widths(spec), records) for c in _constants(la, r, arena)
    )
    head[p.STATE_LEN] = _stack_up(records, _STATE)
    head[p.STATE] = arena.reserve("f", int(head[p.STATE_LEN]))
    frame = ArenaLayout()
    for record in records:
        _frame(record, frame)
    head[p.FEAT] = frame.reserve("f", int(head[p.FEATURES_P]))
    head[p.PRE] = frame.reserve("f", spec.outputs)
    head[p.OUT] = frame.reserve("f", spec.outputs)
    if mask:
        head[p.MASK] = frame.reserve("f", int(head[p.FEATURES_P]))
        head[p.SAMPLE] += spec.layers[-1].units
    head[p.FRAME_LEN] = frame.sizes["f"]
    head[p.FRAME] = arena.reserve("f", int(head[p.FRAME_LEN]))
    plan = np.concatenate([head, *records])
    plan.setflags(write=False)
    parameters = dict(_parameters(spec, head, records))
    state = dict(_state(spec, int(head[p.STATE]), records))
    arena.saved.update({f"parameters.{name}": place for name, place in parameters.items()})
    arena.saved.update({f"state.{name}": place for name, place in state.items()})
    return NetworkLayout(spec, plan, parameters, state, constants)


def float32_rows(spec: NetworkSpec) -> int:
    """Rows of the first matrix, those that meet the samples, that stay float32 beside bfloat16.

    All of them or none. They make most of the error, since nothing makes up for it (`rounding`).
    Few cost no time; as many as 256 units have would cost half of a step.
    """
    few = max(FEW_INPUTS, spec.layers[0].units // 4)
    return spec.inputs if spec.storage and spec.inputs <= few else 0


def record(plan: np.ndarray[Any, Any], layer: int) -> np.ndarray[Any, Any]:
    """The record of one layer inside a plan."""
    start = p.HEADER_LEN + layer * p.LAYER_LEN
    return plan[start : start + p.LAYER_LEN]


# --------------------------------------------------------------------------- the plan
def _widths(spec: NetworkSpec) -> list[tuple[Layer, int]]:
    widths = [spec.inputs, *(layer.units for layer in spec.layers)]
    return list(zip(spec.layers, widths))


def _groups(layer: Layer) -> list[str]:
    """Letters of the column groups that act on the cell, in order."""
    absent = set(layer.cell.groups) - set(layer.columns) if isinstance(layer, LSTM) else set()
    return [letter for letter in layer.cell.groups if letter not in absent]


def _record(
    layer: Layer, m: int, arena: ArenaLayout, store: str, exact: int
) -> np.ndarray[Any, Any]:
    r = np.full(p.LAYER_LEN, -1, np.int64)
    n, size = layer.units, getattr(layer, "block_size", 1)
    r[p.CELL], r[p.M], r[p.N], r[p.NP] = CELLS[type(layer)], m, n, padded(n)
    r[p.S], r[p.NB], r[p.NBP] = size, n // size, padded(n // size)
    r[p.TIED] = "c" not in layer.cell.state
    r[p.COUPLED] = getattr(layer, "forget_gate", None) == "coupled"
    r[p.RESIDUAL], r[p.HIGHWAY] = layer.residual, layer.highway
    _columns(layer, r)
    _rows(layer, r)
    r[p.EXACT], r[p.W_EXACT] = exact, arena.reserve("f", exact, r[p.R])
    r[p.W] = arena.reserve(store, r[p.K] - exact, r[p.R])
    for letter in getattr(layer, "peeps", ()):
        at = p.O_PEEP if letter == "o" else p.GROUP_PEEP + r[{"i": p.G_I, "f": p.G_F}[letter]]
        r[at] = arena.reserve("f", r[p.NP])
    return r


def _columns(layer: Layer, r: np.ndarray[Any, Any]) -> None:
    """Column groups of W: t, o, then those that act on the cell."""
    column = 0
    if layer.highway:
        r[p.COL_T], column = 0, r[p.NP]
    gates = layer.gates if isinstance(layer, LSTM) else ()
    back = gates if getattr(layer, "recurrence", "") in ("gates", "all") else ()
    r[p.BACK] = len(back)
    if "o" in gates:
        r[p.O_COL] = column
        r[p.O_BACK] = back.index("o") if back else -1
        column += r[p.NBP]
    r[p.COL_C] = column
    for g, letter in enumerate(_groups(layer)):
        gate = letter in gates
        r[p.GROUP_COL + g], r[p.GROUP_GATE + g] = column, gate
        r[p.GROUP_BACK + g] = back.index(letter) if letter in back else -1
        if isinstance(layer, LSTM):
            r[{"i": p.G_I, "f": p.G_F, "z": p.G_Z}[letter]] = g
        column += r[p.NBP] if gate else r[p.NP]
    r[p.GROUPS], r[p.R] = len(_groups(layer)), column


def _rows(layer: Layer, r: np.ndarray[Any, Any]) -> None:
    """Rows of W and the columns that are weights in each; all others are structural zeros."""
    first, last, z = max(0, r[p.COL_T]), r[p.R], r[p.GROUP_COL + r[p.GROUPS] - 1]
    inner = r[p.NP] if layer.highway else 0
    recurrence = getattr(layer, "recurrence", "outputs")
    bias = getattr(layer, "bias", True)
    row = r[p.M]
    r[p.X_LO], r[p.X_HI] = first, last
    r[p.Y_LO], r[p.Y_HI] = inner, last
    if isinstance(layer, GRU):  # n | r z | nh: inputs reach the first three, y' the last three
        r[p.X_HI], r[p.Y_LO] = z, r[p.GROUP_COL + 1]
    if recurrence != "none":
        r[p.ROW_Y], row = row, row + r[p.N]
    if r[p.BACK]:
        r[p.ROW_GATES], row = row, row + r[p.BACK] * r[p.NB]
        r[p.GATES_LO], r[p.GATES_HI] = inner, last if recurrence == "all" else z
    if bias:
        r[p.ROW_BIAS], row = row, row + 1
        r[p.BIAS_LO], r[p.BIAS_HI] = first, last if bias is True else z
    r[p.K] = row


def _head(spec: NetworkSpec, head: np.ndarray[Any, Any], arena: ArenaLayout) -> None:
    head[p.LAYERS], head[p.INPUTS], head[p.OUTPUTS] = len(spec.layers), spec.inputs, spec.outputs
    head[p.SAMPLE] = spec.inputs
    head[p.HEAD] = HEADS[spec.head]
    features = spec.layers[-1].units
    if spec.head_inputs:
        head[p.HEAD_INPUTS], features = features, features + spec.inputs
    if spec.head and spec.head_bias:
        head[p.HEAD_BIAS], features = features, features + 1
    head[p.FEATURES], head[p.FEATURES_P] = features, padded(features)
    if spec.head:
        head[p.HEAD_W] = arena.reserve("f", spec.outputs, padded(features))


def _constants(
    layer: Layer, r: np.ndarray[Any, Any], arena: ArenaLayout
) -> Iterator[tuple[int, tuple[float, ...]]]:
    squashes: tuple[tuple[int, int, Squash], ...]
    if isinstance(layer, LSTM):
        squashes = (
            (p.G_KIND, p.G_CONST, layer.input_squash),
            (p.H_KIND, p.H_CONST, layer.output_squash),
        )
    elif isinstance(layer, RNN):
        squashes = ((p.G_KIND, p.G_CONST, layer.activation),)
    else:
        squashes = ((p.G_KIND, p.G_CONST, Squash("tanh")),)
    for kind, at, squash in squashes:
        r[kind], r[at] = tables.code(tables.SQUASHES, squash.kind), arena.reserve("f", 2)
        yield int(r[at]), (squash.alpha, squash.beta)


_STATE = ((p.S_C, p.NP), (p.S_Y, p.NP))
_FRAME = (p.F_O, p.F_I, p.F_F, p.F_Z, p.F_CP, p.F_C, p.F_HC, p.F_Y, p.F_PHI, p.F_YC, p.F_YO)


def _stack_up(records: list[np.ndarray[Any, Any]], arrays: tuple[tuple[int, int], ...]) -> int:
    """Offsets of the state of all layers, one behind the other; returns its length."""
    at = 0
    for r in records:
        for offset, width in arrays:
            if offset == p.S_C and r[p.TIED]:
                r[p.S_C] = at  # c and y are one array
                continue
            r[offset], at = at, at + int(r[width])
        r[p.S_GATES], at = at, at + int(r[p.BACK] * r[p.NBP])
    return at


def _frame(r: np.ndarray[Any, Any], frame: ArenaLayout) -> None:
    n = int(r[p.NP])
    r[p.F_U] = frame.reserve("f", int(r[p.K]))
    r[p.F_A] = frame.reserve("f", int(r[p.R]))
    for offset in _FRAME:
        r[offset] = frame.reserve("f", n)
    r[p.F_T], r[p.F_YHAT] = -1, r[p.F_Y]
    if r[p.HIGHWAY]:
        r[p.F_T] = frame.reserve("f", n)
    if r[p.HIGHWAY] or r[p.RESIDUAL]:
        r[p.F_YHAT] = frame.reserve("f", n)
    r[p.F_KAPPA] = frame.reserve("f", int(r[p.GROUPS]), n)
    r[p.F_SLOPE] = frame.reserve("f", int(r[p.BACK]), int(r[p.NBP]))


# --------------------------------------------------------------------------- names
def _parameters(
    spec: NetworkSpec, head: np.ndarray[Any, Any], records: list[np.ndarray[Any, Any]]
) -> Iterator[tuple[str, ArrayLayout]]:
    for number, (layer, r) in enumerate(zip(spec.layers, records)):
        for name, place in _layer_parameters(layer, r, spec.storage):
            yield f"layer{number}.{name}", place
    if spec.head:
        features, width = int(head[p.FEATURES] - (head[p.HEAD_BIAS] >= 0)), int(head[p.FEATURES_P])
        w = int(head[p.HEAD_W])
        yield "head.W", ArrayLayout("f", w, (features, spec.outputs), (1, width))
        if head[p.HEAD_BIAS] >= 0:
            yield "head.b", ArrayLayout("f", w + features, (spec.outputs,), (width,))


def _layer_parameters(
    layer: Layer, r: np.ndarray[Any, Any], storage: str | None
) -> Iterator[tuple[str, ArrayLayout]]:
    """W, R, G (from the gates' last activations), b and p of each column group, live parts only."""
    n, nb = int(r[p.N]), int(r[p.NB])
    names = [("t", int(r[p.COL_T]), n)] if layer.highway else []
    if r[p.O_COL] >= 0:
        names.append(("o", int(r[p.O_COL]), nb))
    for g, letter in enumerate(_groups(layer)):
        names.append((letter, int(r[p.GROUP_COL + g]), nb if r[p.GROUP_GATE + g] else n))
    stride, exact = int(r[p.R]), int(r[p.EXACT])
    most = ("h" if storage else "f", int(r[p.W]) - exact * stride)
    first = ("f", int(r[p.W_EXACT])) if exact else most
    kinds = (
        ("W", first, 0, int(r[p.M]), r[p.X_LO], r[p.X_HI]),
        ("R", most, int(r[p.ROW_Y]), n, r[p.Y_LO], r[p.Y_HI]),
        ("G", most, int(r[p.ROW_GATES]), int(r[p.BACK]) * nb, r[p.GATES_LO], r[p.GATES_HI]),
        ("b", most, int(r[p.ROW_BIAS]), 1, r[p.BIAS_LO], r[p.BIAS_HI]),
    )
    for kind, (part, base), row, rows, lo, hi in kinds:
        for letter, column, width in names:
            if row < 0 or not lo <= column < hi:
                continue
            at = base + row * stride + column
            if kind == "b":
                yield (
                    f"b.{'hn' if letter == 'nh' else letter}",
                    ArrayLayout(part, at, (width,), (1,)),
                )
            else:
                letter = "n" if letter == "nh" else letter
                yield f"{kind}.{letter}", ArrayLayout(part, at, (rows, width), (stride, 1))
    for letter, at in (
        ("o", p.O_PEEP),
        ("i", p.GROUP_PEEP + r[p.G_I]),
        ("f", p.GROUP_PEEP + r[p.G_F]),
    ):
        if letter in getattr(layer, "peeps", ()):
            size = int(r[p.S])
            shape, strides = ((n,), (1,)) if size == 1 else ((size, nb), (1, size))
            yield f"p.{letter}", ArrayLayout("f", int(r[at]), shape, strides)


def _state(
    spec: NetworkSpec, base: int, records: list[np.ndarray[Any, Any]]
) -> Iterator[tuple[str, ArrayLayout]]:
    for number, (layer, r) in enumerate(zip(spec.layers, records)):
        n, nb = int(r[p.N]), int(r[p.NB])
        if "c" in layer.cell.state:
            yield f"layer{number}.c", ArrayLayout("f", base + int(r[p.S_C]), (n,), (1,))
        yield f"layer{number}.y", ArrayLayout("f", base + int(r[p.S_Y]), (n,), (1,))
        backs = {"o": r[p.O_BACK], **{g: r[p.GROUP_BACK + k] for k, g in enumerate(_groups(layer))}}
        for letter, place in backs.items():
            if r[p.BACK] and place >= 0:
                at = base + int(r[p.S_GATES] + place * r[p.NBP])
                yield f"layer{number}.{letter}", ArrayLayout("f", at, (nb,), (1,))
