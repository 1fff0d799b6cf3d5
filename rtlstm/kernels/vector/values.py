"""What an emission computes with: arrays, and LLVM values with ordinary arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rtlstm.kernels.compiler import mode

if TYPE_CHECKING:
    from rtlstm.kernels.vector.emit import Emitter

if mode.COMPILES:
    from llvmlite import ir

    I64, BFLOAT16 = ir.IntType(64), ir.IntType(16)
else:  # nothing is emitted
    ir = I64 = BFLOAT16 = None

__all__ = ["BFLOAT16", "FLAGS", "I64", "LANES", "Operand", "Slice", "Value", "declare", "ir"]

LANES = 8  # the layout pads units to this many elements
# numba adds the kernel's fast-math flags to float instructions that have none of their own; one
# that reassociates would undo the rounding constant of `exponential`.  This one is harmless.
FLAGS = ("nsz",)


class Slice:
    """The memory of an array argument: a pointer and the type of its elements."""

    def __init__(self, pointer: Any, element: Any) -> None:
        self.pointer = pointer
        self.element = element


class Value:
    """An LLVM value with arithmetic; `e` is where its instructions go."""

    def __init__(self, e: Emitter, llvm: Any) -> None:
        self.e = e
        self.llvm = llvm

    def __add__(self, other: Operand) -> Value:
        return self.e.binary("add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return self.e.binary("sub", self, other)

    def __mul__(self, other: Operand) -> Value:
        return self.e.binary("mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return self.e.binary("div", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.e.binary("sub", other, self)

    def __rtruediv__(self, other: Operand) -> Value:
        return self.e.binary("div", other, self)

    def __gt__(self, other: Operand) -> Value:
        return self.e.compare(">", self, other)

    def __lt__(self, other: Operand) -> Value:
        return self.e.compare("<", self, other)


Operand = Value | float


def declare(module: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Return the function `name` of `module`, declared if it is not there."""
    function = module.globals.get(name)
    return function or ir.Function(module, ir.FunctionType(result, arguments), name)
