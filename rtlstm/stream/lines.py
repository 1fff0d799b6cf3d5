"""Text in, line by line and live, from files, gzip and standard input."""

import gzip
import itertools
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Self, cast

from rtlstm.errors import SourceError
from rtlstm.stream.rejects import Rejects

Readable = str | os.PathLike[str] | Traversable | IO[bytes]
"""A path, a package's resource, "-" for standard input, or an open binary file."""

MAX_LINE = 1 << 20
"""Bytes of the longest line that is taken in, unless told otherwise."""

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_GZIP = b"\x1f\x8b"


class Lines:
    """The lines of a readable that are not blank, each as soon as it has arrived.

    Gzip is told by its first two bytes. Text is UTF-8 with or without a byte order mark; a byte
    that is not UTF-8 comes as a lone surrogate, so that it spoils its own cell alone. A line above
    max_line bytes is rejected without being held. Raises `SourceError` where the system or the
    compression fails. Memory: one line.
    """

    def __init__(self, readable: Readable, rejects: Rejects, max_line: int = MAX_LINE) -> None:
        self.number = 0
        """The number of the last line read, from 1."""
        self.rejects = rejects
        self._limit = max_line + 1
        with self._faults():
            self._file, self._owned = _open(readable)
        self._lines: Iterator[str] = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def peek(self) -> str:
        """The first line to come, which stays to be read; empty at the end."""
        line = next(self._lines, "")
        self._lines = itertools.chain((line,) if line else (), self._lines)
        return line

    def close(self) -> None:
        """Close what was opened here; a file that was handed in stays open."""
        if self._owned:
            self._file.close()

    @contextmanager
    def closed_on_error(self) -> Iterator[Self]:
        """Close if what is made of the lines in this context cannot be made."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def _read(self) -> Iterator[str]:
        with self._faults():
            line, readline = self._start()
            while line:
                self.number += 1
                if len(line) == self._limit and not line.endswith(b"\n"):
                    self._pass_over(line, readline)
                elif not line.isspace():
                    yield line.decode("utf-8", "surrogateescape")
                line = readline(self._limit)
        self.close()

    def _start(self) -> tuple[bytes, Callable[[int], bytes]]:
        """The first line, unpacked and without its byte order mark, and what reads the others."""
        readline: Callable[[int], bytes] = self._file.readline
        line = readline(self._limit)
        if not isinstance(line, bytes):
            raise SourceError(f"{self.rejects.where}: open the file in binary mode, not as text")
        if line.startswith(_GZIP):
            readline = gzip.GzipFile(fileobj=_rejoined(line, self._file)).readline
            line = readline(self._limit)
        if line.startswith(_UTF16):
            raise SourceError(f"{self.rejects.where}: text is UTF-16 where UTF-8 was expected")
        return line.removeprefix(_BOM), readline

    def _pass_over(self, start: bytes, readline: Callable[[int], bytes]) -> None:
        """Skip to the end of a line that is too long, piece by piece, and reject it."""
        while (piece := readline(self._limit)) and not piece.endswith(b"\n"):
            pass
        self.rejects.reject(
            "long_line",
            f"line {self.number} is longer than {self._limit - 1} bytes",
            start.decode("utf-8", "replace"),
        )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Faults of the system and of the compression as `SourceError`."""
        try:
            yield
        except (OSError, EOFError, zlib.error, ValueError) as fault:
            if isinstance(fault, SourceError):
                raise
            reason = getattr(fault, "strerror", None) or str(fault)
            raise SourceError(
                f"{self.rejects.where}: cannot read on behind line {self.number}: {reason}"
                if self.number
                else f"{self.rejects.where}: cannot read it: {reason}"
            ) from fault


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


class _Rejoined:
    """A file whose first bytes were read already, as far as gzip needs a file."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start = start
        self._read = getattr(file, "read1", file.read)  # read1 does not wait for a full buffer

    def read(self, size: int) -> bytes:
        start, self._start = self._start[:size], self._start[size:]
        return start or cast(bytes, self._read(size))


def _rejoined(start: bytes, file: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], _Rejoined(start, file))
