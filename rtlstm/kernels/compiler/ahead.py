"""Entries compiled ahead of time: the machine code that numba's compiler makes, as object files.

An entry goes through the same pipeline as just in time (`dispatch`) up to its optimised LLVM code;
so with the processor named alike (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) its answers are the same to
the last bit. Then everything but two functions is internal, and what nobody calls is gone:

    rtlstm_NAME    for C and ctypes: int64 NAME(int64 table, int64 numbers…)
    rtlstm_k_NAME  as numba calls it, for kernels that call it by address (`native/memory.py`)

This module is needed where libraries are built, not where they run: see `library`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import types
from numba.core.codegen import JITCodeLibrary

from rtlstm.kernels.compiler import dispatch, fallback, sources
from rtlstm.kernels.compiler.contexts import (
    Target,
    Typing,
    gc_paused,
    interned_flags,
    nonnegative_indices,
)
from rtlstm.kernels.compiler.counting import short_counts
from rtlstm.kernels.compiler.entries import ENTRIES, Entry
from rtlstm.kernels.compiler.jit import signature_of
from rtlstm.kernels.compiler.library import symbol

__all__ = ["build", "compile_object", "lower"]

TRIPLE = "x86_64-unknown-linux-gnu"
# Numba's runtime frees an array that nobody holds. Ours lie at addresses, without an owner, so that
# its counts pass them by; but where a kernel is not inlined LLVM cannot know it, and asks for this.
NEVER_CALLED = r"define internal \1 {\nentry:\n  ret void\n}"


class _AheadLibrary(dispatch._EntryLibrary):
    """A library that stays optimised LLVM code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _RawLibrary(_AheadLibrary):
    """A library that stays LLVM code as it was lowered, for another processor's passes.

    Passes of this one would write the offsets of arrays' structs as its pointers' 8 bytes have
    them.
    """

    def _optimize_functions(self, module: Any) -> None:
        pass

    def _optimize_final_module(self) -> None:
        pass


class _AheadCompiler(dispatch._Compiler):
    """The pipeline of an entry, without making machine code that could run here."""

    library = _AheadLibrary

    def __init__(
        self, typing: Any, target: Any, _: Any, args: Any, result: Any, flags: Any, *rest: Any
    ) -> None:
        target.refresh()
        flags.no_compile = True
        library: JITCodeLibrary = self.library(target.codegen(), "ahead")
        contexts = Typing.of(typing), Target(target)
        super().__init__(*contexts, library, args, result, interned_flags(flags), *rest)


class _RawCompiler(_AheadCompiler):
    """The pipeline up to the first LLVM code."""

    library = _RawLibrary


def lower(entry: Entry, dtypes: tuple[str, ...], optimised: bool = True) -> tuple[Any, str]:
    """The LLVM module of an entry, optimised for the host or not, and its function's name there."""
    options: dict[str, Any] = {"nopython": True, "boundscheck": None, "nogil": True, "_nrt": False}
    options |= {"error_model": "numpy", "fastmath": set(fallback.FASTMATH)}
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    py_func = entry.load().py_func
    made = dispatch._LinkedDispatcher(
        py_func, targetoptions=options, pipeline_class=_AheadCompiler if optimised else _RawCompiler
    )
    signature = signature_of(entry, dtypes)
    counts = nullcontext() if optimised else short_counts()
    with gc_paused(), nonnegative_indices(), counts:
        made.compile(signature)
        found = made.overloads[signature]
        found.library._ensure_finalized()  # links, and optimises, all that it calls
    return found.library._final_module, found.fndesc.llvm_func_name


