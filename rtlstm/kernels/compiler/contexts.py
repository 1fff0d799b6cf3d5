"""Look up once what numba looks up again and again while it compiles.

Of the time that numba took to type and lower a tree of kernels, 20 % went into trying some twenty
templates for every ``+``, each found through a table whose key hashes all flags of the compiler,
and again for every ``+`` when it is lowered, first with a constant in place of each operand; 10 %
into reading its registries anew for every function, and whenever such a trial finds nothing; and
10 % into Python's garbage collector walking over those registries.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from numba.core import types
from numba.core.compiler import Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.core.imputils import builtin_registry
from numba.core.typing import Context
from numba.cpython import slicing

__all__ = [
    "Target",
    "Typing",
    "gc_paused",
    "interned_flags",
    "nonnegative_indices",
    "remembered_operators",
    "replaced",
]


class Typing(Context):  # type: ignore[misc]
    """A typing context that remembers what built-in functions return, over another's tables."""

    def __init__(self, base: Any) -> None:
        self.__dict__ = base.__dict__

    @classmethod
    @cache
    def of(cls, base: Any) -> Typing:
        """The one over ``base``; it is as fresh as that is."""
        return cls(base)

    def refresh(self) -> None:
        """Leave it to the one over which it lies."""

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        if not isinstance(func, types.Function):  # a kernel, whose callers wait for its compilation
            return super().resolve_function_type(func, args, kws)
        return self._built_in(func, tuple(args), tuple(kws.items()))

    @cache  # noqa: B019 - there is one of these for as long as the process lives
    def _built_in(self, func: Any, args: tuple[Any, ...], kws: tuple[Any, ...]) -> Any:
        return super().resolve_function_type(func, args, dict(kws))


class Target:
    """A target context that is not read anew when a compiler begins, only when it lacks something.

    That happens once an intrinsic: numba registers one while it types the first call of it.
    """

    known = (0, 0)  # implementations and modules when the registries were read last

    def __init__(self, base: Any) -> None:
        self._base = base

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        """Return the implementation of ``fn``; registries are read anew only if any has grown."""
        try:
            return self._base.get_function(fn, sig, _firstcall=False)
        except NotImplementedError:
            found = len(builtin_registry.functions), len(sys.modules)
            if not _firstcall or found == Target.known:
                raise
        self._base.refresh()
        Target.known = len(builtin_registry.functions), len(sys.modules)
        return self._base.get_function(fn, sig, _firstcall=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)

    def refresh(self) -> None:
        """Leave it to whoever misses something."""


class _InternedFlags(Flags):  # type: ignore[misc]
    """Flags that nobody changes any more, hashed and compared by identity."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def copy(self) -> _InternedFlags:
        return self


_interned: dict[str, _InternedFlags] = {}


def interned_flags(flags: Any) -> Any:
    """The one object that stands for flags of these values."""
    return _interned.setdefault(repr(flags.values()), _InternedFlags(flags))


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute another value while numba's lock is held, so that nobody else compiles."""
    with global_compiler_lock:
        original = getattr(owner, name)
        setattr(owner, name, value)
        try:
            yield
        finally:
            setattr(owner, name, original)


def nonnegative_indices() -> AbstractContextManager[None]:
    """Take no index as counted from the end: a kernel's never is.

    To ask each one took 250 of 1,600 instructions of a step of 16 units, and kept LLVM from joining
    the elements of a loop.
    """
    return replaced(slicing, "fix_index", lambda builder, index, size: index)


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Without the garbage collector, which finds nothing here but numba's tables."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


_SIMPLE = (types.Number, types.Boolean, types.Literal, types.Array, types.Omitted)  # type: ignore[attr-defined]
_signatures: dict[Any, Any] = {}
_get_call_type = types.Function.get_call_type


def remembered_operators() -> AbstractContextManager[None]:
    """Look up once what an operator or function makes of numbers and of arrays of them."""
    return replaced(types.Function, "get_call_type", _remembered_call_type)


def _remembered_call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
    key = self, tuple(args)
    if kws or not all(isinstance(arg, _SIMPLE) for arg in args):
        return _get_call_type(self, context, args, kws)
    if key not in _signatures:
        try:
            _signatures[key] = _get_call_type(self, context, args, kws)
        except TypingError as error:
            _signatures[key] = error
    if isinstance(_signatures[key], TypingError):
        raise _signatures[key]
    return _signatures[key]
