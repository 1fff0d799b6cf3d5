"""How kernels are compiled: one decorator, a private on-disk cache, and direct entry points.

Numba's own cache does not notice an edited helper in another file, keeps its index in a file that
two processes can interleave, and raises at import or at the first call when its directory cannot
be used.  The cache here is keyed by a hash of every kernel source, holds one file per compiled
signature (its name a hash of the key, its first bytes a digest of the rest), and treats every
fault as "not cached": the kernel is compiled, one warning says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import stat
import sys
import threading
import uuid
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

from rtlstm.kernels.compiler.dispatch import KernelDispatcher

__all__ = ["CacheWarning", "cache_directory", "entry", "kernel"]

# Neither nnan nor ninf: with them LLVM deletes the checks for NaN and infinity.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
ROOT = Path(__file__).parents[1]  # the sources that a compiled kernel can depend on
DIGEST_BYTES = hashlib.sha256().digest_size


class CacheWarning(RuntimeWarning):
    """Compiled kernels cannot be kept on disk, or a damaged one was dropped; results are right."""


def kernel(py_func: Callable[..., Any], c: bool = False) -> Any:
    """Compile `py_func` on first use, without the GIL, cached on disk across processes.

    `c`: with an entry for C, too (see `code_address`).

    A function from elsewhere than a source below rtlstm/kernels, or that closes over anything but
    kernels, is compiled but not kept: the key of the cache would not notice a change in it.
    Returns the numba dispatcher, or `py_func` itself under NUMBA_DISABLE_JIT=1.
    """
    if config.DISABLE_JIT:
        return py_func
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(FASTMATH)}
    dispatcher = KernelDispatcher(py_func, options | {"no_cfunc_wrapper": not c})
    inner = [cell.cell_contents for cell in py_func.__closure__ or ()]
    known = all(isinstance(part, KernelDispatcher) for part in inner)
    if known and ROOT in Path(py_func.__code__.co_filename).parents:
        names = [f"{part.py_func.__module__}.{part.py_func.__qualname__}" for part in inner]
        dispatcher._cache = KernelCache(py_func, names)
    return dispatcher


def entry(dispatcher: Any, signature: Any) -> Callable[..., Any]:
    """Return the compiled entry point of `dispatcher` for `signature`, compiling if need be.

    It takes the arguments of the signature and checks nothing: an array of another dtype, layout
    or length is read as garbage.  A call with one array and one integer costs about 60 ns, against
    130 ns through the dispatcher.  Under NUMBA_DISABLE_JIT=1 the Python function is returned.
    """
    if config.DISABLE_JIT:
        return dispatcher  # type: ignore[no-any-return]
    return dispatcher.compile(signature)  # type: ignore[no-any-return]


def code_address(dispatcher: Any, signature: Any, c: bool = False) -> int:
    """Return where the machine code of `dispatcher` for `signature` lies, compiling if need be.

    That is a numba function, which kernels can call; or, of a kernel made with `c`, a C function.
    0 under NUMBA_DISABLE_JIT=1.
    """
    if config.DISABLE_JIT:
        return 0
    dispatcher.compile(signature)
    found = dispatcher.overloads[signature]
    names = found.fndesc.llvm_func_name, found.fndesc.llvm_cfunc_wrapper_name
    return found.library.get_pointer_to_function(names[c])  # type: ignore[no-any-return]


def cache_directory() -> Path:
    """Return the directory of the kernels compiled from today's sources (it may not exist yet).

    $RTLSTM_CACHE_DIR, else $XDG_CACHE_HOME/rtlstm, else ~/.cache/rtlstm, and below it one directory
    for each state of the sources, the compiler and its flags.  Raises RuntimeError without a home.
    """
    own = os.environ.get("RTLSTM_CACHE_DIR")
    if own:
        base = Path(own).absolute()
    else:
        xdg = Path(os.environ.get("XDG_CACHE_HOME") or ".")
        base = (xdg if xdg.is_absolute() else Path.home() / ".cache") / "rtlstm"
    return base / f"kernels-{_build_key()}"


def _hash_sources() -> bytes:
    """Hash every source that a compiled kernel can depend on."""
    digest = hashlib.sha256()
    for source in sorted(ROOT.rglob("*.py")):
        digest.update(source.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    return digest.digest()


SOURCES = _hash_sources()  # now, for a file that changes later is not what this process runs


@cache
def _build_key() -> str:
    """Hash what a compiled kernel depends on beyond its signature and the processor."""
    flags = (config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT)
    versions = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
    return hashlib.sha256(repr((flags, versions)).encode() + SOURCES).hexdigest()[:16]


def _private_directory() -> Path:
    """Return the cache directory, made if absent; raise OSError unless it is the user's alone.

    Its files are unpickled, which runs code: nobody else may be able to write there.
    """
    path = cache_directory()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is not a directory")
    if hasattr(os, "getuid"):
        if found.st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    return path


class _Store:
    """The files of compiled kernels: load and save bytes by name, a fault is a warning at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: Path | None = None
        self._warned = False
        self.usable = True

    def fault(self, what: str, error: BaseException) -> None:
        """Say once in this process what is wrong with the cache."""
        with self._lock:
            first, self._warned = not self._warned, True
        if first:
            warnings.warn(f"{what}: {error}", CacheWarning, stacklevel=2)

    def path(self, name: str) -> Path | None:
        """Return where `name` is kept, or None if there is no cache."""
        if self.usable and self._directory is None:
            try:
                self._directory = _private_directory()
            except (OSError, RuntimeError) as error:
                self.usable = False
                self.fault("rtlstm compiles its kernels anew in every process", error)
        return self._directory / name if self.usable and self._directory else None

    def load(self, path: Path) -> Any:
        """Return the object kept at `path`, None if there is none; raise ValueError if damaged."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError(f"{path} is damaged")
        return pickle.loads(payload)  # noqa: S301 - the directory is the user's alone

    def save(self, path: Path, payload: bytes) -> None:
        """Write `payload` at `path`, whole or not at all."""
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            draft.write_bytes(hashlib.sha256(payload).digest() + payload)
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise


_store = _Store()


class KernelCache(FunctionCache):  # type: ignore[misc]
    """numba's cache of one function, over `_Store`; touches no file before the first compile."""

    def __init__(self, py_func: Callable[..., Any], inner: list[str]) -> None:
        self._py_func = py_func
        self._inner = inner  # names of the kernels that it closes over
        self._impl = _Impl(py_func)
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        path = _store.path("")
        return None if path is None else str(path)

    def flush(self) -> None:
        """Leave the files: they are named by what they hold, so none can be stale."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compile result kept for `sig`, or None."""
        # Not `target_context.refresh()`, as numba does: it reads the registries of all that could
        # be compiled, and scipy with them: 0.2 s and 60 MB that machine code has no need of.
        rtsys.initialize(target_context)
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        # Unpickling and relinking can raise anything, and must never stop a call.
        try:
            payload = _store.load(path)
            return None if payload is None else self._impl.rebuild(target_context, payload)
        except Exception as error:
            _store.fault("rtlstm recompiles a kernel whose cached copy cannot be used", error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compile result `data` for `sig` if that is possible."""
        path = self._path(sig, data.codegen)
        if path is None or not self._impl.check_cachable(data):
            return
        try:
            _store.save(path, dumps(self._impl.reduce(data)))
        except Exception as error:
            _store.usable = False
            _store.fault("rtlstm cannot keep its compiled kernels", error)

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        if not self._enabled:
            return None
        name = ".".join([self._py_func.__module__, self._py_func.__qualname__, *self._inner])
        line = self._py_func.__code__.co_firstlineno
        key = repr((name, line, str(sig), codegen.magic_tuple())).encode()
        readable = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[-80:]
        return _store.path(f"{readable}-{hashlib.sha256(key).hexdigest()[:24]}.kernel")


class _Impl(CompileResultCacheImpl):  # type: ignore[misc]
    """numba's serialisation of compile results, without its search for a place on disk."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._lineno = py_func.__code__.co_firstlineno
        self._locator = _Source(py_func.__code__.co_filename)


class _Source:
    """Names the source file in numba's warnings."""

    def __init__(self, py_file: str) -> None:
        self._py_file = py_file
