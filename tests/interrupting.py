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
def table(code: Any) -> dict[int, tuple[bool, Any]]:
    """Of each instruction of a function: whether Python looks there, and its handler.

    The handler is where an exception there goes on, None if it leaves the function. A trace
    function raises at the instruction behind the one that looked; where that would go another way
    than the signal itself, it must not.
    """
    ranges = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    found = {}
    for offset in range(0, len(code.co_code), 2):
        handler = next((e.target for e in ranges if e.start <= offset < e.end), None)
        found[offset] = dis.opname[code.co_code[offset]] in LOOKED, handler
    return found


class Interrupter:
    """A trace function that raises at the n-th place."""

    def __init__(self, n: int) -> None:
        self.left, self.raised = n, False
        self.frame: Any = None  # of the last instruction
        self.looked, self.handler = False, None

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(ROOT):
            return None
        if code.co_name == "_dismiss":  # of a thing that is thrown away meanwhile
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions = table(code)

        def step(frame: Any, event: str, _: Any) -> Any:
            if event != "opcode":
                return step
            looks, handler = instructions[frame.f_lasti]
            looked = self.looked and (self.frame is not frame or self.handler == handler)
            self.frame, self.looked, self.handler = frame, looks, handler
            if looked and not self.raised:
                self.left -= 1
                if self.left < 0:
                    self.raised = True
                    raise Interrupt
            return step

        return step


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
