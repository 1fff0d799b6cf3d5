"""Files that must be refused, and the builder they are made with.

The builder knows the format from its description alone and shares no code with the package.
Every attack that could carry a right digest does carry one, so that it meets the check it is
aimed at and not the digest.
"""

import hashlib
import io
import json
import os
import pickle
import struct
from functools import cache
from pathlib import Path

import numpy as np

Json = dict[str, object]

SPEC = '{"n":2}'
W = np.arange(6, dtype=np.float32).reshape(2, 3)
TENSORS = {"c": np.array(7, np.int64), "w": W, "b": np.arange(5, dtype=np.uint8)}


def frame(text: bytes, data: bytes = b"") -> bytes:
    """Length, header, data."""
    return struct.pack("<Q", len(text)) + text + data


def dump(tree: object) -> bytes:
    """A header as the package writes it: compact, padded to a multiple of 8."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def entries(tensors: dict[str, np.ndarray]) -> Json:
    """The part of the header that names the tensors, in the order given."""
    codes = {"float64": "F64", "int64": "I64", "float32": "F32", "uint16": "U16", "uint8": "U8"}
    tree, end = {}, 0
    for name, array in tensors.items():
        offsets = [end, end := end + array.nbytes]
        code = codes[array.dtype.name]
        tree[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": offsets}
    return tree


def metadata(**changes: object) -> Json:
    """The metadata of a good file, changed."""
    first = {"format": "rtlstm", "version": "1", "kind": "network", "spec": SPEC, "digest": ""}
    return {**first, **changes}


def seal(tree: Json, data: bytes, meta: Json | None = None) -> bytes:
    """A file with this tree of tensors and a right digest over whatever it says."""
    meta = metadata() if meta is None else meta
    bare = frame(dump({"__metadata__": meta, **tree}))
    meta = {**meta, "digest": hashlib.sha256(bare + data).hexdigest()}
    return frame(dump({"__metadata__": meta, **tree}), data)


def sealed(tensors: dict[str, np.ndarray], **changes: object) -> bytes:
    """A file of these tensors, in this order, with changed metadata and a right digest."""
    data = b"".join(array.tobytes() for array in tensors.values())
    return seal(entries(tensors), data, metadata(**changes))


@cache
def good() -> bytes:
    """The file that every attack is a variation of."""
    return sealed(TENSORS)


def entry(name: str, field: str, value: object) -> bytes:
    """The good file with one field of one tensor's entry replaced."""
    tree = entries(TENSORS)
    tree[name] = {**tree[name], field: value}  # type: ignore[dict-item]
    return seal(tree, b"".join(array.tobytes() for array in TENSORS.values()))


def edited(old: bytes, new: bytes) -> bytes:
    """The good file with a text in its header replaced, its length made right."""
    head = struct.unpack("<Q", good()[:8])[0] + 8
    text, data = good()[8:head], good()[head:]
    assert text.count(old) == 1
    return frame(text.replace(old, new), data)


