"""The chips that have a name here: what LLVM calls them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TARGETS", "Target"]


class Target(NamedTuple):
    """LLVM's triple, processor, features and calling convention ("" for the triple's own).

    The triple needs its vendor: without one LLVM takes "eabihf" for the operating system, and the
    linker refuses the file.
    """

    triple: str
    cpu: str = ""
    features: str = ""
    abi: str = ""


TARGETS: dict[str, Target] = {
    "cortex-m0plus": Target("thumbv6m-unknown-none-eabi", "cortex-m0plus"),
    "cortex-m3": Target("thumbv7m-unknown-none-eabi", "cortex-m3"),
    "cortex-m4": Target("thumbv7em-unknown-none-eabihf", "cortex-m4"),
    # Many an M7 computes in single precision alone, and code for such a one runs on all.
    "cortex-m7": Target("thumbv7em-unknown-none-eabihf", "cortex-m7", "-fp64"),
    "cortex-m33": Target("thumbv8m.main-unknown-none-eabihf", "cortex-m33"),
    "riscv32": Target("riscv32-unknown-none-elf", "generic-rv32", "+m,+a,+f,+c", "ilp32f"),
    "esp32-c3": Target("riscv32-unknown-none-elf", "generic-rv32", "+m,+c", "ilp32"),
    "riscv64": Target("riscv64-unknown-none-elf", "generic-rv64", "+m,+a,+f,+d,+c", "lp64d"),
    "aarch64": Target("aarch64-unknown-linux-gnu", "cortex-a53"),
    "armv7": Target("armv7-unknown-linux-gnueabihf", "cortex-a7", "+neon"),
    "x86-64": Target("x86_64-unknown-linux-gnu", "x86-64"),
    "wasm32": Target("wasm32-unknown-unknown", "generic", "+bulk-memory"),
    "native": Target("native"),  # the machine that builds
}
