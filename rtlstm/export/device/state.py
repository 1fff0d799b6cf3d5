"""What a chip's NAME_export wrote, back into the model that it was built of."""

from __future__ import annotations

import numpy as np

from rtlstm.errors import StateError
from rtlstm.export.device.request import BUFFERS
from rtlstm.models.base import Model
from rtlstm.models.network import Network


def import_state(model: Model, data: bytes) -> None:
    """Bring back what a chip's NAME_export wrote: all that the model holds, weights included.

    Raises StateError for bytes of another size; nothing has changed then.
    """
    parts = model._arena.parts
    arrays = [parts[key] for key in BUFFERS if key in parts and len(parts[key])]
    if isinstance(model, Network) and not model.spec.storage:
        arrays = [model._f]
    size = sum(array.nbytes for array in arrays)
    if len(data) != size:
        raise StateError(f"the state of this {model.kind} has {size} bytes, got {len(data)}")
    start = 0
    with model._lock:
        for array in arrays:
            array[:] = np.frombuffer(data[start : start + array.nbytes], array.dtype)
            start += array.nbytes
