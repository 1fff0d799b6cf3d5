"""Text in, line by line and live, from files, packed files and standard input."""

import codecs
import io
import lzma
import os
import re
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rtlstm.errors import SourceError
from rtlstm.stream.encoding import guess_encoding
from rtlstm.stream.feed import Feed, Readable, name_of
from rtlstm.stream.foreign import ARROW_MAGIC, refuse_foreign
from rtlstm.stream.rejects import Rejects

__all__ = ["MAX_LINE", "Lines", "Readable", "name_of"]

MAX_LINE = 1 << 20
"""Bytes of the longest line that is taken in, unless told otherwise."""

_FILL = 8
"""NULs in a row from which they are none of a damaged cell."""
_BLANKS = "\u00a0\u202f"
_UNSEEN = re.compile("[\u00a0\u202f](?!\\d{3}(?:\\D|$))|[\u200b\u200e\u200f\u2060]")
"""What looks like a blank or like nothing: no-break blanks but between thousands, and marks."""
HEAD = 1 << 12
"""Bytes from which the encoding is told, if they are there."""


class Lines:
    """The lines of a readable that are not blank, each as soon as it has arrived.

    Packing and encoding are told by the first bytes; encoding= names it. A byte that is not of the
    encoding comes as a lone surrogate or a mark, so that it spoils its own cell alone. Lines end in
    a newline, a carriage return or both. A line above max_line bytes is rejected without being
    held. Raises `SourceError` where the system or the compression fails. Memory: what was read at
    once, 64 KiB, and a line.
    """

    def __init__(
        self,
        readable: Readable,
        rejects: Rejects,
        max_line: int = MAX_LINE,
        encoding: str | None = None,
    ) -> None:
        self.number = 0
        """The number of the last line read, from 1."""
        self.cut = 0
        """The number of the last line if no line end follows it, once it was read; else 0."""
        self.rejects = rejects
        self.encoding = encoding or ""
        self._limit = max_line
        self._ready: deque[tuple[int, str | bytes]] = deque()  # bytes: of a line too long
        self._count = 0
        self._rest = b""
        self._end = b"\n"
        self._passing = False
        self._ended = False
        self._wide: codecs.IncrementalDecoder | None = None
        self._known(encoding)
        self._readable = readable
        with self._faults():
            self._feed = Feed(readable, rejects.where)
            self.live = self._feed.live
            with self.closed_on_error():
                self._start()
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    @property
    def first(self) -> str:
        """The first character that is not blank; empty if there is none."""
        return self._rest.lstrip()[:1].decode("latin-1")

    @property
    def packed(self) -> str:
        """What the bytes were packed by; empty if they were not."""
        return self._feed.packed

    @property
    def start(self) -> str:
        """The text read so far, before any line was taken from it."""
        return self._rest.decode(self._codec, "replace")

    @property
    def is_arrow(self) -> bool:
        """Whether it is no text but Parquet, Feather or Arrow."""
        return self.magic.startswith(ARROW_MAGIC)

    def raw(self) -> Iterator[bytes]:
        """The bytes, from the first on, in place of lines; for what is no text."""
        yield self._head
        while piece := self._feed.more():
            yield piece

    @property
    def again(self) -> Readable | None:
        """What to open for reading from the start once more; None where that cannot be."""
        path = isinstance(self._readable, str | os.PathLike) and self._readable != "-"
        return self._readable if path and not self.live else None

    def look(self, lines: int, wait: bool = False) -> list[tuple[int, str]]:
        """The next lines with their numbers, as many as are there; they stay to be read.

        wait: for at least one that is more than there were.
        """
        before = len(self._ready)
        with self._faults():
            while len(self._ready) < lines:
                if not self._fill(wait=wait and len(self._ready) == before):
                    break
        return [(number, line) for number, line in self._ready if isinstance(line, str)]

    @property
    def starts_too_long(self) -> bool:
        """Whether the first line to come is too long to be held."""
        return bool(self._ready) and isinstance(self._ready[0][1], bytes)

    @property
    def ended(self) -> bool:
        """Whether all that there is was read."""
        return self._ended

    def skip(self, lines: int) -> None:
        """Pass over lines that were looked at."""
        while lines:
            self.number, line = self._ready.popleft()
            lines -= isinstance(line, str)

    def pieces(self) -> Iterator[str]:
        """The text without regard to lines, in place of them."""
        decoder = codecs.getincrementaldecoder(self._codec)("replace")
        piece: bytes | None = self._rest
        with self._faults():
            while piece:
                yield decoder.decode(piece)
                piece = self._unpacked(True)
            yield decoder.decode(b"", True)
        self._feed.close()

    def close(self) -> None:
        """Close what was opened here; a file that was handed in stays open."""
        self._ready.clear()
        self._rest, self._ended = b"", False
        self._feed.close()

    @contextmanager
    def closed_on_error(self) -> Iterator[Self]:
        """Close if what is made of the lines in this context cannot be made."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def _known(self, encoding: str | None) -> None:
        try:
            codecs.lookup(encoding or "utf-8")
        except LookupError:
            raise SourceError(f"there is no encoding {encoding!r}; utf-8, cp1252 …") from None

    def _start(self) -> None:
        """The first bytes, and what they tell of encoding and line ends."""
        head = self._feed.more() or b""
        while len(head) < HEAD and (piece := self._feed.more(wait=False)):
            head += piece
        refuse_foreign(self.rejects.where, head)
        self.magic = head[:8]
        if self.is_arrow:
            self._head = head
            return
        self.encoding = self.encoding or guess_encoding(head)
        if head.lstrip()[:1] in (b"{", b"["):
            self.encoding = "utf-8"  # as JSON is, whatever bytes one of its texts may hold
        self._codec, self._errors = self.encoding, "replace"
        if self.encoding in ("utf-8", "utf-8-sig"):
            self._codec, self._errors = "utf-8", "surrogateescape"
            head = head.removeprefix(codecs.BOM_UTF8)
        elif codecs.lookup(self.encoding).name.startswith(("utf-16", "utf-32")):
            self._wide = codecs.getincrementaldecoder(self.encoding)("replace")
            head = self._wide.decode(head).encode().removeprefix(codecs.BOM_UTF8)
            self._codec = "utf-8"
        self._rest = head
        if b"\r" in head.rstrip(b"\r") and b"\n" not in head:
            self._end = b"\r"

    def _unpacked(self, wait: bool) -> bytes | None:
        piece = self._feed.more(wait)
        if piece and self._wide is not None:
            return self._wide.decode(piece).encode() or self._unpacked(wait)
        return piece

    def _read(self) -> Iterator[str]:
        ready = self._ready
        while True:
            while ready:
                self.number, line = ready.popleft()
                if isinstance(line, str):
                    yield line
                else:
                    self._reject(line)
            with self._faults():
                if not self._fill(wait=True):
                    break
        self._feed.close()

    def _fill(self, wait: bool) -> bool:
        """Make lines of the next piece; False at the end, or if none is there without waiting."""
        if self._ended:
            return False
        if self._end not in self._rest:
            piece = self._unpacked(wait)
            if piece is None:
                return False
            self._ended = not piece
            self._rest += piece
        cut = len(self._rest) if self._ended else self._rest.rfind(self._end) + 1
        whole, self._rest = self._rest[:cut], self._rest[cut:]
        self._split(whole)
        if self._ended and whole and not whole.endswith(self._end):
            self.cut = self._count
        if len(self._rest) > self._limit and not self._passing:
            self._pass_over(self._rest)
        if self._passing:
            self._rest = b""
        return True

    def _split(self, whole: bytes) -> None:
        """Whole lines of bytes, or what is left at the end, as lines of text."""
        if self._passing and whole:
            end = whole.find(self._end) + 1
            self._passing = not end and not self._ended
            whole = whole[end:] if end else b""
        text = whole.decode(self._codec, self._errors)
        if _UNSEEN.search(text):
            text = _UNSEEN.sub(lambda found: " " * (found[0] in _BLANKS), text)
        odd = "\0" in text or "\x1a" in text
        for line in io.StringIO(text, newline=self._end.decode()):
            self._count += 1
            if odd:
                line = self._without_fill(line)
            if len(line) > self._limit + 1:
                self._pass_over(line.encode("utf-8", "replace"), passing=False)
            elif not line.isspace():
                self._ready.append((self._count, line))

    def _without_fill(self, line: str) -> str:
        """A line without what is no text before it: the many NULs that a power failure leaves in
        a file, and the Ctrl-Z at the end of one from DOS. Behind a cell they stay, and spoil the
        row, which may have been cut there.
        """
        if not line.strip("\0\x1a\r\n\t "):
            self.rejects.counts["fill"] += not line.isspace()
            return "\n"
        bare = line.lstrip("\0")
        if len(line) - len(bare) < _FILL:
            return line
        self.rejects.counts["fill"] += 1
        return bare

    def _pass_over(self, start: bytes, passing: bool = True) -> None:
        """Note a line that is too long; what is still to come of it is dropped."""
        self._passing = passing
        self._count += passing
        self._ready.append((self._count, start[: self._limit]))

    def _reject(self, start: bytes) -> None:
        self.rejects.reject(
            "long_line",
            f"line {self.number} is longer than {self._limit} bytes",
            start.decode("utf-8", "replace"),
        )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Faults of the system and of the compression as `SourceError`."""
        try:
            yield
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as fault:
            if isinstance(fault, SourceError):
                raise
            reason = getattr(fault, "strerror", None) or str(fault)
            line = self._count
            raise SourceError(
                f"{self.rejects.where}: cannot read on behind line {line}: {reason}"
                if line
                else f"{self.rejects.where}: cannot read it: {reason}"
            ) from fault
