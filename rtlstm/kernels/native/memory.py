"""Single words of memory by their address, and calls of functions by theirs, inside kernels.

What a kernel needs to read Python's own objects and to call C, and nothing that is interpreted: see
`fastcall_kernels`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once
from numba.extending import intrinsic

WORD, HALF, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
INT = types.int64
FAILED = -1  # in place of the status of a kernel that has raised


@intrinsic
def load_int64(typing: Any, address: Any) -> Any:
    """Load the int64 at an address."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], WORD.as_pointer()))

    return INT(INT), codegen


@intrinsic
def load_int32(typing: Any, address: Any) -> Any:
    """Load the int32 at an address, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.load(builder.inttoptr(arguments[0], HALF.as_pointer()))
        return builder.sext(number, WORD)

    return INT(INT), codegen


@intrinsic
def store_int64(typing: Any, address: Any, number: Any) -> Any:
    """Store an int64 at an address."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], WORD.as_pointer()))
        return context.get_dummy_value()

    return types.none(INT, INT), codegen


def _calls(arguments: int) -> Any:
    """An intrinsic that calls the C function at an address with so many words, for one."""
    kind = ir.FunctionType(WORD, [WORD] * arguments)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.call(builder.inttoptr(given[0], kind.as_pointer()), given[1:])

    return INT(*[INT] * (1 + arguments)), codegen


def _runs(arguments: int, dtypes: int = 0) -> Any:
    """An intrinsic that calls a compiled kernel, as numba does, with so many words, for one.

    A numba function takes the places of its result and of an exception first, and returns whether
    there is one. No kernel of ours raises; FAILED would be the result of one that did. dtypes: how
    many the kernel takes behind its table: pointers that nothing reads, which are passed for the
    caller, since they are not as wide as a word everywhere.
    """
    results = [WORD.as_pointer(), BYTE.as_pointer().as_pointer()]
    nothing = [ir.Constant(BYTE.as_pointer(), None)] * dtypes
    words = [WORD] * (arguments - 1)
    kind = ir.FunctionType(HALF, [*results, WORD, *(one.type for one in nothing), *words])

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        result, raised = alloca_once(builder, WORD), alloca_once(builder, BYTE.as_pointer())
        function = builder.inttoptr(given[0], kind.as_pointer())
        status = builder.call(function, [result, raised, given[1], *nothing, *given[2:]])
        fine = builder.icmp_signed("==", status, HALF(0))
        return builder.select(fine, builder.load(result), WORD(FAILED))

    return INT(*[INT] * (1 + arguments)), codegen


@intrinsic
def call(typing: Any, function: Any, a: Any) -> Any:
    """Call the C function at an address with one argument."""
    return _calls(1)


@intrinsic
def call2(typing: Any, function: Any, a: Any, b: Any) -> Any:
    """Call the C function at an address with two arguments."""
    return _calls(2)


@intrinsic
def call8(
    typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any
) -> Any:
    """Call the C function at an address with eight arguments."""
    return _calls(8)


@intrinsic
def run6(typing: Any, kernel: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """Call the kernel at an address with six arguments."""
    return _runs(6)


@intrinsic
def run7(typing: Any, kernel: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """Call the kernel at an address with seven arguments."""
    return _runs(7)


@intrinsic
def run_rule(
    typing: Any, kernel: Any, table: Any, who: Any, x: Any, y: Any, p: Any, count: Any
) -> Any:
    """Call the kernel of a learning rule's steps at an address, whose dtype is passed for it."""
    return _runs(6, dtypes=1)
