"""How a kernel is compiled for Python, and how for the kernels that call it.

numba compiles a called function to the end, with wrappers for Python, optimised machine code and
the code of all that it calls in turn, and then optimises all of it again inside every caller.  In
a tree of small kernels seven calls deep nearly all of that is thrown away.  Here a kernel called
from a kernel is typed and lowered once a process and handed on as LLVM code that no pass but the
cheap ones for single functions has seen; the kernel called from Python links, inlines and optimises
everything at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from types import ModuleType
from typing import Any

from llvmlite.binding import create_new_function_pass_manager
from numba.core import ir
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.registry import CPUDispatcher
from numba.core.untyped_passes import IRProcessing

from rtlstm.kernels.compiler import fallback, mode
from rtlstm.kernels.compiler.contexts import (
    Target,
    Typing,
    gc_paused,
    interned_flags,
    nonnegative_indices,
    remembered_operators,
)

__all__ = ["KernelDispatcher"]


class KernelDispatcher(CPUDispatcher):  # type: ignore[misc]
    """The dispatcher of a kernel; what its callers get is compiled by another one, `linked`.

    Where the private way has failed, in this kernel or another, both are plain numba's instead.
    """

    def __init__(self, py_func: Any, c: bool = False) -> None:
        options: dict[str, Any] = {
            "nopython": True,
            "boundscheck": None,
            "nogil": True,
            "error_model": "numpy",
        }
        options |= {"fastmath": set(fallback.FASTMATH), "no_cfunc_wrapper": not c}
        # Arrays are borrowed from the caller in Python and none is made, so nothing needs counting:
        # two slices a step took 70 of 230 ns. In linked kernels, whose options would otherwise be
        # this one's, a count of nothing is a test for null.
        entry = {**options, "_nrt": False}
        super().__init__(py_func, targetoptions=entry, pipeline_class=_EntryCompiler)
        linked = {**options, "_nrt": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        self.linked = _LinkedDispatcher(
            py_func, targetoptions=linked, pipeline_class=_LinkedCompiler
        )

    @cached_property
    def plain(self) -> Any:
        """Plain numba's dispatcher of this kernel."""
        return fallback.plain_kernel(self.py_func)

    def compile(self, sig: Any) -> Any:
        if not fallback.is_active():
            try:
                with gc_paused(), nonnegative_indices(), remembered_operators():
                    return super().compile(sig)
            except Exception as error:
                return fallback.try_plain(error, lambda: self.plain.compile(sig))
        return self.plain.compile(sig)

    def place(self, signature: Any, c: bool) -> int:
        """Where the machine code for a signature lies, 0 of what plain numba compiled."""
        found = self.overloads.get(signature)
        if fallback.is_active() or found is None:
            return 0
        names = found.fndesc.llvm_func_name, found.fndesc.llvm_cfunc_wrapper_name
        return found.library.get_pointer_to_function(names[c])  # type: ignore[no-any-return]

    def _callee(self) -> Any:
        return self.plain if fallback.is_active() else self.linked

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return self._callee().get_call_template(args, kws)

    def get_overload(self, sig: Any) -> Any:
        return self._callee().get_overload(sig)


class _LinkedDispatcher(CPUDispatcher):  # type: ignore[misc]
    """Compiles a kernel as far as its callers need it."""

    def add_overload(self, cres: Any) -> None:
        # Callers find the code by the entry point; there is none, so its place takes an object.
        cres = cres._replace(entry_point=object())
        self.targetctx.insert_user_function(cres.entry_point, cres.fndesc, [cres.library])
        self.overloads[tuple(cres.signature.args)] = cres


# What numba does for comprehensions, closures, context managers, expressions over whole arrays and
# unrolled tuples, none of which a kernel has: a twentieth of the time of compiling.
UNUSED_PASSES = {
    *("WithLifting", "InlineClosureLikes", "MakeFunctionToJitFunction", "InlineInlinables"),
    *("FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass"),
    *("NopythonRewrites", "DumpParforDiagnostics"),
}


