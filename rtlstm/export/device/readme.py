"""README.md of a model on a chip: what there is, how large, and what it needs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from rtlstm.export.device.emulated import Measured
from rtlstm.export.device.recording import STEPS
from rtlstm.export.device.request import Program


class Sizes(NamedTuple):
    """Bytes of an object file's parts, and what it asks of others."""

    code: int
    constants: int
    ram: int
    needs: tuple[str, ...]


def sizes(made: bytes) -> Sizes:
    """Of an object file."""
    import llvmlite.binding as llvm

    parts = {
        (s.name() or b"").decode(errors="replace"): (s.size(), s.data())
        for s in llvm.ObjectFileRef.from_data(made).sections()
    }

    def total(*beginnings: str) -> int:
        return sum(size for key, (size, _) in parts.items() if key.startswith(beginnings))

    needs: tuple[str, ...] = ()
    if made[:4] == b"\x7fELF":
        needs = _undefined(parts[".symtab"][1], parts[".strtab"][1], made[4] == 2)
    code = total(".text", ".ARM", "CODE")
    return Sizes(code, total(".rodata", ".srodata", "DATA"), total(".bss", ".data", ".sb"), needs)


def _undefined(symbols: bytes, names: bytes, wide: bool) -> tuple[str, ...]:
    """Names that an ELF object asks of others."""
    kind = struct.Struct("<IBBHQQ" if wide else "<IIIBBH")
    found = set()
    for entry in kind.iter_unpack(symbols):
        name, section = entry[0], entry[3] if wide else entry[5]
        if name and not section:
            found.add(names[name : names.index(b"\0", name)].decode())
    return tuple(sorted(found))


def readme(
    program: Program,
    name: str,
    target: Sequence[str],
    made: bytes,
    measured: Measured | None = None,
) -> str:
    """The text of README.md."""
    found = sizes(made)
    needs = ", ".join(f"`{other}`" for other in found.needs) or "nothing"
    functions = "\n".join(f.declared(name, program.owned) for f in program.functions)
    first = "once"
    if program.owned:
        first = f"for each `{name}_t`, which is yours, once"
    stack, instructions = measured or ("not measured", "not measured")
    chip = f"""| | bytes, or as it says |
| --- | --- |
| code | {found.code} |
| constants: the plan and the first weights | {found.constants} |
| flash: both | {found.code + found.constants} |
| RAM: weights, state and all that learning holds | {program.state_bytes} |
| stack of a step, beside what the C library takes | {stack} |
| instructions of a step, counted by qemu | {instructions} |

Link `{name}.o`; of the C library, or of the compiler's own, it asks for {needs}. Call `{name}_init`
{first}, then:

```c
{functions}
```

`{name}_selftest.c` repeats {STEPS} recorded steps: run it first.
"""
    web = f"""`{name}.mjs` loads `{name}.wasm` in a browser or in node, `{name}.d.ts` has its types:

```js
import {{ load }} from "./{name}.mjs";
const m = await load();
```

`node {name}_selftest.mjs` repeats recorded steps and prints the largest difference.
"""
    about = f"# {name}\n\nA {program.kind}, made by `rtlstm build` for `{target[0]}`"
    return f"{about}, processor `{target[1]}`.\n\n{web if target[0][:4] == 'wasm' else chip}"
