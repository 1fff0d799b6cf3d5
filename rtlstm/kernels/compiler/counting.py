"""Loops that count in 32 bits, for chips whose registers hold no more.

Numba counts a `range` in 64 bits, and so do the indices that come of it: on a Cortex-M each step of
a product took 16 instructions, ten of which only counted. Nothing on a chip has 2**31 elements.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.base import BaseContext

from rtlstm.kernels.compiler.contexts import replaced

__all__ = ["short_counts"]

SHORT, WIDE = ir.IntType(32), ir.IntType(64)


def _begin(context: Any, signature: Any, builder: Any, arguments: Any, loc: Any = None) -> Any:
    """The iterator of a range: where it stands, its step, and how many are to come."""
    state = context.make_helper(builder, signature.args[0], arguments[0])
    ends = (state.start, state.stop, state.step)
    start, stop, step = (builder.trunc(end, SHORT) for end in ends)
    difference = builder.sub(stop, start)
    whole, rest = builder.sdiv(difference, step), builder.srem(difference, step)
    partly = builder.zext(builder.icmp_signed("!=", rest, SHORT(0)), SHORT)
    ahead = builder.xor(
        builder.icmp_signed(">", difference, SHORT(0)), builder.icmp_signed("<", step, SHORT(0))
    )
    count = builder.select(ahead, builder.add(whole, partly), SHORT(0))
    made = context.make_helper(builder, signature.return_type)
    rooms = (cgutils.alloca_once_value(builder, value) for value in (start, count))
    made.iter, made.count = (builder.bitcast(room, WIDE.as_pointer()) for room in rooms)
    made.stop, made.step = state.stop, state.step
    return made._getvalue()


def _next(context: Any, signature: Any, builder: Any, arguments: Any, loc: Any = None) -> Any:
    """The next number of a range, and whether there was one."""
    given = context.make_helper(builder, signature.args[0], arguments[0])
    pair = context.make_helper(builder, signature.return_type)
    places = [builder.bitcast(place, SHORT.as_pointer()) for place in (given.count, given.iter)]
    count, value = (builder.load(place) for place in places)
    pair.second = builder.icmp_signed(">", count, SHORT(0))
    pair.first = builder.sext(value, WIDE)
    with builder.if_then(pair.second):
        builder.store(builder.sub(count, SHORT(1), flags=["nsw"]), places[0])
        step = builder.trunc(given.step, SHORT)
        builder.store(builder.add(value, step, flags=["nsw"]), places[1])
    return pair._getvalue()


MADE = {
    ("getiter", types.range_state64_type): _begin,
    ("iternext", types.range_iter64_type): _next,
}


def short_counts() -> AbstractContextManager[None]:
    """Count every range in 32 bits, in what is lowered meanwhile."""
    usual = BaseContext.get_function

    def get_function(self: Any, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        own = MADE.get((fn, sig.args[0])) if isinstance(fn, str) and sig.args else None
        return partial(own, self, sig) if own else usual(self, fn, sig, _firstcall)

    return replaced(BaseContext, "get_function", get_function)
