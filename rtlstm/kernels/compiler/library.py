"""A library of kernels that were compiled ahead of time: found, matched and loaded by ctypes.

Beside each library stands a manifest: the hash of the sources that it was made of, its entries and
how it was compiled. One that was made of other sources, or for a processor that this is not, is not
loaded. Nothing here needs numba.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from rtlstm.kernels.compiler import entries, sources

__all__ = ["DIRECTORY", "LEVELS", "Level", "find", "processor", "symbol"]

DIRECTORY = os.path.join(sources.ROOT, "libraries")
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
# What a library is compiled for, best first, and what it needs of a processor, as Linux names it:
# the levels of x86-64 (System V ABI); ARM with NEON, in 64 bits, which always have it, and in 32,
# with and without instructions that fuse multiply and add.
LEVELS: dict[str, tuple[str, ...]] = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"),
    "x86-64-v3": ("avx2", "fma", "bmi1", "bmi2", "abm", "f16c", "movbe"),
    "x86-64-v2": ("sse4_2", "ssse3", "popcnt"),
    "aarch64": ("aarch64",),
    "armv7-vfpv4": ("arm", "neon", "vfpv4"),
    "armv7": ("arm", "neon"),
}
HWCAP = 16  # AT_HWCAP (Linux, elf.h), and what its bits say on 32-bit ARM (asm/hwcap.h)
ARM = {1 << 12: "neon", 1 << 16: "vfpv4"}
# IsProcessorFeaturePresent (Windows, processthreadsapi.h): what x86-64-v2 needs came together.
WINDOWS = {36: "ssse3", 38: "sse4_2"}


class Level:
    """One library: its manifest and, once it is asked for, its functions."""

    def __init__(self, manifest: str | os.PathLike[str]) -> None:
        place = os.fspath(manifest)
        self.name, self.path = os.path.basename(place)[:-5], f"{place[:-5]}{SUFFIX}"
        with open(place, encoding="utf-8") as file:
            self._manifest = file.read()
        self._loaded: ctypes.CDLL | None = None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the manifest says; raises ValueError if it cannot be read."""
        import json  # takes 2 ms to import: where all is well, its text is looked through instead

        return json.loads(self._manifest)  # type: ignore[no-any-return]

    def is_of(self, digest: str) -> bool:
        """Whether it was compiled from sources of this hash; raises ValueError, KeyError."""
        return f'"sources": "{digest}"' in self._manifest or bool(self.facts["sources"] == digest)

    def function(self, name: str, dtypes: tuple[str, ...]) -> tuple[Callable[..., int], int]:
        """The C function of an entry, and where its machine code lies as kernels call it.

        Raises RuntimeError for an entry that the library has not.
        """
        wanted = symbol(name, dtypes)
        if f'"{wanted}": ' not in self._manifest:
            raise RuntimeError(f"{self.path} was compiled without the entry {name} for {dtypes}")
        numbers = entries.find(name).numbers_in_c
        if self._loaded is None:
            self._loaded = ctypes.CDLL(self.path)
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *numbers * (ctypes.c_int64,))
        run = kind((f"rtlstm_{wanted}", self._loaded))
        inner = f"rtlstm_k_{wanted}" if dtypes else f"rtlstm_{wanted}"
        place = ctypes.cast(getattr(self._loaded, inner), ctypes.c_void_p).value
        return run, place or 0


def symbol(name: str, dtypes: tuple[str, ...]) -> str:
    """The name of an entry for these dtypes in a library."""
    return "_".join([name.replace(".", "_"), *dtypes])


@cache
def processor() -> frozenset[str]:
    """What the processor can do for this Python, as Linux names it; nothing where none is known."""
    windows = sys.platform == "win32"  # `platform` takes milliseconds to import
    machine = (
        os.environ.get("PROCESSOR_ARCHITECTURE", "") if windows else os.uname().machine
    ).lower()
    wide = sys.maxsize > 2**32
    if machine in ("aarch64", "arm64") and wide:
        return frozenset({"aarch64"})
    if machine.startswith(("arm", "aarch64")) and not wide:  # which may run on 64 bits
        flags = ctypes.CDLL(None).getauxval(HWCAP)
        return frozenset({"arm", *(name for bit, name in ARM.items() if flags & bit)})
    if machine not in ("x86_64", "amd64") or not wide:
        return frozenset()
    return _windows_processor() if windows else _linux_processor()


def _linux_processor() -> frozenset[str]:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            # The first processor's alone: with a hundred of them the rest takes milliseconds.
            flags = next((line for line in lines if line.startswith("flags")), ":")
    except OSError:
        return frozenset()
    return frozenset(flags.split(":")[1].split())


def _windows_processor() -> frozenset[str]:
    asked: Any = ctypes.CDLL("kernel32").IsProcessorFeaturePresent
    found = {name for number, name in WINDOWS.items() if asked(number)}
    return frozenset(found | {"popcnt"} if "sse4_2" in found else found)


def find(directory: str | os.PathLike[str] | None = None) -> tuple[Level | None, str]:
    """The best library for this processor that was made of today's sources, and why (not).

    directory: None for that of the installation, or the one that RTLSTM_LIBRARIES names.
    """
    directory = directory or os.environ.get("RTLSTM_LIBRARIES") or DIRECTORY
    why = "no library was compiled ahead for this installation"
    for name, needed in LEVELS.items():
        manifest = os.path.join(directory, f"{name}.json")
        if not os.path.isfile(manifest):
            continue
        if not processor().issuperset(needed):
            why = f"the library for {name} needs a processor with {', '.join(needed)}"
            if not processor():
                why += ", and what this one has is not known: is /proc there?"
            continue
        try:
            level = Level(manifest)
            if not level.is_of(sources.SOURCES.hex()):
                why = f"the library for {name} was compiled from other sources"
                continue
        except (OSError, ValueError, KeyError) as error:
            why = f"the library for {name} cannot be read: {error}"
            continue
        return level, f"compiled ahead for {name}"
    return None, why
