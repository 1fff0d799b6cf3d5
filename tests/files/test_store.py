"""The store: what is written comes back, and nothing else is ever handed out."""

import ast
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from attacks import hostile
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from rtlstm import errors
from rtlstm.errors import (
    DamagedFileError,
    FileTooLargeError,
    FileVersionError,
    LimitError,
    MismatchedFileError,
    MissingFileError,
    ModelFileError,
    SpecError,
    StorageError,
    TruncatedFileError,
)
from rtlstm.files import header, store

DTYPES = ["float64", "int64", "float32", "uint16", "uint8"]
GOOD = hostile.good()


@pytest.fixture(autouse=True, scope="module")
def no_sync() -> Iterator[None]:
    """Syncing is what test_atomic.py is about; here it would only take time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


def expect(kind: str, spec: Mapping[str, Any]) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """What a file of tests/attacks must hold; fails in many ways on any other spec."""
    if kind != "network":
        raise SpecError(f"no kind {kind!r}")
    if spec["n"] < 0:
        return expect(kind, spec)  # RecursionError
    return {"w": (np.float32, (spec["n"], 3)), "c": (np.int64, ()), "b": (np.uint8, (5,))}


def same_as(tensors: Mapping[str, np.ndarray]) -> store.Expect:
    return lambda kind, spec: {name: (a.dtype, a.shape) for name, a in tensors.items()}


def assert_same(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for name, array in want.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape
        assert got[name].tobytes() == array.tobytes()


# --------------------------------------------------------------------------- round trips
def test_the_file_is_what_the_format_says(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    store.write(path, "network", {"n": 2}, hostile.TENSORS)
    assert path.read_bytes() == GOOD
    kind, spec, tensors = store.read(path, expect)
    assert (kind, spec) == ("network", {"n": 2})
    assert_same(tensors, hostile.TENSORS)


def test_any_safetensors_reader_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    spec = {"columns": ["Öl", "\u2028", "\ud800"], "n": 1e-300, "none": None}
    tensors = {**hostile.TENSORS, "größe": np.zeros((3, 0)), "bf": np.arange(4, dtype=np.uint16)}
    store.write(path, "network", spec, tensors)
    assert_same(safetensors.numpy.load_file(path), tensors)
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["format"] == "rtlstm"
    assert store.read(path, same_as(tensors))[1] == spec


LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "every other": lambda a: a[::2, :, 1::2],
    "backwards": lambda a: a[::-1, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "scalar": lambda a: a[1, 2, 3],
    "0-d": lambda a: a[1, 2, 3, ...],
    "empty": lambda a: a[:, :0],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype_and_stride_comes_back(tmp_path: Path, dtype: str, layout: str) -> None:
    bits = np.random.default_rng(0).integers(0, 256, 4 * 6 * 8 * np.dtype(dtype).itemsize, np.uint8)
    array = LAYOUTS[layout](bits.view(dtype).reshape(4, 6, 8))
    want = {"a": np.array(array, dtype=dtype, order="C")}
    store.write(tmp_path / "m", "k", {}, {"a": array})
    assert_same(store.read(tmp_path / "m", same_as(want), finite=lambda name: False)[2], want)


def test_a_memory_map_and_a_read_only_array_come_back(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "map", np.float32, "w+", shape=(3, 4))
    mapped[:] = np.arange(12).reshape(3, 4)
    fixed = np.arange(3.0)
    fixed.setflags(write=False)
    store.write(tmp_path / "m", "k", {}, {"a": mapped[:, ::2], "b": fixed})
    got = store.read(tmp_path / "m", same_as({"a": mapped[:, ::2], "b": fixed}))[2]
    assert np.array_equal(got["a"], mapped[:, ::2]) and np.array_equal(got["b"], fixed)
    got["b"][0] = 5  # what is handed out is one's own


_shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)
_tensors = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=8), st.tuples(st.sampled_from(DTYPES), _shapes)
)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(_tensors, st.dictionaries(st.text(), _values, max_size=4), st.integers(0, 2**32))
def test_anything_legal_comes_back(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any], spec: dict[str, Any], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tensors = {
        name: rng.integers(0, 256, (*shape, np.dtype(d).itemsize), np.uint8).view(d)[..., 0]
        for name, (d, shape) in table.items()
    }
    path = tmp_path_factory.getbasetemp() / "anything"
    store.write(path, "kind", spec, tensors)
    kind, got_spec, got = store.read(path, same_as(tensors), finite=lambda name: False)
    assert (kind, got_spec) == ("kind", spec)
    assert_same(got, tensors)


# --------------------------------------------------------------------------- what is refused
AT_ONCE = 1.0 if sys.gettrace() is None else 5.0  # seconds; more while lines are counted


def refused(path: Path, content: bytes) -> ModelFileError:
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        store.read(path, expect)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize("name", hostile.ATTACKS)
def test_hostile_files_are_refused_at_once(tmp_path: Path, name: str) -> None:
    content, kind = hostile.ATTACKS[name]
    start = time.process_time()
    error = refused(tmp_path / "model", content)
    assert time.process_time() - start < AT_ONCE
    assert type(error) is getattr(
        errors, f"{kind}FileError" if kind != "FileVersion" else "FileVersionError"
    ), error


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    for content in hostile.executables(tmp_path / "trace").values():
        refused(tmp_path / "model", content)
    assert not (tmp_path / "trace").exists()


def test_the_package_has_nothing_that_executes_data() -> None:
    modules = {"pickle", "marshal", "shelve", "yaml", "dill", "cloudpickle", "joblib"}
    calls = {"eval", "exec", "__import__"}
    allowed = {
        # a compiled kernel is a pickle, in a directory that the user or root alone may write
        "kernels/compiler/cache.py",
        # writes a chain of comparisons out from the package's own tables
        "kernels/compiler/choose.py",
        # pickles a method to tell how much it holds, and reads no pickle
        "studies/compare/protocol.py",
    }
    package = ROOT / "rtlstm"
    for path in set(package.rglob("*.py")) - {package / name for name in allowed}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not modules & {alias.name.split(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in modules, path
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in calls, path
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    for length in range(len(GOOD)):
        error = refused(tmp_path / "model", GOOD[:length])
        assert isinstance(error, TruncatedFileError)


def test_every_changed_byte_is_refused(tmp_path: Path) -> None:
    rng = random.Random(0)
    for position in range(len(GOOD)):
        for _ in range(8):
            flip = rng.randrange(1, 256)
            changed = bytearray(GOOD)
            changed[position] ^= flip
            refused(tmp_path / "model", bytes(changed))


def test_bytes_swapped_lost_and_inserted_are_refused(tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(1500):
        a, b = sorted(rng.sample(range(len(GOOD) + 1), 2))
        c = rng.randrange(b, len(GOOD) + 1)
        noise = rng.randbytes(rng.randrange(9))
        for changed in (
            GOOD[:a] + GOOD[b:c] + GOOD[a:b] + GOOD[c:],
            GOOD[:a] + GOOD[b:],
            GOOD[:a] + noise + GOOD[a:],
        ):
            if changed != GOOD:
                refused(tmp_path / "model", changed)


def test_a_forged_header_with_a_right_digest_is_refused(tmp_path: Path) -> None:
    """Whatever one value of the header is changed to, only equal files are accepted."""
    rng = random.Random(2)
    values = [
        0,
        1,
        -1,
        2,
        3,
        5,
        8,
        32,
        2**31,
        2**63,
        2**64,
        1.5,
        True,
        None,
        "",
        "w",
        "F32",
        [],
        {},
    ]
    data = GOOD[-37:]
    for _ in range(3000):
        tree = hostile.entries(hostile.TENSORS)
        entry = tree[rng.choice("wcb")]
        field = rng.choice(["dtype", "shape", "data_offsets"])
        if field != "dtype" and entry[field] and rng.random() < 0.8:
            entry[field][rng.randrange(len(entry[field]))] = rng.choice(values)
        else:
            entry[field] = rng.choice(values)
        content = hostile.seal(tree, data)
        if content != GOOD:
            refused(tmp_path / "model", content)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    array = np.zeros(1 << 20)
    store.write(path, "k", {}, {"a": array})

    def shrink(kind: str, spec: Mapping[str, Any]) -> Any:
        os.truncate(path, 4096)
        return same_as({"a": array})(kind, dict(spec))

    with pytest.raises(TruncatedFileError, match="shorter"):
        store.read(path, shrink)


def test_non_finite_values_are_the_callers_choice(tmp_path: Path) -> None:
    tensors = {"state.window": np.array([np.nan, 1.0]), "weights": np.array([np.inf])}
    store.write(tmp_path / "m", "k", {}, tensors)
    with pytest.raises(DamagedFileError, match="'weights'"):
        store.read(tmp_path / "m", same_as(tensors), finite=lambda name: name == "weights")
    store.read(tmp_path / "m", same_as(tensors), finite=lambda name: False)


def test_size_is_capped_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(GOOD)
    store.read(path, expect, max_bytes=len(GOOD))
    with pytest.raises(FileTooLargeError, match=f"{len(GOOD)} bytes"):
        store.read(path, expect, max_bytes=len(GOOD) - 1)
    os.truncate(path, store.MAX_BYTES + 1)  # sparse: costs no disk
    with pytest.raises(FileTooLargeError):
        store.inspect(path)


def test_out_of_memory_hands_out_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    path.write_bytes(GOOD)

    def empty(*args: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", empty)
        with pytest.raises(MemoryError):
            store.read(path, expect)
        with pytest.raises(MemoryError):
            store.read(path, empty)
    store.read(path, expect)


def test_a_spec_above_a_limit_is_a_file_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(GOOD)

    def too_large(*_: Any) -> dict[str, Any]:
        raise LimitError("more than that")

    with pytest.raises(MismatchedFileError, match="asks for is too large: more than that; nothing"):
        store.read(path, too_large)


MEASURE = """
import resource, sys
import numpy as np
from rtlstm.files import header, store
size, path = int(sys.argv[1]), sys.argv[2]
want = {"a": (np.float32, (size // 8,)), "b": (np.float32, (size // 8,))}
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
try:
    store.read(path, lambda kind, spec: want)
except ValueError as error:
    print(type(error).__name__, end=" ")
print(peak() - before)
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_memory_stays_below_twice_the_file(tmp_path: Path, damaged: bool) -> None:
    size, path = 64 << 20, tmp_path / "m"
    half = np.ones(size // 8, np.float32)
    store.write(path, "k", {}, {"a": half, "b": half})
    if damaged:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\1")
    command = [sys.executable, "-c", MEASURE, str(size), str(path)]
    words = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert words[:-1] == ["DamagedFileError"] * damaged
    assert int(words[-1]) < 2 * size


# --------------------------------------------------------------------------- what cannot be stored
DEEP: list[Any] = []
for _ in range(40):
    DEEP = [DEEP]
CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE
UNSTORABLE: dict[str, tuple[Any, Any, Any]] = {
    "objects": ("k", {}, {"a": np.array([object()])}),
    "complex": ("k", {}, {"a": np.zeros(2, complex)}),
    "text": ("k", {}, {"a": np.array(["x"])}),
    "float16": ("k", {}, {"a": np.zeros(2, np.float16)}),
    "bool": ("k", {}, {"a": np.zeros(2, bool)}),
    "datetimes": ("k", {}, {"a": np.zeros(2, "M8[s]")}),
    "records": ("k", {}, {"a": np.zeros(2, [("x", "f4")])}),
    "a name that is no text": ("k", {}, {3: np.zeros(2)}),
    "the metadata's name": ("k", {}, {"__metadata__": np.zeros(2)}),
    "a lone surrogate": ("k", {}, {"\ud800": np.zeros(2)}),
    "a kind that is no text": (3, {}, {}),
    "NaN in the spec": ("k", {"a": float("nan")}, {}),
    "infinity in the spec": ("k", {"a": float("inf")}, {}),
    "a set in the spec": ("k", {"a": {1}}, {}),
    "mixed keys": ("k", {"a": 1, 2: 3}, {}),
    "a deep spec": ("k", {"a": DEEP}, {}),
    "a spec within itself": ("k", CIRCLE, {}),
    "a long spec": ("k", {"a": "x" * (1 << 20)}, {}),
    "many tensors": ("k", {}, {str(i): np.zeros(0, np.uint8) for i in range(30_000)}),
}


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"before")
    with pytest.raises(SpecError, match="nothing was written"):
        store.write(path, *UNSTORABLE[name])
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"before"]


# --------------------------------------------------------------------------- inspect
def test_inspect_tells_what_is_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(GOOD)
    told = store.inspect(path, kinds=("network",))
    assert told["known"] is True and told["whole"] is True
    assert (told["format"], told["version"], told["kind"]) == ("rtlstm", 1, "network")
    assert told["spec"] == {"n": 2} and told["bytes"] == len(GOOD)
    assert told["tensors"]["w"] == {"dtype": "float32", "shape": (2, 3), "bytes": 24}
    assert store.inspect(path)["known"] is None


def test_inspect_works_on_kinds_it_does_not_know_and_on_damage(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(hostile.sealed(hostile.TENSORS, kind="oracle")[:-1] + b"\xff")
    told = store.inspect(path, kinds=("network",))
    assert (told["kind"], told["known"], told["whole"]) == ("oracle", False, False)
    path.write_bytes(hostile.sealed(hostile.TENSORS, version="2", kind="oracle"))
    with pytest.raises(FileVersionError, match=r"version '2'.*'oracle'.*reads 1"):
        store.inspect(path)


def test_inspect_reads_a_file_larger_than_its_buffer(tmp_path: Path) -> None:
    store.write(tmp_path / "m", "k", {}, {"a": np.arange(400_001.0), "b": np.ones(3, np.uint8)})
    assert store.inspect(tmp_path / "m")["whole"] is True


# --------------------------------------------------------------------------- paths
def test_what_is_not_a_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    names = ["loop", "pipe", ".", "..", "pipe/x", "n" * 300, "a\0b", "\ud800", "sub/../../x\0"]
    start = time.process_time()
    for path in [*(tmp_path / name for name in names), "", "/dev/zero", "/dev/null", b"/dev"]:
        with pytest.raises(ModelFileError):
            store.read(path, expect)
        with pytest.raises(ModelFileError):
            store.inspect(path)
    assert time.process_time() - start < AT_ONCE


def test_a_missing_file_is_both_ours_and_pythons_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such model file") as caught:
        store.read(tmp_path / "none", expect)
    assert isinstance(caught.value, MissingFileError)
    assert caught.value.filename == str(tmp_path / "none")


def test_a_failing_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    path.write_bytes(GOOD)

    def broken(*args: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store.header, "read", broken)
    with pytest.raises(StorageError, match="Input/output error") as caught:
        store.read(path, expect)
    assert caught.value.errno == 5 and caught.value.filename == str(path)


def test_links_are_followed_when_reading_and_bytes_are_paths(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(GOOD)
    (tmp_path / "link").symlink_to("m")
    assert_same(store.read(tmp_path / "link", expect)[2], hostile.TENSORS)
    assert_same(store.read(bytes(tmp_path / "m"), expect)[2], hostile.TENSORS)


SAID = {
    "one byte short": "it has 372 bytes, its header asks for 373; nothing was loaded",
    "one byte long": "it has 374 bytes, its header asks for 373; nothing was loaded",
    "a space more": (
        "at offset 0: b'I\\x01\\x00\\x00\\x00\\x00\\x00\\x00{\"__meta' where"
        " b'H\\x01\\x00\\x00\\x00\\x00\\x00\\x00{\"__meta' should be; nothing was loaded"
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_wrong_is_told_by_the_byte(name: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(hostile.HEADERS[name][0])
    with pytest.raises(ModelFileError) as caught:
        store.read(tmp_path / "m", expect)
    assert str(caught.value) == f"model file {str(tmp_path / 'm')!r}: {SAID[name]}"


def test_json_may_be_nested_32_deep() -> None:
    assert header._loads(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", "text")
    with pytest.raises(errors.ForeignFileError, match="its text is nested deeper than 32"):
        header._loads(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "text")
