"""The header of a model file: names, dtypes and shapes, kind and spec, and a digest of it all.

A model file is the length of its header (8 bytes, little-endian), the header (JSON, padded with
spaces to a multiple of 8), and the tensors' bytes without gaps: wider dtypes first, then by name.
This is the safetensors format. The header's ``__metadata__`` holds ``format`` "rtlstm",
``version``, ``kind``, ``spec`` (JSON) and ``digest``: SHA-256 over the same header with an empty
digest, then the tensors' bytes.

Kind, spec, names, dtypes and shapes determine every byte of a header. So the reader takes these
from the file, writes the header again, and wants the same bytes: that leaves no room for holes,
overlaps, duplicate keys or odd numbers. It allocates nothing that the header's numbers ask for.
"""

from __future__ import annotations

import io
import json
import math
import re
import reprlib
import struct
from typing import Any

import numpy as np

from rtlstm.errors import (
    DamagedFileError,
    FileVersionError,
    ForeignFileError,
    TruncatedFileError,
)
from rtlstm.kernels.frozen import frozen

FORMAT, VERSION = "rtlstm", 1
MAX_HEADER = 1 << 20  # bytes
MAX_DEPTH = 32  # of JSON, whose parser recurses on the C stack
MAX_DIMENSIONS = 32
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "U16": np.dtype("<u2"),  # also the bits of bfloat16
    "U8": np.dtype("u1"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}

Entry = tuple[np.dtype[Any], tuple[int, ...]]
Table = dict[str, Entry]

brief = reprlib.repr  # of values from a file, which may be megabytes long


@frozen
class Header:
    """A checked header: ``table`` in the order of the file, ``bare`` its bytes without digest."""

    kind: str
    spec: dict[str, Any]
    table: Table
    digest: str
    bare: bytes


def nbytes(entry: Entry) -> int:
    """Bytes of a tensor of this dtype and shape."""
    dtype, shape = entry
    return math.prod(shape) * dtype.itemsize


def data_bytes(table: Table) -> int:
    """Bytes of all tensors."""
    return sum(map(nbytes, table.values()))


def ordered(table: Table) -> Table:
    """The table in the order of the file, which keeps every tensor aligned to its own width."""
    return dict(sorted(table.items(), key=lambda item: (-item[1][0].itemsize, item[0])))


# --------------------------------------------------------------------------- writing
def encode(kind: str, spec: str, table: Table, digest: str = "") -> bytes:
    """Length and header; ``table`` is :func:`ordered`, ``spec`` what :func:`dumps` wrote."""
    metadata = {"format": FORMAT, "version": str(VERSION), "kind": kind, "spec": spec}
    tree: dict[str, Any] = {"__metadata__": {**metadata, "digest": digest}}
    end = 0
    for name, entry in table.items():
        begin, end = end, end + nbytes(entry)
        tree[name] = {"dtype": CODES[entry[0]], "shape": entry[1], "data_offsets": (begin, end)}
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def dumps(spec: dict[str, Any]) -> str:
    """The one way to write a spec as JSON."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)


# --------------------------------------------------------------------------- reading
def read(file: io.BufferedIOBase, size: int) -> Header:
    """Read and check length and header of a file of ``size`` bytes.

    Raises ForeignFileError, FileVersionError, or, if header and size disagree,
    TruncatedFileError or DamagedFileError.
    """
    first = file.read(8)
    length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
    if length > MAX_HEADER:
        raise ForeignFileError(
            f"at offset 0: no model begins with a header of {length} bytes, at most {MAX_HEADER}"
        )
    if len(first) < 8 or length > size - 8:
        raise TruncatedFileError(f"it has {size} bytes, its header alone needs {8 + length}")
    raw = first + file.read(length)
    tree = _loads(raw[8:], "header")
    kind, spec, digest = _metadata(tree.pop("__metadata__", None))
    table = ordered({name: _entry(name, entry) for name, entry in tree.items()})
    _same(raw, kind, spec, table, digest)
    plain = _loads(spec.encode(), "spec")
    wanted = len(raw) + data_bytes(table)
    if size != wanted:
        fault = TruncatedFileError if size < wanted else DamagedFileError
        raise fault(f"it has {size} bytes, its header asks for {wanted}")
    return Header(kind, plain, table, digest, encode(kind, spec, table))


def _metadata(metadata: Any) -> tuple[str, str, str]:
    """kind, spec and digest; what else it says, :func:`_same` checks."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ForeignFileError(f"its header does not say format {FORMAT!r}")
    kind, version = metadata.get("kind"), metadata.get("version")
    if version != str(VERSION):
        raise FileVersionError(
            f"version {brief(version)} of the format (kind {brief(kind)}), this release reads"
            f" {VERSION}"
        )
    spec, digest = metadata.get("spec"), metadata.get("digest")
    if not (isinstance(kind, str) and isinstance(spec, str) and isinstance(digest, str)):
        raise ForeignFileError("its metadata lacks kind, spec or digest")
    return kind, spec, digest


def _entry(name: str, entry: Any) -> Entry:
    """dtype and shape of one tensor; what else the entry says, :func:`_same` checks."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape = fields.get("dtype"), fields.get("shape")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ForeignFileError(f"tensor {brief(name)} has dtype {brief(dtype)}: not one of ours")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_size, shape)):
        raise ForeignFileError(f"tensor {brief(name)} has shape {brief(shape)}: not a shape")
    if math.prod(filter(None, shape)) >= 1 << 60:  # NumPy's limit, zeros left out
        raise ForeignFileError(f"tensor {brief(name)} of shape {brief(shape)} cannot exist")
    return DTYPES[dtype], tuple(shape)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _same(raw: bytes, kind: str, spec: str, table: Table, digest: str) -> None:
    """The header must be, byte for byte, the one that we would have written."""
    try:
        ours = encode(kind, spec, table, digest)
    except UnicodeEncodeError as error:
        raise ForeignFileError(f"its header is not Unicode text: {error.reason}") from error
    if ours != raw:
        pairs = zip(ours, raw, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(raw)))
        found, wanted = raw[at : at + 16], ours[at : at + 16]
        raise ForeignFileError(f"at offset {at}: {found!r} where {wanted!r} should be")


# --------------------------------------------------------------------------- JSON
_DEEPER = np.zeros(256, np.int64)  # by how much a byte outside strings moves the depth
_DEEPER[list(b"[{")], _DEEPER[list(b"]}")] = 1, -1
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)


def _loads(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object without duplicate keys, infinities or deep nesting."""
    steps = _DEEPER[np.frombuffer(_STRING.sub(b"", text), np.uint8)]
    if steps.cumsum().max(initial=0) > MAX_DEPTH:
        raise ForeignFileError(f"its {what} is nested deeper than {MAX_DEPTH}")
    try:
        tree = json.loads(
            text.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except ValueError as error:
        raise ForeignFileError(f"its {what} is not JSON as we write it: {error}") from error
    if not isinstance(tree, dict):
        raise ForeignFileError(f"its {what} is not a JSON object")
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return tree


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:30]} is not a finite number")
    return value
