"""Interrupts at every place where Python can deliver one, one place after the other.

A signal's handler, and so KeyboardInterrupt, runs where the interpreter looks for it: after a call,
at the head of a function, at a jump backwards. `boundaries` makes a call once for each such place
that it passes in the package's own code, and raises there.
"""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import rtlstm

ROOT = str(Path(rtlstm.__file__).parent)
LOOKED = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "RESUME", "JUMP_BACKWARD"}


class Interrupt(KeyboardInterrupt):
    """One that no part of Python raises by itself."""


@cache
def handler(code: Any, offset: int) -> Any:
    """Where an exception at an instruction goes on in its function, None if it leaves it.

    A trace function raises at the instruction behind the one that looked; where that would go
    another way than the signal itself, it must not.
    """
    table = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    return next((e.target for e in table if e.start <= offset < e.end), None)


class Interrupter:
    """A trace function that raises at the n-th place."""

    def __init__(self, n: int) -> None:
        self.left, self.raised = n, False
        self.last: tuple[Any, int, str] = None, 0, ""

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        if frame.f_code.co_name == "_dismiss":  # of a thing that is thrown away meanwhile
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            where, offset, name = self.last
            here = frame.f_lasti
            looked = name in LOOKED and (
                where is not frame or handler(frame.f_code, offset) == handler(frame.f_code, here)
            )
            self.last = frame, here, dis.opname[frame.f_code.co_code[here]]
            if looked and not self.raised:
                self.left -= 1
                if self.left < 0:
                    self.raised = True
                    raise Interrupt
        return self


def interrupted(call: Callable[[], Any], n: int) -> bool:
    """Make the call with an interrupt at its n-th place; False if it has no more."""
    trace = Interrupter(n)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
    return trace.raised


def boundaries(
    call: Callable[[], Any], prepare: Callable[[], Any], stride: int = 1
) -> Iterator[int]:
    """Make the call once a place, each time after `prepare`; yields after each interrupt.

    stride: how many places are passed over for one that is tried; RTLSTM_EVERY_PLACE=1 tries all.
    """
    for n in range(0, 100_000, 1 if os.environ.get("RTLSTM_EVERY_PLACE") else stride):
        prepare()
        if not interrupted(call, n):
            return
        yield n
    raise AssertionError("it never ends")
