"""LLVM code that was lowered on this machine, made that of another."""

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding as llvm

from rtlstm.kernels.compiler.targets import Target

__all__ = ["machine_of", "own_destructor", "retargeted", "without_host"]

# Numba's runtime frees an array that nobody holds. Ours lie at addresses, without an owner, so that
# its counts pass them by; but where a kernel is not inlined LLVM cannot know it, and asks for this.
DESTRUCTOR = r"(?m)^declare (void @NRT_MemInfo_call_dtor\(ptr\)).*"


def own_destructor(code: str) -> str:
    """The code with a function that is never called in place of one that nobody has."""
    return re.sub(DESTRUCTOR, r"define internal \1 {\nentry:\n  ret void\n}", code)


def without_host(code: str) -> str:
    """The code without what only the host knows: NRT's counts, which nothing here has."""
    counts = r"= (tail )?call i8 @llvm\.x86\.atomic\.sub\.cc\.i64\([^)]*\)"
    code = re.sub(counts, "= add i8 0, 0", code)
    code = re.sub(r"declare i8 @llvm\.x86\.atomic.*", "", code)
    counting = r"(?ms)^define [^\n]*(@NRT_(?:in|de)cref)\([^\n]*\{.*?^\}"
    empty = r"define internal void \1(ptr %count) {\nentry:\n  ret void\n}"
    code = re.sub(counting, empty, code)  # else a chip is asked for 64-bit atomics
    return own_destructor(code)


def own_maximum(code: str) -> str:
    """The code with our own llvm.maximum of doubles, which LLVM 20 cannot lower for 32-bit ARM."""

    def defined(found: re.Match[str]) -> str:
        kind, suffix = found.groups()
        bits, given = re.sub("double", "i1", kind), f"({kind} %a, {kind} %b)"
        return f"""define internal {kind} @rtlstm.maximum.{suffix}{given} alwaysinline {{
entry:
  %more = fcmp ogt {kind} %a, %b
  %larger = select {bits} %more, {kind} %a, {kind} %b
  %nan = fcmp uno {kind} %a, %a
  %result = select {bits} %nan, {kind} %a, {kind} %larger
  ret {kind} %result
}}"""

    declared = r"(?m)^declare ([^@]*double>?) @llvm\.maximum\.(\w*f64)\(.*$"
    code = re.sub(declared, defined, code)
    return re.sub(r"@llvm(\.maximum\.\w*f64\()", r"@rtlstm\1", code)


def retargeted(code: str, machine: Any, target: Target) -> str:
    """The code with the data layout and the triple of another target, whose machine is given."""
    if target.triple.startswith("armv7"):
        code = own_maximum(code)
    if "+vfp4" in target.features:  # where LLVM fuses vectors only if it is told to
        code = code.replace("@llvm.fmuladd.", "@llvm.fma.")
    code = re.sub(r'target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', code)
    return re.sub(r'target triple = ".*"', f'target triple = "{target.triple}"', code)


def machine_of(target: Target, opt: int, reloc: str, codemodel: str = "default") -> Any:
    """LLVM's target machine, of any processor that it knows."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=opt,
        reloc=reloc,
        codemodel=codemodel,
        abiname=target.abi,
    )
