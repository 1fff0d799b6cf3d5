"""The decorator that makes a primitive of a twin and an emission."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.kernels.compiler import mode
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.vector.emit import I64, Emitter, Slice, Value, declare

if mode.COMPILES:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    FLOATS = (types.float32, types.float64)

__all__ = ["Array", "Plan", "primitive"]

Array = np.ndarray[Any, Any]  # floats, of one type in a call; uint16: bfloat16
Plan = np.ndarray[Any, np.dtype[np.int64]]
Emission = Callable[..., Value | None]


def primitive(emission: Emission, inline: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Make a primitive of the decorated twin, a plain loop with annotated parameters.

    `emission(e, *arguments)` writes the same as vectors.  In a compiled kernel the primitive is a
    call of an LLVM function, written once a module, inlined where LLVM thinks fit unless `inline`
    is false.  Under NUMBA_DISABLE_JIT and NUMBA_BOUNDSCHECK it is the twin: an intrinsic cannot run
    without the compiler, and bounds checks do not see inside it.
    `inspect.unwrap` of a primitive is its twin.
    """

    def decorate(twin: Callable[..., Any]) -> Any:
        if mode.CHECKED or not (mode.COMPILES and mode.VECTORS):
            return kernel(twin)
        parameters = list(inspect.signature(twin).parameters.values())

        def typing(typing_context: Any, *given: Any) -> Any:
            signature = _signature(twin, [p.annotation for p in parameters], given)
            return signature and (signature, codegen)

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            function = _function(context, builder.module, twin.__name__, emission, signature)
            if not inline:
                function.attributes.add("noinline")
            passed = [_lower(context, builder, *a) for a in zip(signature.args, arguments)]
            result = builder.call(function, passed)
            return context.get_dummy_value() if signature.return_type == types.none else result

        typing.__name__ = typing.__qualname__ = twin.__name__
        typing.__doc__, typing.__module__ = twin.__doc__, twin.__module__
        first = inspect.Parameter("typing_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        typing.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
        typing.__wrapped__ = twin  # type: ignore[attr-defined]
        return intrinsic(typing)

    return decorate


def _signature(twin: Any, kinds: list[str], given: tuple[Any, ...]) -> Any:
    """Return numba's signature for arguments of the types `given`, None if they do not fit."""
    of_kind = {kind: [t for t, k in zip(given, kinds) if k == kind] for kind in kinds}
    arrays, plans = of_kind["Array"], of_kind.get("Plan", [])
    for array in arrays + plans:
        if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C":
            return None
    if not all(isinstance(t, types.Integer | types.Boolean) for t in of_kind.get("int", [])):
        return None
    floats = {a.dtype for a in arrays} - {types.uint16}
    if len(floats) != 1 or not floats <= set(FLOATS) or {a.dtype for a in plans} - {types.int64}:
        return None
    scalar = floats.pop()
    known = {"int": types.int64, "float": scalar, "bool": types.boolean, "None": types.none}
    arguments = [known.get(kind, t) for t, kind in zip(given, kinds)]
    result = inspect.signature(twin).return_annotation
    return known[result](*arguments)


def _lower(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if not isinstance(kind, types.Array):
        return value
    data = context.make_array(kind)(context, builder, value).data
    return builder.bitcast(data, ir.PointerType())


def _function(context: Any, module: Any, name: str, emission: Emission, signature: Any) -> Any:
    """Return the LLVM function of an emission, written when the module first asks for it."""
    arrays = [t for t in signature.args if isinstance(t, types.Array)]
    mangled = ".".join(["rtlstm", name, *(str(a.dtype) for a in arrays)])
    if mangled in module.globals:
        return module.globals[mangled]
    scalar = next(context.get_value_type(a.dtype) for a in arrays if a.dtype in FLOATS)
    kinds = [_lowered_type(context, t) for t in signature.args]
    result = ir.VoidType()
    if signature.return_type != types.none:
        result = context.get_value_type(signature.return_type)
    function = declare(module, mangled, result, kinds)
    function.linkage = "linkonce_odr"
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    features = context.codegen().magic_tuple()[2]
    e = Emitter(builder, scalar, registers=32 if "+avx512f" in features else 8)
    arguments = [
        Slice(value, context.get_value_type(kind.dtype))
        if isinstance(kind, types.Array)
        else Value(e, value)
        for kind, value in zip(signature.args, function.args, strict=True)
    ]
    returned = emission(e, *arguments)
    if returned is None:
        builder.ret_void()
    else:
        builder.ret(returned.llvm)
    return function


def _lowered_type(context: Any, kind: Any) -> Any:
    if isinstance(kind, types.Array):
        return ir.PointerType()
    return I64 if kind == types.int64 else context.get_value_type(kind)
