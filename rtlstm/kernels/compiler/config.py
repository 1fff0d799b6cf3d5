"""How kernels run in this process, and why: `rtlstm.config()`."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from rtlstm.kernels.compiler import library, mode, sources

__all__ = ["config"]


def config() -> dict[str, str | None]:
    """Say how kernels run in this process, and why.

    "kernels": "ahead", "jit", "plain" or "interpreted" (the environment variable RTLSTM_KERNELS
    chooses); "why"; "library": the file of machine code in use, or None, and its "level";
    "sources": the hash of the kernels' sources; the versions of "python", "numpy" and "numba" (None
    where it is not installed); "numba_imported": whether this process has imported it.
    """
    level = mode.LEVEL if mode.NAME == "ahead" else None
    return {
        "kernels": mode.NAME,
        "why": mode.WHY,
        "library": level.path if level else None,
        "level": level.name if level else None,
        "levels_supported": ", ".join(
            name for name, needed in library.LEVELS.items() if library.processor() >= {*needed}
        ),
        "sources": sources.SOURCES.hex()[:16],
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "numba": _version("numba"),
        "numba_imported": "yes" if sys.modules.get("numba") else "no",
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
