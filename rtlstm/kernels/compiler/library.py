"""A library of kernels that were compiled ahead of time: found, matched and loaded by ctypes.

Beside each library stands a manifest: the hash of the sources that it was made of, its entries and
how it was compiled. One that was made of other sources, or for a processor that this is not, is not
loaded. Nothing here needs numba.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from rtlstm.kernels.compiler import sources

__all__ = ["DIRECTORY", "LEVELS", "Level", "find", "processor", "symbol"]

DIRECTORY = sources.ROOT / "libraries"
# Levels of x86-64 (System V ABI), best first: what each needs of a processor, as Linux names it.
LEVELS: dict[str, tuple[str, ...]] = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"),
    "x86-64-v3": ("avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"),
    "x86-64-v2": ("sse4_2", "ssse3", "popcnt"),
}


class Level:
    """One library: its manifest and, once it is asked for, its functions."""

    def __init__(self, manifest: Path) -> None:
        self.path = manifest.with_suffix(".so")
        self.facts: dict[str, Any] = json.loads(manifest.read_text())
        self._loaded: ctypes.CDLL | None = None

    def function(self, name: str, dtypes: tuple[str, ...]) -> tuple[Callable[..., int], int]:
        """The C function of an entry, and where its machine code lies as kernels call it.

        Raises RuntimeError for an entry that the library has not.
        """
        wanted = symbol(name, dtypes)
        if wanted not in self.facts["entries"]:
            raise RuntimeError(f"{self.path} was compiled without the entry {name} for {dtypes}")
        numbers = self.facts["entries"][wanted]
        if self._loaded is None:
            self._loaded = ctypes.CDLL(str(self.path))
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
    """What the processor can do, as Linux names it; nothing where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), ":")
    return frozenset(flags.split(":")[1].split())


def find(directory: Path | None = None) -> tuple[Level | None, str]:
    """The best library for this processor that was made of today's sources, and why (not).

    directory: None for that of the installation, or the one that RTLSTM_LIBRARIES names.
    """
    directory = directory or Path(os.environ.get("RTLSTM_LIBRARIES") or DIRECTORY)
    why = "no library was compiled ahead for this installation"
    for name, needed in LEVELS.items():
        manifest = directory / f"{name}.json"
        if not manifest.is_file():
            continue
        if not processor().issuperset(needed):
            why = f"the library for {name} needs a processor with {', '.join(needed)}"
            continue
        try:
            level = Level(manifest)
            if level.facts["sources"] != sources.SOURCES.hex():
                why = f"the library for {name} was compiled from other sources"
                continue
        except (OSError, ValueError, KeyError) as error:
            why = f"the library for {name} cannot be read: {error}"
            continue
        return level, f"compiled ahead for {name}"
    return None, why
