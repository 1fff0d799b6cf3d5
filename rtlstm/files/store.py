"""Model files: saved so that a crash leaves the old or the new one, loaded only if whole.

The format is safetensors (see ``header``), so any reader of that opens the file; but that alone
would neither notice a changed byte, nor sync, nor store an array with strides right. The reader
trusts nothing: it checks the header, then asks the caller which tensors the spec needs, and only
if they are the same does it allocate, and only if the digest is right does it hand anything out.
Nothing in a file is ever executed.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from rtlstm.errors import (
    DamagedFileError,
    FileTooLargeError,
    ForeignFileError,
    LimitError,
    MismatchedFileError,
    MissingFileError,
    ModelFileError,
    SpecError,
    StorageError,
    TruncatedFileError,
)
from rtlstm.files import atomic, header
from rtlstm.files.header import Entry, Header, Table, brief

MAX_BYTES = 1 << 30  # of a whole file, unless the caller allows more

PathLike = str | os.PathLike[str]
Array = np.ndarray[Any, Any]
Expect = Callable[[str, dict[str, Any]], Mapping[str, tuple[Any, tuple[int, ...]]]]


# --------------------------------------------------------------------------- the face
def write(path: PathLike, kind: str, spec: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Write a model file so that a crash leaves the old file or the new one; see ``atomic``.

    ``tensors``: name -> array of float32, float64, int64, uint16 or uint8, any shape, strides and
    byte order; they must not change meanwhile. ``spec``: JSON values, keys strings, numbers finite
    (tuples come back as lists). A file over MAX_BYTES needs ``max_bytes`` to be read again.
    Raises :class:`SpecError` for what the format cannot hold, before it touches the disk, and
    :class:`StorageError` if the operating system refuses.
    """
    arrays = {name: _stored(name, np.asarray(array)) for name, array in tensors.items()}
    table = header.ordered({name: (array.dtype, array.shape) for name, array in arrays.items()})
    flat = [_bytes(arrays[name]) for name in table]
    try:
        text = header.dumps(dict(spec))
        digest = hashlib.sha256(header.encode(kind, text, table))
        for data in flat:
            digest.update(data)
        head = header.encode(kind, text, table, digest.hexdigest())
        # What could not be read again is not written.
        header.read(io.BytesIO(head), len(head) + header.data_bytes(table))
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(f"this cannot be stored, and nothing was written: {error}") from error
    atomic.replace(path, [head, *flat])


def read(
    path: PathLike,
    expect: Expect,
    finite: Callable[[str], bool] = lambda name: True,
    max_bytes: int = MAX_BYTES,
) -> tuple[str, dict[str, Any], dict[str, Array]]:
    """Read a model file whole: (kind, spec, tensors), or raise and hand out nothing.

    ``expect(kind, spec)`` gives the name -> (dtype, shape) that the file must hold, no more and
    no less; it sees values from a file not yet trusted, and whatever it raises becomes a
    :class:`MismatchedFileError`. Float tensors whose name satisfies ``finite`` must be finite.
    Raises a kind of :class:`ModelFileError`; memory stays below twice the size of the file.
    """
    with _opened(path, max_bytes) as (file, size):
        head = header.read(file, size)
        _compare(_wanted(expect, head), head.table)
        digest = hashlib.sha256(head.bare)
        tensors = {}
        for name, (dtype, shape) in head.table.items():
            tensors[name] = np.empty(shape, dtype)
            _fill(file, _bytes(tensors[name]), digest)
        if digest.hexdigest() != head.digest:
            raise DamagedFileError("its digest is not that of its bytes")
        for name, array in tensors.items():
            if array.dtype.kind == "f" and finite(name) and not np.isfinite(array).all():
                raise DamagedFileError(f"tensor {name!r} holds values that are not finite")
    return head.kind, head.spec, tensors


