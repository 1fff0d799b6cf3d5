"""Damaged model files by the thousand: refused as such, or read as what was written.

Run as a program: `python tests/attacks/damaged.py CASES SEED`, which ends with 0 if the reader did
neither more nor less in every case. Every second damage is signed anew, so that it meets the
decoder and not the digest.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from rtlstm.errors import ModelFileError
from rtlstm.files import store

if __name__ == "__main__":
    from hostile import TENSORS, frame, good
    from trying import memory_folder, try_cases
else:
    from attacks.hostile import TENSORS, frame, good
    from attacks.trying import memory_folder, try_cases

WANT = {name: (array.dtype, array.shape) for name, array in TENSORS.items()}
TEXTS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u0000", b"\\ud800", b" ", b"\n", b"\0"),
    *(b"-", b"0", b"1e999", b"NaN", b"9" * 30, b"null", b"true", b"{}", b'""', b"\xff", b"\xc3"),
    *(b"__metadata__", b"F32", b"I64", b"data_offsets", b"shape", b"dtype", b"digest"),
)


@cache
def pieces() -> tuple[bytes, bytes, bytes]:
    """Header text, tensors and digest of the good file."""
    data = good()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return data[8:end], data[end:], data[8:end].split(b'"digest":"')[1][:64]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes, each anywhere."""
    found = bytearray(data)
    for _ in range(1 + int(rng.integers(4))):
        at, kind = int(rng.integers(len(found) + 1)), rng.integers(6)
        length = int(rng.integers(1, 9)) if rng.random() < 0.8 else int(rng.integers(1, 200))
        if kind == 0 and at < len(found):
            found[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del found[at : at + length]
        elif kind == 2:
            found[at:at] = TEXTS[rng.integers(len(TEXTS))]
        elif kind == 3:
            text = TEXTS[rng.integers(len(TEXTS))]
            found[at : at + len(text)] = text
        elif kind == 4:
            start = int(rng.integers(len(found) + 1))
            found[at:at] = found[start : start + length]
        else:
            found[at : at + length] = rng.bytes(length)
    return bytes(found)


def case(rng: np.random.Generator) -> tuple[bytes, bool]:
    """A damaged file, and whether it was signed anew."""
    if rng.random() < 0.5:
        return damaged(good(), rng), False
    text, data, digest = pieces()
    if rng.random() < 0.2:
        data = damaged(data, rng)
    text = damaged(text, rng)
    text += b" " * (-len(text) % 8)
    if text.count(digest) == 1:
        bare = frame(text.replace(digest, b""), b"")
        text = text.replace(digest, hashlib.sha256(bare + data).hexdigest().encode())
    return frame(text, data), True


def survive(path: Path, data: bytes, signed: bool) -> str:
    """Read one case; returns how it ended, raises what should not come."""
    path.write_bytes(data)
    with suppress(ModelFileError):
        store.inspect(path)
    try:
        kind, spec, tensors = store.read(path, lambda kind, spec: WANT)
    except ModelFileError as error:
        return type(error).__name__
    assert isinstance(kind, str) and isinstance(spec, dict)
    assert {name: (a.dtype, a.shape) for name, a in tensors.items()} == WANT
    assert signed or data == good(), "a changed file was taken for whole"
    return "read"


def main(cases: int, seed: int) -> int:
    """Try so many cases; returns how many did not end as they should."""
    with memory_folder() as root:

        def draw(number: int, rng: np.random.Generator) -> tuple[str, Callable[[], str]]:
            data, signed = case(rng)
            return repr(data), partial(survive, Path(root) / "m", data, signed)

        return try_cases(cases, seed, draw)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
