"""The platforms that wheels are made for: what LLVM, the linker and pip call them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rtlstm.kernels.compiler.entries import ENTRIES, Entry
from rtlstm.kernels.compiler.targets import Target

__all__ = ["PLATFORMS", "Platform", "environment", "variants"]

LINUX = "x86_64-unknown-linux-gnu"  # where numba itself compiles for a level


class Platform(NamedTuple):
    """A kind of wheel. wheel: its platform tag; zig: the linker's name of the system;
    libraries: for each level (`library.LEVELS`), what it is compiled for; lacks: the dependencies
    that have no wheel there, which are left to extras; tested: whether it was run.
    """

    wheel: str
    zig: str
    libraries: dict[str, Target]
    lacks: tuple[str, ...] = ()
    tested: bool = True
    suffix: str = ".so"


_X86 = {n: Target(LINUX, n) for n in ("x86-64-v4", "x86-64-v3", "x86-64-v2")}
_ARM64 = {"aarch64": Target("aarch64-unknown-linux-gnu", "generic", "+neon")}
_ARM32 = {
    # From a Cortex-A7 and A15 on; its answers are those of processors that fuse multiply and add.
    "armv7-vfpv4": Target("armv7-unknown-linux-gnueabihf", "generic", "+neon,+vfp4"),
    # The least that has NEON: a Cortex-A8, which does not.
    "armv7": Target("armv7-unknown-linux-gnueabihf", "generic", "+neon,+vfp3"),
}
_MAC = {"aarch64": Target("arm64-apple-macosx11.0.0", "apple-m1")}
_WINDOWS = {"x86-64-v2": Target("x86_64-pc-windows-gnu", "x86-64-v2")}
_GLIBC = "manylinux_2_17_{0}.manylinux2014_{0}"

PLATFORMS: dict[str, Platform] = {
    "manylinux-x86-64": Platform(_GLIBC.format("x86_64"), "x86_64-linux-gnu.2.17", _X86),
    "musllinux-x86-64": Platform(
        "musllinux_1_2_x86_64", "x86_64-linux-musl", _X86, lacks=("ml_dtypes",)
    ),
    "manylinux-aarch64": Platform(_GLIBC.format("aarch64"), "aarch64-linux-gnu.2.17", _ARM64),
    "musllinux-aarch64": Platform(
        "musllinux_1_2_aarch64", "aarch64-linux-musl", _ARM64, lacks=("ml_dtypes",)
    ),
    "manylinux-armv7l": Platform(
        _GLIBC.format("armv7l"), "arm-linux-gnueabihf.2.17", _ARM32, lacks=("ml_dtypes",)
    ),
    "macos-arm64": Platform(
        "macosx_11_0_arm64", "aarch64-macos.11.0", _MAC, tested=False, suffix=".dylib"
    ),
    "windows-x86-64": Platform(
        "win_amd64", "x86_64-windows-gnu", _WINDOWS, tested=False, suffix=".dll"
    ),
}


def environment(platform: str, level: str) -> dict[str, str]:
    """What a process needs of its environment to compile for a level of a platform."""
    triple = PLATFORMS[platform].libraries[level].triple
    own = {"RTLSTM_KERNELS": "jit", "NUMBA_CPU_FEATURES": "", "NUMBA_CPU_NAME": level}
    if triple != LINUX:
        own |= {"NUMBA_CPU_NAME": "x86-64", "RTLSTM_TRIPLE": triple}
    return own


def variants(level: str) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """Every entry, and its dtypes, that a library for a level holds."""
    for entry in ENTRIES:
        # Fast calls read CPython's objects as they lie where pointers have 8 bytes.
        if not level.startswith("armv7") or not entry.name.startswith("fast."):
            yield from ((entry, dtypes) for dtypes in entry.variants)
