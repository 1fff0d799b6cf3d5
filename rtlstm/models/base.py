"""The base class of all models: memory in use, snapshots, copies, files and pickling."""

from __future__ import annotations

import array
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from rtlstm.errors import StateError
from rtlstm.files import store
from rtlstm.layouts.arena import Arena, ArrayLayout, buffer_dtype

Array = np.ndarray[Any, Any]


class Lock:
    """A re-entrant lock whose state compiled code can read (see kernels/native/fastcall.py)."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # How often it is held; how many fast calls run without the GIL.
        self._numbers = array.array("q", (0, 0))

    @property
    def address(self) -> int:
        """Address of two int64 numbers; fast calls run only while both of them are 0."""
        return self._numbers.buffer_info()[0]

    def __enter__(self) -> None:
        self._lock.acquire()
        self._numbers[0] += 1
        while self._numbers[1]:  # a step of a large network, soon over
            time.sleep(1e-5)

    def __exit__(self, *_: object) -> None:
        self._numbers[0] -= 1
        self._lock.release()


class Model:
    """An object whose whole state lies in one arena that is laid out from a specification.

    A subclass sets ``kind`` (its name in files), ``spec`` (with ``to_dict``), ``_arena``,
    ``_saved`` (name -> array layout of everything that a file holds) and ``_lock``, and can build
    itself from a specification alone.
    """

    kind: ClassVar[str]
    spec: Any
    _arena: Arena
    _saved: Mapping[str, ArrayLayout]
    _lock: Lock

    @classmethod
    def from_spec(cls, spec: Any) -> Self:
        """Build a model from its specification, with the values that it starts with."""
        raise NotImplementedError

    @classmethod
    def saved_arrays(cls, spec: Any) -> tuple[Mapping[str, ArrayLayout], str]:
        """Return the arrays in a file of this specification, and its float dtype."""
        raise NotImplementedError

    @property
    def _bytes(self) -> Array:
        return self._arena.bytes

    @property
    def memory(self) -> int:
        """Bytes that the model holds in all; known before the first sample."""
        return self._bytes.nbytes

    def snapshot(self) -> bytes:
        """Return the whole state, weights included, as bytes for :meth:`restore`."""
        with self._lock:
            return self._bytes.tobytes()

    def restore(self, snapshot: bytes) -> None:
        """Restore a snapshot of this model; raises StateError for bytes of another size."""
        size = len(snapshot) if isinstance(snapshot, bytes | bytearray | memoryview) else None
        if size != self._bytes.nbytes:
            raise StateError(
                f"a snapshot of this {self.kind} has {self._bytes.nbytes} bytes, got"
                f" {type(snapshot).__name__ if size is None else size}; nothing was restored"
            )
        with self._lock:
            self._bytes[:] = np.frombuffer(snapshot, np.uint8)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the model to a file, from which :func:`rtlstm.load` continues bit for bit.

        The file is replaced atomically: after a crash there is the old one or the new one. Raises
        StorageError if the operating system refuses; the old file is then intact.
        """
        with self._lock:
            tensors = {name: self._arena.view(at).copy() for name, at in self._saved.items()}
        store.write(path, self.kind, self.spec.to_dict(), tensors)

    @classmethod
    def from_tensors(cls, spec: Any, tensors: Mapping[str, Array]) -> Self:
        """Build a model from the tensors of a file, which ``store.read`` has checked."""
        made = cls.from_spec(spec)
        for name, at in made._saved.items():
            made._arena.view(at)[...] = tensors[name]
        return made

    @classmethod
    def expected(cls, spec: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return name, dtype and shape of every tensor in a file of this specification."""
        places, dtype = cls.saved_arrays(spec)
        return {name: (buffer_dtype(at.part, dtype), at.shape) for name, at in places.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "bytes": self.snapshot()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_spec(state["spec"]).__dict__)
        self.restore(state["bytes"])
