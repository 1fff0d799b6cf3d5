"""Entries compiled for a chip: one object file with the plan a constant and the buffers its own.

The LLVM code of an entry, with plain loops in place of explicit vectors (RTLSTM_VECTORS=0), is
given another processor's data layout; the plan becomes a constant of the module, so that LLVM folds
what the network has not; everything but the C functions is internal; and LLVM's passes run for
size. The buffers start as zero, NAME_init writes what is not: so zeros take no flash.

It runs as a process of its own, since a process has vectors or has none:
`python -m rtlstm.kernels.compiler.device DIRECTORY...`; `export/device` writes the requests there.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from rtlstm.kernels.compiler import ahead, entries, mode
from rtlstm.kernels.compiler.foreign import machine_of, retargeted, without_host
from rtlstm.kernels.compiler.libm import bits, with_own_functions
from rtlstm.kernels.compiler.library import symbol
from rtlstm.kernels.compiler.targets import Target

__all__ = ["compile_for"]

Array = np.ndarray[Any, Any]
LLVM_TYPES = {"float32": "float", "float64": "double", "int64": "i64", "uint16": "i16"}
RUNS = 12  # most pieces in which the first values of a buffer are written
GAP = 16  # zeros between two pieces, at least


def _elements(values: Array) -> str:
    """LLVM code of a constant array, with its type."""
    element = LLVM_TYPES[values.dtype.name]
    if not values.view(f"u{values.itemsize}").any():
        return f"[{len(values)} x {element}] zeroinitializer"
    numbers = ", ".join(f"{element} {_number(values.dtype.name, v)}" for v in values.tolist())
    return f"[{len(values)} x {element}] [{numbers}]"


def _number(kind: str, value: float) -> str:
    if kind == "float32":
        return bits(value)
    return "0x" + struct.pack(">d", value).hex().upper() if kind == "float64" else str(value)


def runs_of(values: Array) -> list[tuple[int, int]]:
    """Where a buffer is not zero: at most RUNS pieces [start, end), few zeros inside."""
    places = np.flatnonzero(values.view(f"u{values.itemsize}"))
    gap = GAP
    while True:
        cuts = np.flatnonzero(np.diff(places) > gap)
        if len(cuts) < RUNS:
            break
        gap *= 2
    if not len(places):
        return []
    starts, ends = places[[0, *(cuts + 1)]], places[[*cuts, -1]] + 1
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def offsets(buffers: dict[str, Array]) -> dict[str, int]:
    """Where each buffer lies in a struct of them, in bytes, as C lays it out."""
    places, end = {}, 0
    for key, values in buffers.items():
        places[key] = -(-end // values.itemsize) * values.itemsize
        end = places[key] + values.nbytes
    return places


class _Buffers:
    """Where the buffers of a request lie: each a variable, or all in a struct of the caller's."""

    def __init__(self, request: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.name, self.owned, self.arrays = request["name"], request["owned"], arrays
        self.own = {key: v for key, v in arrays.items() if key not in request["constants"]}
        self.offsets = offsets(self.own) if self.owned else {}

    def place(self, key: str, start: int = 0) -> tuple[str, str]:
        """LLVM code that finds an element, a line or nothing, and its address, a pointer."""
        values = self.arrays[key]
        if key in self.offsets:
            at = self.offsets[key] + start * values.itemsize
            made = f"%{key}_{start}_place"
            return f"  {made} = getelementptr i8, ptr %own, i64 {at}\n", made
        return (
            "",
            f"getelementptr ({LLVM_TYPES[values.dtype.name]}, ptr @{self.name}_{key}, i64 {start})",
        )

    def parameters(self, *others: str) -> str:
        """Of a C function: the struct first, where there is one."""
        return ", ".join([*["ptr %own"] * self.owned, *others])


def _init(buffers: _Buffers) -> str:
    """LLVM code of NAME_init(): all buffers as they were when they were built."""
    name, constants, lines = buffers.name, "", ""
    for key, values in buffers.own.items():
        size, (line, place) = values.itemsize, buffers.place(key)
        zero = f"ptr {place}, i8 0, i64 {values.nbytes}"
        lines += f"{line}  call void @llvm.memset.p0.i64({zero}, i1 false)\n"
        for n, (start, end) in enumerate(runs_of(values)):
            own = f"@{name}_{key}_{n}"
            constants += f"{own} = internal constant {_elements(values[start:end])}, align 8\n"
            line, place = buffers.place(key, start) if start else ("", place)
            given = f"ptr {place}, ptr {own}, i64 {(end - start) * size}"
            lines += f"{line}  call void @llvm.memcpy.p0.p0.i64({given}, i1 false)\n"
    return f"""{constants}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @{name}_init({buffers.parameters()}) {{
{lines}
  ret void
}}
"""


def _clear(buffers: _Buffers, which: dict[str, Any]) -> str:
    """LLVM code of NAME_x(): a part of a buffer to zero."""
    key, start, length = which["clears"]
    line, place = buffers.place(key, start)
    zero = f"ptr {place}, i8 0, i64 {length * buffers.arrays[key].itemsize}"
    return f"""
define i32 @{buffers.name}_{which["name"]}({buffers.parameters()}) {{
{line}  call void @llvm.memset.p0.i64({zero}, i1 false)
  ret i32 0
}}
"""


def _inside(buffers: _Buffers, which: dict[str, Any], names: list[str]) -> str:
    """LLVM code around an entry whose buffers lie in a struct: it makes the table, once an entry.

    One function calls each kernel, so that LLVM sees there which plan it is.
    """
    own, lines = symbol(which["entry"], tuple(which["dtypes"])), ""
    for n, key in enumerate(names):
        line, place = buffers.place(key)
        line = "" if key in names[:n] else line
        lines += f"{line}  %at_{n} = ptrtoint ptr {place} to i64\n"
        for k, value in enumerate((f"%at_{n}", str(len(buffers.arrays[key])))):
            lines += f"  %room_{n}_{k} = getelementptr i64, ptr %table, i64 {2 * n + k}\n"
            lines += f"  store i64 {value}, ptr %room_{n}_{k}\n"
    count = sum(1 for _ in which["arguments"])
    numbers = [f"i64 %n{n}" for n in range(count)]
    passed = ["i64 %table_at", *["ptr null"] * len(which["dtypes"]), *numbers]
    head = ", ".join(["ptr %result, ptr %raised, ptr %own", *numbers])
    return f"""
define internal i32 @{buffers.name}_in_{own}({head}) noinline {{
entry:
  %table = alloca [{2 * len(names)} x i64]
{lines}  %table_at = ptrtoint ptr %table to i64
  %status = call i32 @rtlstm_k_{own}(ptr %result, ptr %raised, {", ".join(passed)})
  ret i32 %status
}}
"""


def _function(buffers: _Buffers, which: dict[str, Any]) -> str:
    """LLVM code of one C function, int NAME_x(…), over a table of the request.

    Its parameters are pointers ("ptr"), int ("i32") or double; the kernel takes whole numbers: of
    these, of arrays ("@array", "@array+element") and plain ones.
    """
    name, own_symbol = buffers.name, symbol(which["entry"], tuple(which["dtypes"]))
    table = f"i64 ptrtoint (ptr @{name}_{which['table']} to i64)"
    kernel, given = f"rtlstm_k_{own_symbol}", [table, *["ptr null"] * len(which["dtypes"])]
    if buffers.owned:
        kernel, given = f"{name}_in_{own_symbol}", ["ptr %own"]
    lines = []
    for kind, own in which["parameters"]:
        if kind == "ptr":
            lines.append(f"  %{own}_at = ptrtoint ptr %{own} to i64")
        elif kind == "i32":
            lines.append(f"  %{own}_at = sext i32 %{own} to i64")
        else:
            lines.append(f"  %{own}_room = alloca double\n  store double %{own}, ptr %{own}_room")
            lines.append(f"  %{own}_at = ptrtoint ptr %{own}_room to i64")
    for n, argument in enumerate(which["arguments"]):
        if isinstance(argument, int):
            given.append(f"i64 {argument}")
        elif argument[0] == "@":
            key, _, start = argument[1:].partition("+")
            line, place = buffers.place(key, int(start or 0))
            lines.append(f"{line}  %given_{n} = ptrtoint ptr {place} to i64")
            given.append(f"i64 %given_{n}")
        else:
            given.append(f"i64 %{argument}_at")
    head = buffers.parameters(*(f"{kind} %{own}" for kind, own in which["parameters"]))
    return f"""
define i32 @{name}_{which["name"]}({head}) {{
entry:
  %result = alloca i64
  %raised = alloca ptr
{chr(10).join(lines)}
  %status = call i32 @{kernel}(ptr %result, ptr %raised, {", ".join(given)})
  %value = load i64, ptr %result
  %said = trunc i64 %value to i32
  ret i32 %said
}}
"""


@cache
def lowered(name: str, dtypes: tuple[str, ...]) -> str:
    """LLVM code of an entry, its function named as C functions of a request call it."""
    module, function = ahead.lower(entries.find(name), dtypes, optimised=False, short=True)
    own = f"@rtlstm_k_{symbol(name, dtypes)}"
    return re.sub(rf'@"?{re.escape(function)}"?(?=[\s(,])', own, without_host(str(module)))


def own_code(request: dict[str, Any], arrays: dict[str, Array]) -> str:
    """Constants, buffers, tables and C functions of a request, as LLVM code."""
    name, text, buffers = request["name"], "", _Buffers(request, arrays)
    for key, values in arrays.items():
        if key in request["constants"]:
            text += f"@{name}_{key} = internal constant {_elements(values)}, align 16\n"
        elif not buffers.owned:
            text += f"@{name}_{key} = global {_elements(np.zeros_like(values))}, align 16\n"
    for table, names in request["tables"].items() if not buffers.owned else ():
        ends = [f"i64 ptrtoint (ptr @{name}_{a} to i64), i64 {len(arrays[a])}" for a in names]
        size = 2 * len(names)
        text += f"@{name}_{table} = internal constant [{size} x i64] [{', '.join(ends)}], align 8\n"
    inside = {}
    for which in request["functions"]:
        made = "clears" in which
        text += _clear(buffers, which) if made else _function(buffers, which)
        if buffers.owned and not made:
            names = request["tables"][which["table"]]
            inside[which["entry"], tuple(which["dtypes"])] = _inside(buffers, which, names)
    return text + "".join(inside.values()) + _init(buffers)


def _simplified(name: str, dtypes: tuple[str, ...], machine: Any, target: Target) -> Any:
    """The module of an entry whose functions have been simplified one by one.

    As just in time (`dispatch`), but by the chip's data layout. In code as it is lowered, whose
    variables lie in memory, `libm` would not find the logistic function.
    """
    module = llvm.parse_assembly(retargeted(lowered(name, dtypes), machine, target))
    manager = llvm.create_new_function_pass_manager()
    manager.add_sroa_pass()
    manager.add_simplify_cfg_pass()
    manager.add_instruction_combine_pass()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(2))
    for function in module.functions:
        if not function.is_declaration:
            manager.run(function, builder)
    return module