def _c_function(name: str, numbers: int, tags: int) -> str:
    """LLVM code of the C function around a kernel: int64 rtlstm_NAME(int64 × numbers)."""
    given = ["i64"] * numbers
    passed = ["i64 %0", *["ptr null"] * tags, *(f"i64 %{n}" for n in range(1, numbers))]
    return f"""
define i64 @rtlstm_{name}({", ".join(given)}) {{
entry:
  %result = alloca i64
  %raised = alloca ptr
  %status = call i32 @rtlstm_k_{name}(ptr %result, ptr %raised, {", ".join(passed)})
  %fine = icmp eq i32 %status, 0
  %value = load i64, ptr %result
  %said = select i1 %fine, i64 %value, i64 -1
  ret i64 %said
}}
"""


def compile_object(entry: Entry, dtypes: tuple[str, ...], machine: Any) -> bytes:
    """The object file of an entry for a target machine of llvmlite, with its two functions."""
    module, function = lower(entry, dtypes)
    name = symbol(entry.name, dtypes)
    text = re.sub(rf'@"?{re.escape(function)}"?(?=[\s(,])', f"@rtlstm_k_{name}", str(module))
    text = re.sub(r"(?m)^declare (void @NRT_MemInfo_call_dtor\(ptr\)).*", NEVER_CALLED, text)
    text += _c_function(name, len(entry.numbers) + bool(entry.table), len(dtypes))
    whole = llvm.parse_assembly(text)
    exported = {f"rtlstm_{name}", f"rtlstm_k_{name}"}
    for thing in [*whole.functions, *whole.global_variables]:
        if not thing.is_declaration and thing.name not in exported:
            thing.linkage = "internal"
    cleaner = llvm.create_new_module_pass_manager()
    cleaner.add_global_dead_code_eliminate_pass()
    cleaner.run(whole, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return machine.emit_object(whole)  # type: ignore[no-any-return]


def tables_of(module: Any) -> dict[str, Any]:
    """What a module still asks of others, by name; for tests."""
    return {f.name: f for f in module.functions if f.is_declaration}


NUMBER = types.int64


def build(directory: Path, level: str, families: Sequence[str] = ()) -> Path:
    """Compile the entries into one library for a level of x86-64; returns its path.

    families: of these alone, "network" for example; none for all. Numba must compile for that
    level in this process: NUMBA_CPU_NAME is its name, NUMBA_CPU_FEATURES empty. The objects are
    linked by `cc`. Raises RuntimeError where that is not so.
    """
    if os.environ.get("NUMBA_CPU_NAME") != level:
        raise RuntimeError(f"NUMBA_CPU_NAME must be {level}, or numba would compile for another")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=level, opt=3, reloc="pic", codemodel="default"
    )
    made: dict[str, int] = {}
    path = directory / f"{level}.so"
    with tempfile.TemporaryDirectory() as room:
        for entry in ENTRIES:
            if families and entry.name.split(".")[0] not in families:
                continue
            for dtypes in entry.variants:
                name = symbol(entry.name, dtypes)
                (Path(room) / f"{name}.o").write_bytes(compile_object(entry, dtypes, machine))
                made[name] = len(entry.numbers) + bool(entry.table)
        objects = sorted(str(file) for file in Path(room).glob("*.o"))
        command = ["cc", "-shared", "-o", str(path), *objects, "-lm", "-Wl,-z,defs,-s"]
        linked = subprocess.run(command, capture_output=True, text=True, check=False)
    if linked.returncode:
        raise RuntimeError(f"cc could not link {path}: {linked.stderr}")
    facts = {
        "sources": sources.SOURCES.hex(),
        "level": level,
        "triple": TRIPLE,
        "fastmath": sorted(fallback.FASTMATH),
        "compiler": {"numba": numba.__version__, "llvmlite": llvmlite.__version__},
        "entries": made,
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    return path


def main(arguments: Sequence[str]) -> None:
    """`python -m rtlstm.kernels.compiler.ahead DIRECTORY LEVEL [FAMILY...]`: see `build`."""
    directory, level, *families = arguments
    Path(directory).mkdir(parents=True, exist_ok=True)
    path = build(Path(directory), level, families)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
