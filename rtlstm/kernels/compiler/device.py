"""Entries compiled for a chip: one object file with the plan a constant and the buffers its own.

The LLVM code of an entry, with plain loops in place of explicit vectors (RTLSTM_VECTORS=0), is
given another processor's data layout; the plan becomes a constant of the module, so that LLVM folds
what the network has not; everything but the C functions is internal; and LLVM's passes run for
size. The object asks for memset, memcpy and sqrt at most: `expf` and `tanhf` are our own.

It runs as a process of its own, since a process has vectors or has none:
`python -m rtlstm.kernels.compiler.device DIRECTORY`; `export/device.py` writes the request there.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from rtlstm.kernels.compiler import ahead, entries, mode
from rtlstm.kernels.compiler.library import symbol

__all__ = ["TARGETS", "compile_for"]

# LLVM's triple, processor and features. The triple needs its vendor: without one LLVM takes
# "eabihf" for the operating system, and the linker refuses the file.
TARGETS: dict[str, tuple[str, str, str]] = {
    "cortex-m0plus": ("thumbv6m-unknown-none-eabi", "cortex-m0plus", ""),
    "cortex-m3": ("thumbv7m-unknown-none-eabi", "cortex-m3", ""),
    "cortex-m4": ("thumbv7em-unknown-none-eabihf", "cortex-m4", ""),
    "cortex-m7": ("thumbv7em-unknown-none-eabihf", "cortex-m7", ""),
    "cortex-m33": ("thumbv8m.main-unknown-none-eabihf", "cortex-m33", ""),
    "riscv32": ("riscv32-unknown-none-elf", "generic-rv32", "+m,+f"),
    "riscv64": ("riscv64-unknown-none-elf", "generic-rv64", "+m,+f,+d"),
    "aarch64": ("aarch64-unknown-linux-gnu", "cortex-a53", ""),
    "armv7": ("armv7-unknown-linux-gnueabihf", "cortex-a7", "+neon"),
    "x86-64": ("x86_64-unknown-linux-gnu", "x86-64", ""),
    "wasm32": ("wasm32-unknown-unknown", "generic", ""),
}
LLVM_TYPES = {"float32": "float", "float64": "double", "int64": "i64", "uint16": "i16"}


def _bits(number: float) -> str:
    """A float32 constant as LLVM writes one: the double that has its value."""
    return "0x" + struct.pack(">d", struct.unpack("f", struct.pack("f", number))[0]).hex().upper()


def own_expf() -> str:
    """LLVM code of expf: range reduction and a polynomial of degree 5 (Cephes, `expf.c`).

    Within 1.2e-7 of the value. No operation is fused or reordered, so every chip with IEEE single
    precision answers alike, to the last bit.
    """
    steps = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1)
    lines, last = [], "%start"
    lines.append(f"  %start = fadd float {_bits(0.0)}, {_bits(steps[0])}")
    for n, step in enumerate((*steps[1:], 5.0000001201e-1)):
        lines.append(f"  %m{n} = fmul float {last}, %r")
        lines.append(f"  %a{n} = fadd float %m{n}, {_bits(step)}")
        last = f"%a{n}"
    polynomial = "\n".join(lines)
    return f"""
define internal float @expf(float %given) noinline {{
entry:
  %low = fcmp olt float %given, {_bits(-104.0)}
  %not_low = select i1 %low, float {_bits(-104.0)}, float %given
  %high = fcmp ogt float %not_low, {_bits(89.0)}
  %held = select i1 %high, float {_bits(89.0)}, float %not_low
  %known = fcmp ord float %given, %given
  %x = select i1 %known, float %held, float {_bits(0.0)}
  %scaled = fmul float %x, {_bits(1.44269504088896341)}
  %big = fadd float %scaled, {_bits(12582912.0)}
  %k = fsub float %big, {_bits(12582912.0)}
  %k1 = fmul float %k, {_bits(0.693359375)}
  %r1 = fsub float %x, %k1
  %k2 = fmul float %k, {_bits(-2.12194440e-4)}
  %r = fsub float %r1, %k2
{polynomial}
  %square = fmul float %r, %r
  %curved = fmul float {last}, %square
  %more = fadd float %curved, %r
  %near = fadd float %more, {_bits(1.0)}
  %whole = fptosi float %k to i32
  %half = ashr i32 %whole, 1
  %rest = sub i32 %whole, %half
  %half_up = add i32 %half, 127
  %rest_up = add i32 %rest, 127
  %half_bits = shl i32 %half_up, 23
  %rest_bits = shl i32 %rest_up, 23
  %half_power = bitcast i32 %half_bits to float
  %rest_power = bitcast i32 %rest_bits to float
  %once = fmul float %near, %half_power
  %twice = fmul float %once, %rest_power
  %result = select i1 %known, float %twice, float %given
  ret float %result
}}
"""


def own_tanhf() -> str:
    """LLVM code of tanhf, by a polynomial near 0 (Cephes, `tanhf.c`) and by expf elsewhere.

    A tanh of doubles is the same: nothing in a float32 network needs more.
    """
    steps = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1)
    lines, last = [f"  %start = fadd float {_bits(0.0)}, {_bits(steps[0])}"], "%start"
    for n, step in enumerate((*steps[1:], -3.33332819422e-1)):
        lines.append(f"  %m{n} = fmul float {last}, %square")
        lines.append(f"  %a{n} = fadd float %m{n}, {_bits(step)}")
        last = f"%a{n}"
    polynomial = "\n".join(lines)
    return f"""
