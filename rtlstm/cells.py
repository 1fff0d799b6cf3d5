"""What a cell is made of, in the one place where the orders of its parts are written.

Letters: i, f, o are the input, forget and output gate of an LSTM and z its block input; r, z, n the
reset gate, update gate and candidate of a GRU, nh the half of the candidate that r scales; a the
pre-activation of an RNN; t the transform gate of a highway; h the output and c the cell.
"""

from __future__ import annotations

from typing import NamedTuple


class CellShape(NamedTuple):
    """The parts of a cell and their orders, here and in the files of others.

    gates: letters of the gates, in the order of the columns of W. groups: the column groups of W
    that act on the cell, in order, behind those of a transform gate and an output gate. graph: the
    column groups in graphs of plain ONNX operators, gates first. biases: groups that can have a
    bias. state: what is carried from step to step; without "c", h is the cell. onnx, torch, keras:
    the order of the gates in their weights; onnx_peepholes: in ONNX's P.
    """

    name: str
    gates: tuple[str, ...]
    groups: tuple[str, ...]
    graph: tuple[str, ...]
    biases: tuple[str, ...]
    state: tuple[str, ...]
    onnx: str
    torch: str
    keras: str
    onnx_peepholes: str = ""


LSTM = CellShape(
    "LSTM",
    gates=("o", "i", "f"),
    groups=("i", "f", "z"),
    graph=("o", "i", "f", "z"),
    biases=("o", "i", "f", "z"),
    state=("h", "c"),
    onnx="iofz",
    torch="ifzo",
    keras="ifzo",
    onnx_peepholes="iof",
)
GRU = CellShape(
    "GRU",
    gates=("r", "z"),
    groups=("n", "r", "z", "nh"),
    graph=("r", "z", "n", "nh"),
    biases=("r", "z", "n", "hn"),
    state=("h",),
    onnx="zrn",
    torch="rzn",
    keras="zrn",
)
RNN = CellShape(
    "RNN",
    gates=(),
    groups=("a",),
    graph=("a",),
    biases=("a",),
    state=("h",),
    onnx="a",
    torch="a",
    keras="a",
)
CELLS = (LSTM, GRU, RNN)
