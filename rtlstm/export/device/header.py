"""NAME.h of a model on a chip: C99, and C++."""

from __future__ import annotations

from rtlstm.export.device.request import Program

C_TYPES = {"float32": "float", "float64": "double", "int64": "int64_t", "uint16": "uint16_t"}


def header(program: Program, name: str) -> str:
    """The text of NAME.h."""
    upper = name.upper()
    externs = "\n".join(
        f"extern {C_TYPES[values.dtype.name]} {name}_{key}[{len(values)}];"
        for key, values in program.buffers.items()
    )
    sizes = "\n".join(f"#define {upper}_{key} {size}" for key, size in program.sizes.items())
    functions = "\n".join(function.declared(name) for function in program.functions)
    return f"""/* Made by rtlstm. There is one {name}, and no lock around it. */
#ifndef {upper}_H
#define {upper}_H
#include <stdint.h>
#include <string.h>
{sizes}
#define {upper}_STATE_BYTES {program.state_bytes}
#ifdef __cplusplus
extern "C" {{
#endif
{externs}
/* As it was when it was built: call it first. */
void {name}_init(void);
{functions}
{_values(program, name)}/* What it holds, {upper}_STATE_BYTES long, for rtlstm import-state. */
static inline void {name}_export(void *to) {{
    unsigned char *at = (unsigned char *)to;
{_copies(program, name, "at, {0}")}
}}
static inline void {name}_import(const void *from) {{
    const unsigned char *at = (const unsigned char *)from;
{_copies(program, name, "{0}, at")}
}}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _copies(program: Program, name: str, way: str) -> str:
    """Lines that copy all buffers to or from `at`."""
    lines = []
    for key in program.buffers:
        own = f"{name}_{key}"
        lines.append(f"    memcpy({way.format(own)}, sizeof {own}); at += sizeof {own};")
    return "\n".join(lines)


def _values(program: Program, name: str) -> str:
    """What can be asked after a row."""
    lines = [
        f"/* {comment}. */\nstatic inline double {name}_{key}(void)"
        f" {{ return {name}_{buffer}[{place}]; }}\n"
        for key, (buffer, place, comment) in program.values.items()
    ]
    return "".join(lines)