declare float @llvm.fabs.f32(float)
declare float @llvm.copysign.f32(float, float)
define internal float @tanhf(float %x) noinline {{
entry:
  %size = call float @llvm.fabs.f32(float %x)
  %twice = fadd float %size, %size
  %power = call float @expf(float %twice)
  %below = fadd float %power, {_bits(1.0)}
  %part = fdiv float {_bits(2.0)}, %below
  %far = fsub float {_bits(1.0)}, %part
  %signed = call float @llvm.copysign.f32(float %far, float %x)
  %square = fmul float %x, %x
{polynomial}
  %cubed = fmul float {last}, %square
  %bent = fmul float %cubed, %x
  %near = fadd float %bent, %x
  %small = fcmp olt float %size, {_bits(0.625)}
  %result = select i1 %small, float %near, float %signed
  ret float %result
}}
define internal double @tanh(double %x) noinline {{
entry:
  %single = fptrunc double %x to float
  %said = call float @tanhf(float %single)
  %result = fpext float %said to double
  ret double %result
}}
"""


def with_own_functions(text: str) -> str:
    """The code of a module with our expf and tanhf in place of those that it asks for."""
    names = r"(llvm\.exp\.f32|expf|llvm\.tanh\.f32|tanhf|llvm\.tanh\.f64|tanh)"
    kept = r"(llvm\.fabs\.f32|llvm\.copysign\.f32)"
    text = re.sub(rf"^declare .*@({names}|{kept})\(.*$", "", text, flags=re.M)
    for theirs, ours in (("exp.f32", "expf"), ("tanh.f32", "tanhf"), ("tanh.f64", "tanh")):
        text = text.replace(f"@llvm.{theirs}(", f"@{ours}(")
    return text + own_expf() + own_tanhf()


def _array(name: str, kind: str, values: Any, how: str) -> str:
    """LLVM code of a global array with these values."""
    element = LLVM_TYPES[kind]
    if not np.any(values):
        start = "zeroinitializer"
    else:
        numbers = (str(int(v)) if element[0] == "i" else _float(kind, float(v)) for v in values)
        start = "[" + ", ".join(f"{element} {number}" for number in numbers) + "]"
    return f"@{name} = {how} [{len(values)} x {element}] {start}, align 16\n"


def _float(kind: str, value: float) -> str:
    return _bits(value) if kind == "float32" else "0x" + struct.pack(">d", value).hex().upper()


def _retarget(code: str, machine: Any, triple: str) -> str:
    code = re.sub(r'target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', code)
    return re.sub(r'target triple = ".*"', f'target triple = "{triple}"', code)


def _without_x86(code: str) -> str:
    """The code without what only x86-64 knows: NRT's counts, which nothing here has."""
    code = re.sub(
        r"= (tail )?call i8 @llvm\.x86\.atomic\.sub\.cc\.i64\([^)]*\)", "= add i8 0, 0", code
    )
    return re.sub(r"declare i8 @llvm\.x86\.atomic.*", "", code)


