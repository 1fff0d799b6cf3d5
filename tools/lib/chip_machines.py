"""Machines that run what `rtlstm build` makes: emulated chips, and this one."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rtlstm.export.device.emulated import COUNTED, SEMIHOSTING, compiler, emulator, source
from rtlstm.export.device.emulated import MACHINES as CORTEX

PICOLIBC = ("--specs=picolibc.specs", "--oslib=semihost", "--crt0=semihost",
            "-Wl,--defsym=__flash=0x80000000", "-Wl,--defsym=__flash_size=4M",
            "-Wl,--defsym=__ram=0x80400000", "-Wl,--defsym=__ram_size=16M")  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """Where code for a target runs. compiler: of the self-test, empty for WebAssembly; emulator:
    the command before the program.
    """

    compiler: tuple[str, ...]
    emulator: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """The programs that are not installed here."""
        needed = [command[0] for command in (self.compiler, self.emulator) if command]
        needed += [] if self.compiler else ["wasm-ld"]
        return [program for program in needed if not shutil.which(program)]

    def program(self, room: Path, name: str, source: Path, *more: str) -> list[str]:
        """Compile a C source beside NAME.o; returns the command that runs it."""
        made = room / f"{source.stem}.elf"
        command = [*self.compiler, "-std=c99", "-O1", "-Wall", "-Werror", "-I", str(room), *more]
        run([*command, str(source), str(room / f"{name}.o"), "-lm", "-o", str(made)])
        return [*self.emulator, str(made)]

    def difference(self, room: Path, name: str) -> float:
        """Run the self-test of what was built into a room; the largest difference."""
        command = [*self.emulator, str(room / f"{name}_selftest.mjs")]
        if self.compiler:
            command = self.program(room, name, room / f"{name}_selftest.c")
        found = re.search(r"largest difference (-?\d+) e-9", run(command))
        assert found, "the self-test said nothing"
        return float(found[1]) * 1e-9 if found[1][0] != "-" else float("inf")


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr  # where semihosting writes single characters


QEMU_RISCV = (*SEMIHOSTING, "-M", "virt", "-bios", "none", "-kernel")
MACHINES: dict[str, Machine] = {
    **{cpu: Machine(compiler(cpu), emulator(cpu)) for cpu in CORTEX},
    "riscv32": Machine(
        ("riscv64-unknown-elf-gcc", "-march=rv32imafc", "-mabi=ilp32f", *PICOLIBC),
        ("qemu-system-riscv32", *QEMU_RISCV),
    ),
    "esp32-c3": Machine(
        ("riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", *PICOLIBC),
        ("qemu-system-riscv32", *QEMU_RISCV),
    ),
    "riscv64": Machine(
        ("riscv64-unknown-elf-gcc", "-march=rv64imafdc", "-mabi=lp64d", "-mcmodel=medany",
         *PICOLIBC),
        ("qemu-system-riscv64", *QEMU_RISCV),
    ),
    "aarch64": Machine(("aarch64-linux-gnu-gcc", "-static"), ("qemu-aarch64",)),
    "armv7": Machine(("arm-linux-gnueabihf-gcc", "-static"), ("qemu-arm",)),
    "x86-64": Machine(("cc",), ()),  # as the machine is that runs this
    "native": Machine(("cc",), ()),
    "wasm32": Machine((), ("node",)),
}  # fmt: skip


def measured(machine: Machine, room: Path, name: str, parts: dict[str, str]) -> tuple[int, int]:
    """Bytes of stack and instructions of a step on a Cortex-M; parts: see `emulated.source`."""
    place = room / f"{name}_measure.c"
    place.write_text(source(name, parts))
    counting = Machine(machine.compiler, (machine.emulator[0], *COUNTED, *machine.emulator[1:]))
    stack, instructions = run(counting.program(room, name, place)).split()
    return int(stack), int(instructions)
