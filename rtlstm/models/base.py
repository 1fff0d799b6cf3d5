"""The base class of all models: memory in use, snapshots, copies, files and pickling."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rtlstm.errors import SpecError, StateError, UnsavableError
from rtlstm.layouts.arena import Arena, ArrayLayout, buffer_dtype
from rtlstm.models.locks import Lock
from rtlstm.models.notices import tell_skipped

if TYPE_CHECKING:
    from rtlstm.layouts.ranges import Legal

# What files need is imported when one is written or read: it is a third of what starting takes.
Array = np.ndarray[Any, Any]


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
    _unfinished: Callable[[], Any] | None = None

    def _whole(self, work: Callable[[], Any]) -> None:
        """Do ``work`` to its end, whatever interrupts it; called with the lock held.

        ``work`` can be begun again at any point: it looks at the state for what is done already.
        So an interrupt leaves the state as before or as after it; one that comes while this is
        made good is made good by the next call.
        """
        self._finish()
        self._unfinished = work
        try:
            self._finish()
        except BaseException:
            self._finish()
            raise

    def _finish(self) -> None:
        """Make the rest of what an interrupt left; called with the lock held."""
        if self._unfinished is not None:
            self._unfinished()
            self._unfinished = None

    def _heed(self) -> None:
        """Tell if updates are skipped, one after the other; called with the lock held."""
        tell_skipped(self._arena.q, self._arena.d, f"this {self.kind}")

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
            self._finish()
            return self._bytes.tobytes()

    def restore(self, snapshot: bytes) -> None:
        """Restore a snapshot of this model; raises StateError for bytes of another size."""
        size = len(snapshot) if isinstance(snapshot, bytes | bytearray | memoryview) else None
        if size != self._bytes.nbytes:
            raise StateError(
                f"a snapshot of this {self.kind} has {self._bytes.nbytes} bytes, got"
                f" {type(snapshot).__name__ if size is None else size}; nothing was restored"
            )
        taken = np.frombuffer(snapshot, np.uint8)
        legal = self._legal()
        if legal is not None:
            from rtlstm.layouts.ranges import fault

            parts = self._arena.parts_of(taken)
            found = fault(
                legal, {name: at.view(parts[at.part]) for name, at in self._saved.items()}
            )
            if found:
                raise StateError(f"not a snapshot of a {self.kind}: {found}; nothing was restored")
        with self._lock:
            self._finish()
            self._bytes[:] = taken

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the model to a file, from which :func:`rtlstm.load` continues bit for bit.

        The file is replaced atomically: after a crash there is the old one or the new one. Raises
        StorageError if the operating system refuses, and UnsavableError for a model that could not
        be loaded again, as one with a weight that is not finite; the old file is then intact.
        """
        from rtlstm.files import store
        from rtlstm.layouts.ranges import unfit

        with self._lock:
            self._finish()
            tensors, spec = self._tensors(), self.spec.to_dict()
        found = unfit(self._legal(), tensors)
        if found:
            raise UnsavableError(
                f"a {self.kind} that could not be loaded again is not saved: {found}; what is at"
                f" {os.fspath(path)!r} is as before"
            )
        store.write(path, self.kind, spec, tensors)

    def _tensors(self) -> dict[str, Array]:
        """What a file holds, copied; called with the lock held."""
        return {name: self._arena.view(at).copy() for name, at in self._saved.items()}

    @classmethod
    def from_tensors(cls, spec: Any, tensors: Mapping[str, Array]) -> Self:
        """Build a model from the tensors of a file, which ``store.read`` has checked."""
        from rtlstm.layouts.ranges import fault

        made = cls.from_spec(spec)
        for name, at in made._saved.items():
            made._arena.view(at)[...] = tensors[name]
        legal = made._legal()
        found = fault(legal, tensors) if legal is not None else None
        if found:
            raise SpecError(found)
        return made

    def _legal(self) -> Legal | None:
        """What the numbers of its arrays may be; None: anything."""
        return None

    @classmethod
    def expected(cls, spec: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return name, dtype and shape of every tensor in a file of this specification."""
        arrays, dtype = cls.saved_arrays(spec)
        return {name: (buffer_dtype(at.part, dtype), at.shape) for name, at in arrays.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "bytes": self.snapshot()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_spec(state["spec"]).__dict__)
        self.restore(state["bytes"])
