"""The decorator that makes a primitive."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.kernels.jit import kernel as primitive

__all__ = ["Array", "primitive"]

Array = np.ndarray[Any, Any]
