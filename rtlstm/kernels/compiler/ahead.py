"""Entries compiled ahead of time: the machine code that numba's compiler makes, as object files.

An entry goes through the same pipeline as just in time (`dispatch`) up to its optimised LLVM code;
so with the processor named alike (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) its answers are the same to
the last bit. Then everything but two functions is internal, and what nobody calls is gone:

    rtlstm_NAME    for C and ctypes: int64 NAME(int64 table, int64 numbers…)
    rtlstm_k_NAME  as numba calls it, for kernels that call it by address (`native/memory.py`)

This module is needed where libraries are built, not where they run: see `library`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core.codegen import JITCodeLibrary

from rtlstm.kernels.compiler import dispatch, fallback, mode, sources, targets
from rtlstm.kernels.compiler.contexts import (
    Target,
    Typing,
    gc_paused,
    interned_flags,
    nonnegative_indices,
)
from rtlstm.kernels.compiler.counting import short_counts
from rtlstm.kernels.compiler.entries import Entry
from rtlstm.kernels.compiler.foreign import (
    machine_of,
    own_destructor,
    retargeted,
    without_host,
)
from rtlstm.kernels.compiler.jit import signature_of
from rtlstm.kernels.compiler.library import symbol
from rtlstm.kernels.compiler.platforms import PLATFORMS, environment, variants

__all__ = ["build", "compile_object", "link", "lower"]


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


def lower(
    entry: Entry, dtypes: tuple[str, ...], optimised: bool = True, short: bool = False
) -> tuple[Any, str]:
    """The LLVM module of an entry, optimised for the host or not, and its function's name there.

    short: loops count in 32 bits.
    """
    options: dict[str, Any] = {"nopython": True, "boundscheck": None, "nogil": True, "_nrt": False}
    options |= {"error_model": "numpy", "fastmath": set(fallback.FASTMATH)}
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    py_func = entry.load().py_func
    made = dispatch._LinkedDispatcher(
        py_func, targetoptions=options, pipeline_class=_AheadCompiler if optimised else _RawCompiler
    )
    signature = signature_of(entry, dtypes)
    counts = short_counts() if short else nullcontext()
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


def compile_object(
    entry: Entry, dtypes: tuple[str, ...], target: targets.Target, codemodel: str = "default"
) -> bytes:
    """The object file of an entry for a target, with its two functions.

    For this machine's system the code is what numba's own passes leave, as just in time; in a
    process that makes code for another one (RTLSTM_TRIPLE) it is that machine's passes' alone.
    """
    foreign, machine = bool(mode.TRIPLE), machine_of(target, 3, "pic", codemodel)
    module, function = lower(entry, dtypes, optimised=not foreign)
    name, text = symbol(entry.name, dtypes), str(module)
    text = re.sub(rf'@"?{re.escape(function)}"?(?=[\s(,])', f"@rtlstm_k_{name}", text)
    if foreign:
        text = retargeted(without_host(text), machine, target)
    text = own_destructor(text) + _c_function(name, entry.numbers_in_c, len(dtypes))
    whole = llvm.parse_assembly(text)
    exported = {f"rtlstm_{name}", f"rtlstm_k_{name}"}
    for thing in [*whole.functions, *whole.global_variables]:
        if not thing.is_declaration and thing.name not in exported:
            thing.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(3)
    options.loop_vectorization = options.slp_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    cleaner = passes.getModulePassManager() if foreign else llvm.create_new_module_pass_manager()
    cleaner.add_global_dead_code_eliminate_pass()
    cleaner.run(whole, passes)
    return machine.emit_object(whole)  # type: ignore[no-any-return]


def tables_of(module: Any) -> dict[str, Any]:
    """What a module still asks of others, by name; for tests."""
    return {f.name: f for f in module.functions if f.is_declaration}


def _in_large_model(entry: Entry, dtypes: tuple[str, ...], level: str) -> bool:
    """Whether an entry is compiled in LLVM's large code model, as numba's code just in time is.

    In another one LLVM folds constants into instructions, then chains additions anew: on v2 GRUs of
    float64 differed by a last bit, on v4 gradients of highway layers of float64. On v3 nothing
    differs, nor does float32 anywhere. The large model is slower in a shared library, where it
    calls by a table: some 4 % of a small learner's step, 3 % of a network's. In the default one,
    though, with the 32 registers of v4, LLVM loads constants anew in every row of `network.run`
    that it otherwise keeps from row to row, which took 4 % at 16 units.
    """
    if mode.TRIPLE or level == "x86-64-v3":
        return False
    return "float64" in dtypes or (level == "x86-64-v4" and entry.name == "network.run")


@cache
def _align_functions() -> None:
    """Let every function begin a line of the processor's cache, from here on in this process.

    Just in time the first one does, since it begins a page. Elsewhere a step of 8 units on v4 took
    3 % longer. Loops that begin a line as well gained nothing more.
    """
    llvm.set_option("rtlstm", "-align-all-functions=6")  # 2^6 bytes


def _objects(
    room: Path, level: str, target: targets.Target, families: Sequence[str]
) -> dict[str, int]:
    """Compile entries into object files; returns how many numbers each C function takes."""
    _align_functions()
    made = {}
    for entry, dtypes in variants(level):
        if not families or entry.name.split(".")[0] in families:
            name = symbol(entry.name, dtypes)
            codemodel = "large" if _in_large_model(entry, dtypes, level) else "default"
            (room / f"{name}.o").write_bytes(compile_object(entry, dtypes, target, codemodel))
            made[name] = entry.numbers_in_c
    return made


def link(objects: Sequence[str], path: Path, system: str = "") -> None:
    """Link a library for a system, as PyPI's ziglang names it, or by `cc` for this one.

    Raises RuntimeError where the linker says no.
    """
    command = [sys.executable, "-m", "ziglang", "cc", "-target", system] if system else ["cc"]
    named = f"-Wl,-install_name,@rpath/{path.name}"  # else a Mach-O tells where it was linked
    checked = {".so": ["-Wl,-z,defs"], ".dylib": [named]}.get(path.suffix, [])
    with tempfile.TemporaryDirectory() as room:  # for Windows zig lays an import library beside it
        made = Path(room) / path.name
        command += ["-shared", "-o", str(made), *objects, "-lm", "-s", *checked]
        linked = subprocess.run(command, capture_output=True, text=True, check=False)
        if linked.returncode:
            raise RuntimeError(f"{command[0]} could not link {path}: {linked.stderr}")
        shutil.move(made, path)


def build(directory: Path, level: str, families: Sequence[str] = (), platforms: str = "") -> None:
    """Compile the entries into one library for a level, in this process's `environment`.

    families: of these alone, "network" for example; none for all. platforms: names of them with
    commas between, each gets a folder of its own; their object files are the same. Without, one
    library for this system, which `cc` links, lies in the directory itself. Raises RuntimeError
    where numba would compile for another processor.
    """
    rooms = {name: directory / name for name in platforms.split(",") if name}
    named = [*rooms, "manylinux-x86-64"]
    target, own = PLATFORMS[named[0]].libraries[level], environment(named[0], level)
    if any(os.environ.get(key, "") != own.get(key, "") for key in (*own, "RTLSTM_TRIPLE")):
        raise RuntimeError(f"the environment must be {own}, or numba would compile for another")
    with tempfile.TemporaryDirectory() as room:
        made = _objects(Path(room), level, target, families)
        facts = {
            "sources": sources.SOURCES.hex(),
            "level": level,
            "triple": target.triple,
            "cpu": f"{target.cpu} {target.features}".strip(),
            "fastmath": sorted(fallback.FASTMATH),
            "compiler": {"numba": numba.__version__, "llvmlite": llvmlite.__version__},
            "entries": made,
        }
        objects = sorted(str(file) for file in Path(room).glob("*.o"))
        for name, place in (rooms or {"": directory}).items():
            place.mkdir(parents=True, exist_ok=True)
            suffix, system = (PLATFORMS[name].suffix, PLATFORMS[name].zig) if name else (".so", "")
            path = place / f"{level}{suffix}"
            link(objects, path, system)
            path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
            print(f"{path}: {path.stat().st_size} bytes")


def main() -> None:
    """`python -m rtlstm.kernels.compiler.ahead DIRECTORY LEVEL [FAMILY...]`: see `build`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("level")
    parser.add_argument("families", nargs="*")
    parser.add_argument("--platforms", default="")
    given = parser.parse_args()
    build(given.directory, given.level, given.families, given.platforms)


if __name__ == "__main__":
    main()
