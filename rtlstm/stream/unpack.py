"""Bytes out of gzip, xz, bzip2 and zip as they come, without waiting for whole blocks of a file."""

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

from rtlstm.errors import SourceError
from rtlstm.stream.foreign import refusal

PIECE = 1 << 16
"""Bytes that are read, or unpacked, at a time."""

GZIP, XZ, BZIP2, ZIP = b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"PK\x03\x04"
PACKED = {GZIP: "gzip", XZ: "xz", BZIP2: "bzip2", ZIP: "zip"}


class Unpacker:
    """One compressed stream of one or more members; bounded memory however much it unpacks to."""

    def __init__(self, magic: bytes) -> None:
        makers: dict[bytes, Callable[[], Any]] = {
            GZIP: lambda: zlib.decompressobj(31),
            XZ: lzma.LZMADecompressor,
            BZIP2: bz2.BZ2Decompressor,
        }
        self._make = makers[magic]
        self._magic = magic
        self._part = self._make()
        self._left = b""

    def put(self, packed: bytes) -> None:
        """Hand in bytes as they were read."""
        self._left += packed

    def take(self) -> bytes:
        """Unpacked bytes, at most a piece; empty if more packed ones are needed."""
        while self._left or not self._idle():
            if self._part.eof:
                self._left = self._left.lstrip(b"\0")  # padding between members
                if not self._left:
                    return b""
                if len(self._left) < len(self._magic) and self._magic.startswith(self._left):
                    return b""
                self._part = self._make()
            out = self._step()
            if out:
                return out
            if not self._part.eof:
                return b""
        return b""

    def end(self) -> None:
        """Raise EOFError if the packed stream breaks off."""
        if not self._part.eof or self._left.strip(b"\0"):
            raise EOFError("the compressed file breaks off before its end")

    def _idle(self) -> bool:
        return self._part.eof or bool(getattr(self._part, "needs_input", True))

    def _step(self) -> bytes:
        given, self._left = self._left, b""
        out: bytes = self._part.decompress(given, PIECE)
        if self._part.eof:
            self._left = self._part.unused_data
        else:
            self._left = getattr(self._part, "unconsumed_tail", b"")
        return out


def unzipped(file: IO[bytes], where: str) -> IO[bytes]:
    """The one file in a zip archive; raises `SourceError` for several, and for a workbook."""
    if not file.seekable():
        raise refusal(where, "a zip archive that comes through a pipe", "give the file by name")
    try:
        archive = zipfile.ZipFile(file)
        held = [entry for entry in archive.infolist() if _is_data(entry)]
        names = [entry.filename for entry in held]
        if "[Content_Types].xml" in names:
            raise refusal(where, "an Excel workbook", "save it as CSV")
        if len(held) != 1:
            some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            what = f"a zip archive of {len(held)} files ({some})"
            raise refusal(where, what, "unpack it and name one of them")
        return archive.open(held[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as fault:
        raise SourceError(f"{where}: cannot read it: {fault}") from fault


def _is_data(entry: zipfile.ZipInfo) -> bool:
    hidden = entry.filename.startswith("__MACOSX/") or "/." in f"/{entry.filename}"
    return not (entry.is_dir() or hidden)