def _function(request: dict[str, Any], which: dict[str, Any]) -> str:
    """LLVM code of one C function: int NAME_x(pointers…) over the tables of the request."""
    name, pointers = request["name"], which["pointers"]
    kernel = "rtlstm_k_" + symbol(which["entry"], tuple(which["dtypes"]))
    ends = []
    given = [
        f"i64 ptrtoint (ptr @{name}_{which['table']} to i64)",
        *["ptr null"] * len(which["dtypes"]),
    ]
    for argument in which["arguments"]:
        given.append(f"i64 {argument}" if isinstance(argument, int) else f"i64 %{argument}_at")
    for pointer in pointers:
        ends.append(f"  %{pointer}_at = ptrtoint ptr %{pointer} to i64")
    if "zero" in which["arguments"]:
        ends.append(f"  %zero_at = ptrtoint ptr @{name}_zero to i64")
    ends_text = "\n".join(ends)
    return f"""
define i32 @{name}_{which["name"]}({", ".join(f"ptr %{p}" for p in pointers)}) {{
entry:
  %result = alloca i64
  %raised = alloca ptr
{ends_text}
  %status = call i32 @{kernel}(ptr %result, ptr %raised, {", ".join(given)})
  %value = load i64, ptr %result
  %said = trunc i64 %value to i32
  ret i32 %said
}}
"""


def module_text(request: dict[str, Any], arrays: dict[str, Any]) -> tuple[list[str], str]:
    """The kernels, each a module; and constants, buffers and C functions, as LLVM code."""
    name, seen = request["name"], {}
    for which in request["functions"]:
        entry, dtypes = entries.find(which["entry"]), tuple(which["dtypes"])
        if (entry.name, dtypes) in seen:
            continue
        module, function = ahead.lower(entry, dtypes, optimised=False)
        own = f"rtlstm_k_{symbol(entry.name, dtypes)}"
        seen[entry.name, dtypes] = re.sub(
            rf'@"?{re.escape(function)}"?(?=[\s(,])', f"@{own}", str(module)
        )
    text = ""
    for key, values in arrays.items():
        constant = key in request["constants"]
        text += _array(f"{name}_{key}", values.dtype.name, values,
                       "internal constant" if constant else "global")  # fmt: skip
    text += f"@{name}_zero = internal constant [1 x i64] zeroinitializer, align 8\n"
    for table, names in request["tables"].items():
        ends = [f"i64 ptrtoint (ptr @{name}_{a} to i64), i64 {len(arrays[a])}" for a in names]
        size = 2 * len(names)
        text += f"@{name}_{table} = internal constant [{size} x i64] [{', '.join(ends)}], align 8\n"
    parts = [_function(request, which) for which in request["functions"]]
    return list(seen.values()), text + "".join(parts)


def compile_for(request: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    """The object file of a request for its target; see `export/device.py`."""
    triple, cpu, features = request["target"]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=2, codemodel="default",
        reloc="pic" if "linux" in triple else "static",
    )  # fmt: skip
    kernels, own = module_text(request, arrays)
    kernels_text = [_without_x86(_retarget(text, machine, triple)) for text in kernels]
    whole = llvm.parse_assembly(kernels_text[0])
    for text in kernels_text[1:]:
        whole.link_in(llvm.parse_assembly(text))
    whole = llvm.parse_assembly(with_own_functions(str(whole)) + own)
    exported = {f"{request['name']}_{which['name']}" for which in request["functions"]}
    exported |= {f"{request['name']}_{key}" for key in arrays if key not in request["constants"]}
    for thing in [*whole.functions, *whole.global_variables]:
        if not thing.is_declaration and thing.name not in exported:
            thing.linkage = "internal"
    for function in whole.functions:
        if not function.is_declaration and request["small"]:
            function.add_function_attribute("optsize")
            function.add_function_attribute("minsize")
    for _ in range(3 if request["small"] else 1):
        options = llvm.create_pipeline_tuning_options(2 if request["small"] else 3)
        if request["small"]:
            options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(whole, builder)
    return machine.emit_object(whole)  # type: ignore[no-any-return]


def main(place: str) -> None:
    """Compile the request in a directory: request.json and arrays.npz become NAME.o."""
    if mode.VECTORS:
        raise RuntimeError("RTLSTM_VECTORS must be 0: a chip has no vectors")
    room = Path(place)
    request = json.loads((room / "request.json").read_text())
    with np.load(room / "arrays.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    (room / f"{request['name']}.o").write_bytes(compile_for(request, arrays))


if __name__ == "__main__":
    main(sys.argv[1])