def inspect(
    path: PathLike, kinds: Container[str] | None = None, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """What a model file says of itself, of whatever kind, without building anything.

    Keys: format, version, kind, known (is the kind one of ``kinds``; None if not given), spec,
    bytes, digest, whole (does the digest match), tensors: name -> {dtype, shape, bytes}.
    Raises as :func:`read` does where the header itself cannot be read.
    """
    with _opened(path, max_bytes) as (file, size):
        head = header.read(file, size)
        digest = hashlib.sha256(head.bare)
        left, room = header.data_bytes(head.table), np.empty(1 << 20, np.uint8)
        while left:
            part = room[: min(left, room.size)]
            _fill(file, part.data, digest)
            left -= part.size
    tensors = {
        name: {"dtype": entry[0].name, "shape": entry[1], "bytes": header.nbytes(entry)}
        for name, entry in head.table.items()
    }
    return {
        "format": header.FORMAT,
        "version": header.VERSION,
        "kind": head.kind,
        "known": None if kinds is None else head.kind in kinds,
        "spec": head.spec,
        "bytes": size,
        "digest": head.digest,
        "whole": digest.hexdigest() == head.digest,
        "tensors": tensors,
    }


# --------------------------------------------------------------------------- tensors
def _stored(name: object, array: Array) -> Array:
    """The array as it lies in the file: little-endian, C-contiguous."""
    dtype = array.dtype.newbyteorder("<")
    if not isinstance(name, str) or dtype not in header.CODES:
        kinds = ", ".join(dtype.name for dtype in header.CODES)
        raise SpecError(
            f"tensor {name!r} of {array.dtype} cannot be stored, and nothing was written:"
            f" the name must be a string, the dtype one of {kinds}"
        )
    return np.asarray(array, dtype, order="C")


def _bytes(array: Array) -> memoryview:
    """The bytes of a C-contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _wanted(expect: Expect, head: Header) -> Table:
    try:
        want = expect(head.kind, head.spec)
        return {name: (np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in want.items()}
    except LimitError as error:
        raise MismatchedFileError(f"what its spec asks for is too large: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # the spec may hold anything at all
        message = f"its spec of a {brief(head.kind)} cannot be built: {error}"
        raise MismatchedFileError(message) from error


def _compare(want: Table, have: Table) -> None:
    if missing := sorted(want.keys() - have.keys()):
        raise MismatchedFileError(f"missing tensors ({len(missing)}): {brief(missing)}")
    if extra := sorted(have.keys() - want.keys()):
        raise MismatchedFileError(f"tensors not in its spec ({len(extra)}): {brief(extra)}")
    for name, entry in have.items():
        if entry != want[name]:
            raise MismatchedFileError(
                f"tensor {brief(name)} is {_describe(entry)}, its spec asks for"
                f" {_describe(want[name])}"
            )


def _describe(entry: Entry) -> str:
    return f"{entry[0].name} {brief(entry[1])}"


def _fill(file: io.BufferedIOBase, room: memoryview, digest: Any) -> None:
    """Fill ``room`` from the file and take it into the digest."""
    if file.readinto(room) != room.nbytes:
        raise TruncatedFileError("it became shorter while it was read")
    digest.update(room)


# --------------------------------------------------------------------------- the file
@contextmanager
def _opened(path: PathLike, max_bytes: int) -> Iterator[tuple[io.BufferedIOBase, int]]:
    """The file and its size; every error then names the path, and is of our own kinds."""
    name = atomic.file_name(path)
    try:
        # O_NONBLOCK, where there is one: a pipe is refused at once, not waited for.
        more = getattr(os, "O_NONBLOCK", 0)
        with open(name, "rb", opener=lambda p, flags: os.open(p, flags | more)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ForeignFileError("it is a pipe or device, not a file")
            if (size := found.st_size) > max_bytes:
                raise FileTooLargeError(f"it has {size} bytes, at most {max_bytes} allowed")
            yield file, size
    except ModelFileError as error:
        raise type(error)(f"model file {name!r}: {error}; nothing was loaded") from error
    except FileNotFoundError as error:
        raise MissingFileError(error.errno, "there is no such model file", name) from error
    except OSError as error:
        message = f"cannot read the model file: {error.strerror}"
        raise StorageError(error.errno, message, name) from error
