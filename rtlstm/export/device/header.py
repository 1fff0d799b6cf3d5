"""NAME.h of a model on a chip: C99, and C++."""

from __future__ import annotations

from rtlstm.export.device.request import Program

C_TYPES = {"float32": "float", "float64": "double", "int64": "int64_t", "uint16": "uint16_t"}


def header(program: Program, name: str) -> str:
    """The text of NAME.h."""
    upper, owned = name.upper(), program.owned
    sizes = "\n".join(f"#define {upper}_{key} {size}" for key, size in program.sizes.items())
    functions = "\n".join(function.declared(name, owned) for function in program.functions)
    own = f"{name}_t *own" if owned else ""
    also = f"{own}, " if owned else ""
    about = f"Any number of {name}_t" if owned else f"There is one {name}"
    return f"""/* Made by rtlstm. {about}, and no lock around it. */
#ifndef {upper}_H
#define {upper}_H
#include <stdint.h>
#include <string.h>
{sizes}
#define {upper}_STATE_BYTES {program.state_bytes}
#ifdef __cplusplus
extern "C" {{
#endif
{_buffers(program, name)}
/* As it was when it was built: call it first. */
void {name}_init({own or "void"});
{functions}
{_values(program, name)}/* What it holds, {upper}_STATE_BYTES long, for rtlstm import-state. */
static inline void {name}_export({f"const {also}" if owned else ""}void *to) {{
    unsigned char *at = (unsigned char *)to;
{_copies(program, name, "at, {0}")}
}}
static inline void {name}_import({also}const void *from) {{
    const unsigned char *at = (const unsigned char *)from;
{_copies(program, name, "{0}, at")}
}}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _buffers(program: Program, name: str) -> str:
    """The buffers: variables of the object's, or a struct of the caller's."""
    kinds = {key: C_TYPES[values.dtype.name] for key, values in program.buffers.items()}
    if program.owned:
        members = " ".join(f"{kinds[key]} {key}[{len(v)}];" for key, v in program.buffers.items())
        return f"typedef struct {name}_t {{ {members} }} {name}_t;"
    return "\n".join(
        f"extern {kinds[key]} {name}_{key}[{len(v)}];" for key, v in program.buffers.items()
    )


def _copies(program: Program, name: str, way: str) -> str:
    """Lines that copy all buffers to or from `at`."""
    lines = []
    for key in program.buffers:
        own = f"own->{key}" if program.owned else f"{name}_{key}"
        lines.append(f"    memcpy({way.format(own)}, sizeof {own}); at += sizeof {own};")
    return "\n".join(lines)


def _values(program: Program, name: str) -> str:
    """What can be asked after a row."""
    own = f"const {name}_t *own" if program.owned else "void"
    first = "own->" if program.owned else f"{name}_"
    lines = [
        f"/* {comment}. */\nstatic inline double {name}_{key}({own})"
        f" {{ return {first}{buffer}[{place}]; }}\n"
        for key, (buffer, place, comment) in program.values.items()
    ]
    return "".join(lines)