class Bomb:
    """Unpickles to the creation of a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


def executables(trace: Path) -> dict[str, bytes]:
    """Files that make `trace` if anything in them is executed."""
    array = io.BytesIO()
    np.save(array, np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    bomb = pickle.dumps(Bomb(trace))
    return {
        "pickle": bomb,
        "npy of objects": array.getvalue(),
        "yaml": f"!!python/object/apply:os.mkdir ['{trace}']".encode(),
        "python": f"import os; os.mkdir('{trace}')".encode(),
        "pickle behind a length": frame(bomb),
        "python as spec": sealed(TENSORS, spec=f"__import__('os').mkdir('{trace}')"),
    }


def _nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def _crowd(count: int) -> bytes:
    return frame(dump({f"{i}": {"dtype": "U8", "shape": [0]} for i in range(count)}))


HEADERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "Truncated"),
    "seven bytes": (bytes(7), "Truncated"),
    "no header": (bytes(8), "Foreign"),
    "header of 2^63 bytes": (struct.pack("<Q", 1 << 63) + b"{}", "Foreign"),
    "header of 2^64-1 bytes": (b"\xff" * 64, "Foreign"),
    "header of 1 MiB + 1": (frame(b" " * ((1 << 20) + 1)), "Foreign"),
    "header longer than the file": (struct.pack("<Q", 1000) + b"{}", "Truncated"),
    "not JSON": (frame(b"{'a':1} "), "Foreign"),
    "a list": (frame(b"[1,2,3] "), "Foreign"),
    "a number": (frame(b"12345678"), "Foreign"),
    "not UTF-8": (frame(b'{"\xff":1} '), "Foreign"),
    "UTF-16": (frame('{"a":1}'.encode("utf-16")), "Foreign"),
    "byte order mark": (frame(b"\xef\xbb\xbf" + dump({})), "Foreign"),
    "NaN in header": (edited(b"[0,8]", b"[0,NaN]"), "Foreign"),
    "number of 5000 digits": (edited(b"[0,8]", b"[0," + b"8" * 5000 + b"]"), "Foreign"),
    "deep header": (frame(_nested(33)), "Foreign"),
    "very deep header": (frame(_nested(500_000)), "Foreign"),
    "open brackets only": (frame(b"[" * (1 << 20)), "Foreign"),
    "open quotes only": (frame(b'"\\' * (1 << 19)), "Foreign"),
    "escaped quotes only": (frame(b'\\"' * (1 << 19)), "Foreign"),
    "brackets in a string": (frame(dump({"a": "[" * 1000})), "Foreign"),
    "duplicate tensor": (edited(b'"w":{', b'"c":{'), "Foreign"),
    "duplicate metadata": (edited(b'"kind"', b'"version"'), "Foreign"),
    "20,000 tensors": (_crowd(20_000), "Foreign"),
    "100,000 tensors": (_crowd(100_000), "Foreign"),
    "a space more": (edited(b'"w":{', b'"w": {'), "Foreign"),
    "an escape for a letter": (edited(b'"w":{', b'"\\u0077":{'), "Foreign"),
    "lone surrogate": (edited(b'"w":{', b'"\\ud800":{'), "Foreign"),
    "one byte short": (good()[:-1], "Truncated"),
    "one byte long": (good() + b"\0", "Damaged"),
    "twice": (good() * 2, "Damaged"),
}

METADATA: dict[str, tuple[bytes, str]] = {
    "plain safetensors": (frame(dump(entries(TENSORS)), bytes(37)), "Foreign"),
    "metadata of another": (seal(entries(TENSORS), bytes(37), {"format": "pt"}), "Foreign"),
    "metadata a list": (frame(dump({"__metadata__": [1]})), "Foreign"),
    "metadata null": (frame(dump({"__metadata__": None})), "Foreign"),
    "format alone": (seal({}, b"", {"format": "rtlstm", "version": "1"}), "Foreign"),
    "kind a number": (sealed(TENSORS, kind=3), "Foreign"),
    "kind null": (sealed(TENSORS, kind=None), "Foreign"),
    "kind unknown": (sealed(TENSORS, kind="oracle"), "Mismatched"),
    "spec an object": (sealed(TENSORS, spec={"n": 2}), "Foreign"),
    "spec not JSON": (sealed(TENSORS, spec="n=2"), "Foreign"),
    "spec a list": (sealed(TENSORS, spec="[2]"), "Foreign"),
    "spec empty": (sealed(TENSORS, spec="{}"), "Mismatched"),
    "spec with NaN": (sealed(TENSORS, spec='{"n":NaN}'), "Foreign"),
    "spec with infinity": (sealed(TENSORS, spec='{"n":1e999}'), "Foreign"),
    "spec with a key twice": (sealed(TENSORS, spec='{"n":2,"n":2}'), "Foreign"),
    "spec deep": (sealed(TENSORS, spec=_nested(100_000).decode()), "Foreign"),
    "spec of a huge network": (sealed(TENSORS, spec='{"n":1000000000}'), "Mismatched"),
    "spec of the wrong type": (sealed(TENSORS, spec='{"n":"2"}'), "Mismatched"),
    "spec recursing": (sealed(TENSORS, spec='{"n":-1}'), "Mismatched"),
    "an extra key": (sealed(TENSORS, author="me"), "Foreign"),
    "future version": (sealed(TENSORS, version="2"), "FileVersion"),
    "far future version": (sealed(TENSORS, version="9" * 4000), "FileVersion"),
    "version a number": (sealed(TENSORS, version=1), "FileVersion"),
    "version with a zero": (sealed(TENSORS, version="01"), "FileVersion"),
    "version missing": (seal({}, b"", {"format": "rtlstm"}), "FileVersion"),
    "digest of another": (good().replace(good()[-37:], bytes(37)), "Damaged"),
    "digest empty": (
        frame(dump({"__metadata__": metadata(), **entries(TENSORS)}), bytes(37)),
        "Damaged",
    ),
    "digest a number": (frame(dump({"__metadata__": metadata(digest=1)})), "Foreign"),
}

_OFFSETS = {
    "overlap": [0, 24], "hole": [16, 40], "reversed": [32, 8], "negative": [-8, 16], "empty": [],
    "beyond the file": [8, 1 << 62], "float": [8.0, 32], "bool": [True, 32], "three": [8, 32, 40],
    "null": None, "text": "8,32", "long": [8, 33],
}  # fmt: skip
_SHAPES = {
    "overflow": [1 << 32, 1 << 32], "negative": [-2, -3], "float": [2.0, 3], "bool": [True, 6],
    "huge number": [10**400], "text": "23", "nested": [[2, 3]], "null": None, "deep": [1] * 33,
    "nothing of much": [0, 1 << 62], "object": {"0": 2},
}  # fmt: skip
_DTYPES = ["F16", "BF16", "F8_E4M3", "O", "float32", "", None, 3, ["F32"], {"a": 1}]
ENTRIES: dict[str, tuple[bytes, str]] = {
    **{f"offsets {k}": (entry("w", "data_offsets", v), "Foreign") for k, v in _OFFSETS.items()},
    **{f"shape {k}": (entry("w", "shape", v), "Foreign") for k, v in _SHAPES.items()},
    **{f"dtype {v}": (entry("w", "dtype", v), "Foreign") for v in _DTYPES},
    "extra field": (entry("w", "scale", 2), "Foreign"),
    "entry null": (seal({**entries(TENSORS), "w": None}, bytes(37)), "Foreign"),
    "entry a list": (seal({**entries(TENSORS), "w": ["F32", [2, 3]]}, bytes(37)), "Foreign"),
    "another order": (sealed(dict(reversed(TENSORS.items()))), "Foreign"),
    "an extra tensor": (sealed({**TENSORS, "z": np.zeros(3, np.uint8)}), "Mismatched"),
    "no tensors": (sealed({}), "Mismatched"),
    "a tensor missing": (sealed({"w": W, "b": TENSORS["b"]}), "Mismatched"),
    "another name": (sealed({"c": TENSORS["c"], "W": W, "b": TENSORS["b"]}), "Mismatched"),
    "another dtype": (sealed({**TENSORS, "w": W.view(np.uint16)}), "Mismatched"),
    "another shape": (sealed({**TENSORS, "w": W.T.copy()}), "Mismatched"),
    "a flat shape": (sealed({**TENSORS, "w": W.reshape(-1)}), "Mismatched"),
    "NaN weights": (sealed({**TENSORS, "w": W * np.float32("nan")}), "Damaged"),
    "infinite weights": (sealed({**TENSORS, "w": W + np.float32("inf")}), "Damaged"),
}

ATTACKS = {**HEADERS, **METADATA, **ENTRIES}