def _linked(request: dict[str, Any], arrays: dict[str, Array], machine: Any, target: Target) -> Any:
    """The kernels of a request and its own code in one module, all but its C functions internal."""
    named = [which for which in request["functions"] if "entry" in which]
    wanted = dict.fromkeys((which["entry"], tuple(which["dtypes"])) for which in named)
    whole, *others = (_simplified(*which, machine, target) for which in wanted)
    for other in others:
        whole.link_in(other)
    text = re.sub(r"(?m)^declare void @llvm\.mem(set|cpy)\.p0\.(p0\.)?i64\(.*$", "", str(whole))
    whole = llvm.parse_assembly(with_own_functions(text) + own_code(request, arrays))
    exported = {which["name"] for which in request["functions"]} | {"init"}
    exported |= {key for key in arrays if key not in request["constants"]}
    for thing in [*whole.functions, *whole.global_variables]:
        kept = thing.name.removeprefix(f"{request['name']}_") in exported
        if not thing.is_declaration and not kept:
            thing.linkage = "internal"
    return whole


def _machine(target: Target) -> tuple[Any, Target]:
    """LLVM's target machine, and the target: for "native" that of the machine that builds."""
    if target.triple == "native":
        features = llvm.get_host_cpu_features().flatten()
        target = Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)
    reloc = "pic" if "linux" in target.triple else "static"
    wide = target.triple.startswith("riscv64")  # whose addresses need not lie below 2^31
    return machine_of(target, 2, reloc, "medium" if wide else "default"), target


def compile_for(request: dict[str, Any], arrays: dict[str, Array]) -> bytes:
    """The object file of a request for its target; see `export/device`."""
    machine, target = _machine(Target(*request["target"]))
    whole, small = _linked(request, arrays, machine, target), request["small"]
    for function in whole.functions:
        if not function.is_declaration and small:
            function.add_function_attribute("optsize")
            function.add_function_attribute("minsize")
    for _ in range(3 if small else 1):
        options = llvm.create_pipeline_tuning_options(2 if small else 3)
        if small:
            options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(whole, builder)
    return machine.emit_object(whole)  # type: ignore[no-any-return]


def main(places: list[str]) -> None:
    """Compile the request in each directory: request.json and arrays.npz become NAME.o."""
    if mode.VECTORS:
        raise RuntimeError("RTLSTM_VECTORS must be 0: a chip has no vectors")
    for room in map(Path, places):
        request = json.loads((room / "request.json").read_text())
        with np.load(room / "arrays.npz") as stored:
            arrays = {key: stored[key] for key in stored.files}
        (room / f"{request['name']}.o").write_bytes(compile_for(request, arrays))


if __name__ == "__main__":
    main(sys.argv[1:])