@register_pass(mutates_CFG=False, analysis_only=False)
class _FoldConstants(FunctionPass):  # type: ignore[misc]
    """Write a number that a kernel reads from a module, such as ``k.COUNTS``, into the kernel.

    A fifth of all statements is such, and each is typed and lowered.
    """

    _name = "fold_constants"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        blocks = state.func_ir.blocks.values()
        modules: dict[str, Any] = {}
        for block in blocks:
            for statement in block.find_insts(ir.Assign):
                value = statement.value
                if isinstance(value, ir.Global) and isinstance(value.value, ModuleType):
                    modules[statement.target.name] = value.value
                elif isinstance(value, ir.Expr) and value.op == "getattr":
                    found = getattr(modules.get(value.value.name), value.attr, None)
                    if type(found) in (int, float):
                        statement.value = ir.Const(found, value.loc)
        used = {name for block in blocks for name in _names_read(block)}
        for block in blocks:
            block.body = [
                statement
                for statement in block.body
                if not (isinstance(statement, ir.Assign) and statement.target.name in modules)
                or statement.target.name in used
            ]
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


def _names_read(block: Any) -> Iterator[str]:
    """The variables whose values a block's statements read."""
    for statement in block.body:
        if isinstance(statement, ir.Assign):
            value = statement.value
            if isinstance(value, ir.Var):
                yield value.name
            elif isinstance(value, ir.Inst):
                yield from (var.name for var in value.list_vars())
        else:
            yield from (var.name for var in statement.list_vars())


class _Compiler(Compiler):  # type: ignore[misc]
    """numba's pipeline without what no kernel needs."""

    def define_pipelines(self) -> Any:
        managers = super().define_pipelines()
        for manager in managers:
            manager.passes = [p for p in manager.passes if p[0].__name__ not in UNUSED_PASSES]
            manager.add_pass_after(_FoldConstants, IRProcessing)
            manager._finalized = False
            manager.finalize()
        return managers


class _EntryCompiler(_Compiler):
    """numba's pipeline into a library whose machine code has one way in."""

    def __init__(
        self, typing: Any, target: Any, _: Any, args: Any, result: Any, flags: Any, *rest: Any
    ) -> None:
        target.refresh()  # and typing with it: modules may have been imported since the last one
        library = _EntryLibrary(target.codegen(), "entry")
        library.enable_object_caching()
        contexts = Typing.of(typing), Target(target)
        super().__init__(*contexts, library, args, result, interned_flags(flags), *rest)


class _EntryLibrary(JITCodeLibrary):  # type: ignore[misc]
    """A library that nothing else links: what it holds of others is its own.

    So LLVM may inline what is called once and drop the arguments nobody reads (an array is seven);
    a step of a small network takes a quarter less. No name of it is left: the runtime's linker
    would take it for what others know by that name.
    """

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage.name == "linkonce_odr":
                function.linkage = "private"
        # numba runs all passes twice, for the sake of reference counts between them.
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)


class _LinkedCompiler(_Compiler):
    """numba's pipeline into a library that stays LLVM code."""

    def __init__(
        self, typing: Any, target: Any, _: Any, args: Any, result: Any, flags: Any, *rest: Any
    ) -> None:
        flags.no_compile = True
        library = _LinkedLibrary(target.codegen(), "linked")
        contexts = Typing.of(typing), Target(target)
        super().__init__(*contexts, library, args, result, interned_flags(flags), *rest)


class _LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """A library for linking into others: neither optimised as a whole nor made machine code."""

    def _optimize_functions(self, module: Any) -> None:
        if mode.FOREIGN:  # for another processor: where pointers are of 4 bytes offsets differ
            return
        # So that less has to be cloned and linked; LLVM's own set takes twice as long, for nothing.
        module.data_layout = self._codegen._data_layout
        manager, builder = create_new_function_pass_manager(), self._codegen._pass_builder()
        manager.add_sroa_pass()
        manager.add_simplify_cfg_pass()
        manager.add_instruction_combine_pass()
        for function in module.functions:
            if not function.is_declaration:
                manager.run(function, builder)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True
