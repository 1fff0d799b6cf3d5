"""The sources that a compiled kernel can depend on, and their hash."""

from __future__ import annotations

import os
from collections.abc import Iterator

try:
    from _blake2 import blake2b  # as hashlib has it, which takes 3 ms to import, OpenSSL's with it
except ImportError:
    from hashlib import blake2b

__all__ = ["ROOT", "SOURCES", "hash_sources"]

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
FOR_CHIPS = {"device.py", "libm.py", "platforms.py", "targets.py"}  # nothing that runs here


def _sources(folder: str, above: str = "") -> Iterator[tuple[str, str]]:
    """Every source below a folder: its name from there, with slashes, and its path."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.endswith(".py"):
            yield above + entry.name, entry.path
        elif entry.name != "__pycache__" and entry.is_dir():
            yield from _sources(entry.path, f"{above}{entry.name}/")


def hash_sources() -> bytes:
    """Hash every source that a compiled kernel can depend on."""
    digest = blake2b(digest_size=32)
    for name, path in _sources(ROOT):
        folder, _, file = path.rpartition(os.sep)
        if folder == HERE and file in FOR_CHIPS:
            continue
        digest.update(name.encode() + b"\0")
        with open(path, "rb", buffering=0) as source:
            digest.update(source.read() + b"\0")
    return digest.digest()


SOURCES = hash_sources()  # now, for a file that changes later is not what this process runs
