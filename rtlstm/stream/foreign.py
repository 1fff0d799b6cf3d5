"""What a file is that is no stream of text, told by its first bytes, and what to do about it."""

from rtlstm.errors import SourceError

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a pointer of Git LFS and not the file itself",
        "fetch it with: git lfs pull",
    ),
    (
        b"/annex/objects/",
        "a pointer of git-annex and not the file itself",
        "fetch it by git annex get",
    ),
    (b"\x89PNG\r\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"RIFF", "a RIFF file (sound or picture)", ""),
    (b"II*\0", "a TIFF image", ""),
    (b"MM\0*", "a TIFF image", ""),
    (b"%PDF-", "a PDF document", ""),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it first: zstd -dc FILE | rtlstm stream -"),
    (b"\x04\x22\x4d\x18", "packed by lz4", "unpack it first: lz4 -dc FILE | rtlstm stream -"),
    (b"SQLite format 3\0", "an SQLite database", "write the table as CSV"),
    (b"\x89HDF\r\n", "an HDF5 file", "write the table as CSV or Parquet"),
    (b"CDF\x01", "a NetCDF file", "write the table as CSV"),
    (b"CDF\x02", "a NetCDF file", "write the table as CSV"),
    (b"\x93NUMPY", "a NumPy array", "write it with numpy.savetxt, or call the package from Python"),
    (b"\x7fELF", "a program", ""),
    (b"MATLAB 5.0", "a MATLAB file", "write the table as CSV"),
)
_MARKUP: tuple[tuple[bytes, str, str], ...] = (
    (b"<!doctype html", "an HTML page and no data", "download the file that the page links to"),
    (b"<html", "an HTML page and no data", "download the file that the page links to"),
    (b"<?xml", "XML", "write the table as CSV or JSON lines"),
    (b"{\\rtf", "a text document (RTF)", "save it as CSV"),
)
ARROW_MAGIC = (b"PAR1", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff")
"""Parquet, Arrow IPC or Feather, the first Feather, an Arrow IPC stream."""


def refuse_foreign(where: str, head: bytes) -> None:
    """Raise `SourceError` if these first bytes are those of a format that is no stream of rows."""
    text = head.lstrip()[:64].lower()
    for magic, what, mend in _MAGIC:
        if head.startswith(magic):
            raise refusal(where, what, mend)
    for magic, what, mend in _MARKUP:
        if text.startswith(magic):
            raise refusal(where, what, mend)
    if head[257:262] == b"ustar":
        raise refusal(where, "a tar archive", "unpack it first")
    if _is_model(head):
        raise refusal(where, "a file of tensors and not of rows", "see rtlstm inspect")


def refusal(where: str, what: str, mend: str) -> SourceError:
    """The one line that says what a file is and how to go on."""
    return SourceError(f"{where}: is {what}{'; ' if mend else ''}{mend}; nothing was read")


def _is_model(head: bytes) -> bool:
    """A safetensors file: the length of its header, and a brace."""
    return head[3:9] == b"\0\0\0\0\0{"
