"""The sources that a compiled kernel can depend on, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["ROOT", "SOURCES", "hash_sources"]

ROOT = Path(__file__).parents[1]
FOR_CHIPS = {"device.py", "libm.py", "platforms.py", "targets.py"}  # nothing that runs here


def hash_sources() -> bytes:
    """Hash every source that a compiled kernel can depend on."""
    digest = hashlib.sha256()
    for source in sorted(ROOT.rglob("*.py")):
        if source.parent == Path(__file__).parent and source.name in FOR_CHIPS:
            continue
        digest.update(source.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    return digest.digest()


SOURCES = hash_sources()  # now, for a file that changes later is not what this process runs
