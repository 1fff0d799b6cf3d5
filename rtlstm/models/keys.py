"""What a fleet is, and how the keys of its learners lie in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels.frozen import frozen
from rtlstm.layouts.learner import LearnerSpec

Array = np.ndarray[Any, Any]
MAX_KEYS = 1 << 40


@frozen
class FleetSpec:
    """What a fleet is: what its learners are, and their keys in the order of their rows."""

    learner: LearnerSpec
    keys: Sequence[str | int]
    max_keys: int | None = None
    key_bytes: int | None = dataclasses.field(default=None, compare=False)
    """Of a file: bytes of its keys, which are tensors; ``keys`` then only says how many."""

    def __post_init__(self) -> None:
        if not isinstance(self.keys, range):
            check_keys(self.keys)
        for name in ("max_keys", "key_bytes"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_KEYS):
                raise SpecError(
                    f"{name} must be a whole number from 0 to {MAX_KEYS}, got {value!r}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file, without the keys; :meth:`from_dict` is its inverse."""
        return {
            "learner": self.learner.to_dict(),
            "count": len(self.keys),
            "key_bytes": sum(len(_text(key)) for key in self.keys),
            "max_keys": self.max_keys,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> FleetSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else.

        Files of earlier versions hold their keys here.
        """
        try:
            values = dict(plain)
            learner = LearnerSpec.from_dict(values.pop("learner"))
            if "keys" in values:
                return cls(learner, tuple(values.pop("keys")), **values)
            count = values.pop("count")
            if type(count) is not int or not 0 <= count <= MAX_KEYS:
                raise SpecError(f"count must be a whole number from 0 to {MAX_KEYS}, got {count!r}")
            return cls(learner, range(count), values.pop("max_keys"), **values)
        except (KeyError, TypeError) as error:
            raise SpecError(f"not the description of a fleet: {error}") from None

    def key_entries(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Dtypes and shapes of the tensors that hold the keys in a file, by name."""
        if self.key_bytes is None:
            return {}
        count = (len(self.keys),)
        return {
            "keys.text": ("uint8", (self.key_bytes,)),
            "keys.end": ("int64", count),
            "keys.number": ("uint8", count),
        }


def check_keys(keys: Sequence[Any]) -> None:
    """Raise SpecError unless these are strings or 64-bit whole numbers, each once."""
    for key in keys:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise SpecError(f"a key must be a string or a whole number, got {key!r}")
        if isinstance(key, int) and not -(2**63) <= key < 2**63:
            raise SpecError("a key that is a whole number must have 64 bits")
    if len(set(keys)) != len(keys):
        raise SpecError("keys must differ from each other; nothing was changed")


def _text(key: str | int) -> bytes:
    return str(key).encode("utf-8", "surrogatepass")


def key_tensors(keys: Sequence[str | int]) -> dict[str, Array]:
    """Keys as tensors: the text of all, where each ends, and 1 for a whole number."""
    texts = [_text(key) for key in keys]
    return {
        "keys.text": np.frombuffer(b"".join(texts), np.uint8),
        "keys.end": np.cumsum([len(text) for text in texts], dtype=np.int64),
        "keys.number": np.array([isinstance(key, int) for key in keys], np.uint8),
    }


def keys_from(spec: FleetSpec, tensors: Mapping[str, Array]) -> FleetSpec:
    """The description with the keys that a file holds; raises SpecError for what is none."""
    if spec.key_bytes is None:
        return spec
    text, ends = tensors["keys.text"].tobytes(), tensors["keys.end"]
    number = tensors["keys.number"]
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    if (len(ends) and ends[-1] != len(text)) or (ends < starts).any() or (starts < 0).any():
        raise SpecError("the keys' ends do not ascend to the end of their text")
    if (number > 1).any() or (not len(ends) and text):
        raise SpecError("the keys are neither text nor whole numbers")
    try:
        parts = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends)]
        keys = tuple(int(part) if n else part for part, n in zip(parts, number))
    except ValueError as error:
        raise SpecError(f"a key cannot be read: {error}") from None
    return FleetSpec(spec.learner, keys, spec.max_keys)
