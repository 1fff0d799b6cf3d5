"""Frozen dataclasses that share their methods.

`dataclasses.dataclass(frozen=True)` writes six methods for a class as source and compiles them: a
millisecond, which over all the classes that describe a learner is a third of what starting took.
Here a class shares functions that read its fields. All else is as dataclasses have it: `fields`,
`replace` and `asdict`, `__post_init__`, default values, arguments by keyword alone, signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import cache, partial
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["frozen"]

Made = TypeVar("Made")


@cache
def _signature(kind: type) -> inspect.Signature:
    """How a class is called: its fields, those by keyword alone last."""
    ordinary, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    made = []
    for part in sorted(fields(kind), key=lambda part: bool(part.kw_only)):
        default = inspect.Parameter.empty if part.default is MISSING else part.default
        way = keyword if part.kw_only else ordinary
        made.append(inspect.Parameter(part.name, way, default=default, annotation=part.type))
    return inspect.Signature(made, return_annotation=None)


class _Signature:
    """The signature of whatever class is asked, made when it is."""

    def __get__(self, instance: Any, kind: type) -> inspect.Signature:
        return _signature(kind)


def _init(self: Any, /, *args: Any, **named: Any) -> None:
    kind: Any = type(self)
    try:
        bound = _signature(kind).bind(*args, **named)
    except TypeError as error:
        raise TypeError(f"{kind.__name__}: {error}") from None
    bound.apply_defaults()
    self.__dict__.update(bound.arguments)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _compared(self: Any) -> tuple[Any, ...]:
    """The values of the fields that tell objects apart."""
    return tuple(getattr(self, part.name) for part in fields(self) if part.compare)


def _eq(self: Any, other: object) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return _compared(self) == _compared(other)


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:
    shown = (f"{part.name}={getattr(self, part.name)!r}" for part in fields(self) if part.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _setattr(self: Any, name: str, value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS: dict[str, Callable[..., Any]] = {
    "__init__": _init,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
_BY_VALUE: dict[str, Callable[..., Any]] = {"__eq__": _eq, "__hash__": _hash}


@overload
def frozen(kind: type[Made]) -> type[Made]: ...
@overload
def frozen(*, eq: bool) -> Callable[[type[Made]], type[Made]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[Any] | None = None, *, eq: bool = True) -> Any:
    """Make a class a frozen dataclass; a method that it has, or inherits, stays.

    Its fields have no `default_factory`, and all are arguments. eq: whether equal fields make equal
    objects, and equal hashes.
    """
    if kind is None:
        return partial(frozen, eq=eq)
    methods = _METHODS | _BY_VALUE if eq else _METHODS
    missing = [name for name in methods if getattr(kind, name) is getattr(object, name)]
    made: Any = dataclass(init=False, repr=False, eq=False)(kind)
    for name in missing:
        setattr(made, name, methods[name])
    made.__signature__ = _Signature()
    return made
