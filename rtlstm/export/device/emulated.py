"""Stack and instructions of a step on a Cortex-M, measured in qemu where that is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from rtlstm.export.device.header import header
from rtlstm.export.device.request import Program

HERE = Path(__file__).parent


class Board(NamedTuple):
    """A machine of qemu's with a Cortex-M: its name there, what the compiler is told of the
    floating-point unit, where its memory for code begins and that for data ends, and the
    nanoseconds of a tick of its clock.
    """

    name: str
    flags: tuple[str, ...] = ()
    code: int = 0
    data_end: int = 0x20400000
    tick: int = 40


# By processor. A Cortex-M3 stands for the Cortex-M0+, all of whose instructions it has.
MACHINES = {
    "cortex-m0plus": Board("mps2-an385"),
    "cortex-m3": Board("mps2-an385"),
    "cortex-m4": Board("mps2-an386", ("-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "cortex-m7": Board("mps2-an500", ("-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")),
    "cortex-m33": Board(
        name="mps2-an505",
        flags=("-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        code=0x10000000,
        data_end=0x38400000,
        tick=50,
    ),
}
COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
COUNTED = ("-icount", "shift=0")  # an instruction is a nanosecond of the machine's clock
SEMIHOSTING = ("-nographic", "-semihosting-config", "enable=on,target=native")
TIME = 120.0  # seconds
CALLS = {
    "network": "{name}_step({own}x, y)",
    "learner": "{name}_learn({own}x, target, y)",
}
ROW = "{name}_update({own}row, 0.0 / 0.0, 1, forecasts)"


class Measured(NamedTuple):
    """Of a step: bytes of stack, by painting, and instructions."""

    stack: int
    instructions: int


def compiler(cpu: str) -> tuple[str, ...]:
    """The command that makes a program for a bare Cortex-M of qemu."""
    board = MACHINES[cpu]
    own = (COMPILER, f"-mcpu={cpu}", "-mthumb", *board.flags, "--specs=rdimon.specs")
    places = (f".vectors={board.code:#x}", f".init={board.code + 0x8000:#x}")
    linked = (f"-Wl,--section-start={place}" for place in places)
    known = (f"-DDATA_END={board.data_end:#x}", f"-DTICK={board.tick}")
    return (*own, *linked, *known, str(HERE / "cortex_m.c"))


def emulator(cpu: str) -> tuple[str, ...]:
    """The command that runs such a program."""
    return (EMULATOR, *SEMIHOSTING, "-M", MACHINES[cpu].name, "-kernel")


def source(name: str, parts: dict[str, str]) -> str:
    """C code that measures a step; parts: OWN, SIZE, INIT and STEP, in C."""
    text = (HERE / "measure.c").read_text().replace("MODEL_H", f'"{name}.h"')
    for key, part in parts.items():
        text = text.replace(f"MODEL_{key}", part)
    return text


def parts_of(program: Program, name: str) -> dict[str, str]:
    """What `source` writes in for a model."""
    own, also = ("&own", "&own, ") if program.owned else ("", "")
    sizes = program.sizes
    forecasts = 3 * sizes.get("HORIZONS", 0) * sizes.get("TARGETS", 0)
    return {
        "OWN": f"static {name}_t own;" if program.owned else "",
        "SIZE": str(max(forecasts, *sizes.values())),
        "INIT": f"{name}_init({own})",
        "STEP": CALLS.get(program.kind, ROW).format(name=name, own=also),
    }


def measured(program: Program, made: bytes, name: str, cpu: str) -> Measured | None:
    """Of an object file; None where compiler or emulator are missing, or it does not end."""
    if not (shutil.which(COMPILER) and shutil.which(EMULATOR)):
        return None
    with tempfile.TemporaryDirectory() as work:
        room = Path(work)
        (room / f"{name}.o").write_bytes(made)
        (room / f"{name}.h").write_text(header(program, name))
        (room / "measure.c").write_text(source(name, parts_of(program, name)))
        flags = ["-std=c99", "-O1", "-I", work, str(room / "measure.c"), str(room / f"{name}.o")]
        try:
            for command in (
                [*compiler(cpu), *flags, "-lm", "-o", str(room / "measure.elf")],
                [*emulator(cpu)[:1], *COUNTED, *emulator(cpu)[1:], str(room / "measure.elf")],
            ):
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=TIME, check=True
                )
            stack, instructions = (done.stdout + done.stderr).split()
        except (subprocess.SubprocessError, ValueError):
            return None
    return Measured(int(stack), int(instructions))
