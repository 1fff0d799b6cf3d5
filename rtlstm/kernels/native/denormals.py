"""Denormal numbers, which kernels take for 0, since many processors are slow at them.

Gates that saturate make numbers of 1e-38 and slopes of 1e-20, whose products are subnormal: on
x86-64 each such operation takes ten times as long. A learner whose weights had grown over 10^8
steps took 1.5 times as long a step, a network whose gates were shut 4.4 times. Traces and moments
are flushed where they are kept; what is formed and used up within a step is left to the processor's
own switch, here for the time of a call.
"""

from __future__ import annotations

from typing import Any

from rtlstm.kernels.compiler import mode

# MXCSR: results and operands that are subnormal are 0; and all six flags that remember exceptions
# are up, since to raise one (a product that underflows) takes 60 ns, in every call anew.
FLUSH = (1 << 15) | (1 << 6) | 0x3F

if not mode.COMPILES:

    def flush_denormals() -> int:
        """Nothing: the interpreter's own numbers are left alone."""
        return 0

    def restore_mode(mode: int) -> None:
        """Leave the processor as it is: it has no mode to restore."""

else:
    from llvmlite import ir
    from numba import types
    from numba.core.cgutils import alloca_once, get_or_insert_function
    from numba.extending import intrinsic

    _WORD = ir.IntType(32)

    def _register(builder: Any, way: str, word: Any) -> None:
        """Store MXCSR at a place ("st"), or load it from there ("ld")."""
        kind = ir.FunctionType(ir.VoidType(), [word.type])
        name = f"llvm.x86.sse.{way}mxcsr"
        builder.call(get_or_insert_function(builder.module, kind, name), [word])

    def _known(builder: Any) -> bool:
        triple = mode.TRIPLE or str(builder.module.triple)
        return mode.VECTORS and triple.startswith("x86_64")

    @intrinsic
    def flush_denormals(typing_context: Any) -> Any:
        """Let this thread take subnormal numbers for 0; returns its mode, for `restore_mode`.

        Does nothing on processors other than x86-64.
        """

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not _known(builder):
                return ir.Constant(ir.IntType(64), 0)
            word = alloca_once(builder, _WORD)
            _register(builder, "st", word)
            mode = builder.load(word)
            builder.store(builder.or_(mode, ir.Constant(_WORD, FLUSH)), word)
            _register(builder, "ld", word)
            return builder.zext(mode, ir.IntType(64))

        return types.int64(), codegen

    @intrinsic
    def restore_mode(typing_context: Any, mode: Any) -> Any:
        """Give the thread back the mode that `flush_denormals` found."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if _known(builder):
                word = alloca_once(builder, _WORD)
                builder.store(builder.trunc(arguments[0], _WORD), word)
                _register(builder, "ld", word)
            return context.get_dummy_value()

        return types.none(types.int64), codegen
