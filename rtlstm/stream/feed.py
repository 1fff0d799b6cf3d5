"""The bytes of a readable as they come: files, packed files, pipes and standard input."""

import os
import select
import stat
import sys
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO

from rtlstm.errors import SourceError
from rtlstm.stream.unpack import PACKED, PIECE, ZIP, Unpacker, unzipped

Readable = str | os.PathLike[str] | Traversable | IO[bytes]
"""A path, a package's resource, "-" for standard input, or an open binary file."""


class Feed:
    """Unpacked bytes, piece by piece; whether it waits for them is the caller's choice."""

    def __init__(self, readable: Readable, where: str) -> None:
        self._where = where
        self._file, self._owned = _open(readable)
        self.live = _is_live(self._file)
        """Whether more may come later, as through a pipe."""
        self.packed = ""
        """What the bytes were packed by; empty if they were not."""
        self._unpacker: Unpacker | None = None
        self._ended = False
        self._start: bytes | None = None
        self._archive: IO[bytes] | None = None

    def more(self, wait: bool = True) -> bytes | None:
        """The next piece; empty at the end, None if `wait` is false and nothing is there yet."""
        if self._start is None:
            if not (wait or self._there()):
                return None
            self._start = self._first()
            if self._unpacker is None:
                return self._start
        while True:
            if self._unpacker is not None and (out := self._unpacker.take()):
                return out
            if not (wait or self._there()):
                return None
            piece = self._piece()
            if self._unpacker is None:
                return piece
            if not piece:
                self._unpacker.end()
                return b""
            self._unpacker.put(piece)

    def close(self) -> None:
        """Close what was opened here; a file that was handed in stays open."""
        if self._owned:
            self._ended = False  # so that reading on fails, as of any closed file
            self._file.close()
        if self._archive is not None:
            self._archive.close()

    def _first(self) -> bytes:
        """The first piece, long enough to tell whether it is packed, and by what."""
        first = self._piece()
        while any(magic.startswith(first) and magic != first for magic in PACKED) and first:
            piece = self._piece()
            if not piece:
                break
            first += piece
        packed = next((magic for magic in PACKED if first.startswith(magic)), None)
        if packed is not None and not self.packed:
            self.packed = PACKED[packed]
        if packed == ZIP:
            inside = unzipped(self._file, self._where)
            self._archive = self._file if self._owned else None
            self._file, self._owned = inside, True
            return self._first()
        if packed is not None and len(first) > len(packed):
            self._unpacker = Unpacker(packed)
            self._unpacker.put(first)
        return first

    def _piece(self) -> bytes:
        if self._ended:
            return b""
        read = getattr(self._file, "read1", self._file.read)  # does not wait for a full buffer
        piece = read(PIECE)
        if not isinstance(piece, bytes | bytearray):
            raise SourceError(f"{self._where}: open the file in binary mode, not as text")
        self._ended = not piece
        return bytes(piece)

    def _there(self) -> bool:
        """Whether a read returns at once."""
        if not self.live or self._ended:
            return True
        return bool(select.select([self._file], [], [], 0.0)[0])


def _is_live(file: IO[bytes]) -> bool:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except (OSError, AttributeError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def name_of(readable: Readable) -> str:
    """What messages call a readable."""
    if isinstance(readable, str | os.PathLike):
        return "standard input" if readable == "-" else os.fspath(readable)
    return str(getattr(readable, "name", "the given file"))


def _open(readable: Readable) -> tuple[IO[bytes], bool]:
    """The open file, and whether it was opened here."""
    if readable == "-":
        if sys.stdin is None:
            raise SourceError("standard input is closed; rows were expected from it")
        return sys.stdin.buffer, False
    if isinstance(readable, str | os.PathLike):
        readable = Path(readable)
    if isinstance(readable, Traversable):
        return readable.open("rb"), True
    return readable, False
