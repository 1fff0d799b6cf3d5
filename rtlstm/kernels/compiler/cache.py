"""The on-disk cache of compiled kernels.

Numba's own cache does not notice an edited helper in another file, keeps its index in a file that
two processes can interleave, and raises at import or at the first call when its directory cannot
be used.  This one is keyed by a hash of every kernel source, holds one file per compiled signature
(its name a hash of the key, its first bytes a digest of the name and the rest), and treats every
fault as "not cached": the kernel is compiled, one warning says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import threading
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

from rtlstm.kernels.compiler.directory import is_roots_alone, trusted_directory

__all__ = ["CacheWarning", "KernelCache"]

DIGEST_BYTES = hashlib.sha256().digest_size


class CacheWarning(RuntimeWarning):
    """Compiled kernels cannot be kept on disk, or a damaged one was dropped; results are right."""


class _Store:
    """The files of compiled kernels: load and save bytes by name, a fault is a warning at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: Path | None = None
        self._warned = False
        self.usable = True
        self.writable = True

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
                self._directory, self.writable = trusted_directory()
            except (OSError, RuntimeError) as error:
                self.usable = False
                self.fault("rtlstm compiles its kernels anew in every process", error)
        return self._directory / name if self.usable and self._directory else None

    def load(self, path: Path) -> Any:
        """Return the object kept at `path`, None if there is none; raise ValueError if damaged."""
        try:
            with path.open("rb") as file:
                if not self.writable and not is_roots_alone(os.fstat(file.fileno())):
                    raise ValueError(f"{path} is not root's alone, as its directory is")
                data = file.read()
        except FileNotFoundError:
            return None
        digest, payload = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if digest_of(path, payload) != digest:
            raise ValueError(f"{path} is damaged, or another's")
        return pickle.loads(payload)  # noqa: S301 - the directory is the user's or root's alone

    def save(self, path: Path, payload: bytes) -> None:
        """Write `payload` at `path`, whole or not at all."""
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            draft.write_bytes(digest_of(path, payload) + payload)
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise


def digest_of(path: Path, payload: bytes) -> bytes:
    """A digest of what a file of the cache holds, and of its place: none stands for another."""
    place = f"{path.parent.name}/{path.name}\0"
    return hashlib.sha256(place.encode() + payload).digest()


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
            if _store.writable:
                with contextlib.suppress(OSError):
                    path.unlink()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compile result `data` for `sig` if that is possible."""
        path = self._path(sig, data.codegen)
        if path is None or not _store.writable or not self._impl.check_cachable(data):
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
