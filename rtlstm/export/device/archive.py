"""A static library of one object file, as `ar` writes it: an index of symbols, then the object."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def archive(member: str, made: bytes, symbols: Sequence[str]) -> bytes:
    """The bytes of a library; symbols: the names that the object defines for others.

    Written by hand, since a machine's own `ar` need not know the chip's object files.
    """
    names = b"".join(symbol.encode() + b"\0" for symbol in symbols)
    size = 4 + 4 * len(symbols) + len(names)
    place = 8 + 60 + size + size % 2
    index = struct.pack(f">{1 + len(symbols)}I", len(symbols), *[place] * len(symbols)) + names
    return b"!<arch>\n" + _part("/", index) + _part(f"{member}/", made)


def _part(name: str, data: bytes) -> bytes:
    """One member: its header of 60 characters, and its bytes, an even number of them."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
    return head.encode() + data + b"\n" * (len(data) % 2)
