"""The one table of optimizers that tests run over: ours, and what makes its twin of `reference`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference import optimizers

import rtlstm

OPTIMIZERS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "sgd": (rtlstm.SGD(0.1), lambda: optimizers.SGD(0.1)),
    "momentum": (rtlstm.SGD(0.1, 0.9), lambda: optimizers.SGD(0.1, 0.9)),
    "nesterov": (rtlstm.SGD(0.1, 0.9, True), lambda: optimizers.SGD(0.1, 0.9, True)),
    "rmsprop": (rtlstm.RMSProp(0.01), lambda: optimizers.RMSProp(0.01)),
    "adam": (rtlstm.Adam(0.01), lambda: optimizers.Adam(0.01)),
}
