"""The hand-written C of step.c, compiled for this machine and called through ctypes."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import rtlstm

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent
# What -ffast-math means for the arithmetic, without its start file, which would flush subnormal
# numbers in the whole process that loads the library.
FAST = "associative-math no-signed-zeros no-trapping-math reciprocal-math no-math-errno"
FLAGS = ("-O3", "-march=native", *(f"-f{flag}" for flag in FAST.split()), "-shared", "-fPIC")
LARGEST = 1000  # units that step.c has room for, inputs and bias beside them


def built(source: str, *more: str) -> Path | None:
    """The shared library of a C file of this directory; None where there is no compiler.

    It lies in a temporary directory of its own. Raises CalledProcessError if it does not compile.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    library = Path(tempfile.mkdtemp(prefix="rtlstm-bench-")) / f"{source}.so"
    command = [compiler, *FLAGS, "-o", str(library), str(HERE / source), *more]
    subprocess.run(command, check=True)
    return library


@cache
def _library() -> ctypes.CDLL | None:
    path = built("step.c")
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    shutil.rmtree(path.parent)
    return library


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class HandWritten:
    """A copy of a network, one NP layer and one linear output, that step.c runs.

    ``available()`` tells first whether there is a compiler.
    """

    def __init__(self, net: rtlstm.Network) -> None:
        library = _library()
        if library is None:
            raise FileNotFoundError("no C compiler is on PATH")
        self._run, self._multiply = library.lstm_run, library.matvec_run
        self._run.restype = self._multiply.restype = None
        self.inputs, self.units = net.spec.inputs, net.spec.layers[0].units
        self._w, self._v = weights(net), head(net)
        self._c, self._y = np.zeros((2, self.units), np.float32)
        self._u = np.ones(self.inputs + self.units + 1, np.float32)
        self._a = np.empty(4 * self.units, np.float32)

    @staticmethod
    def available() -> bool:
        """Whether step.c could be compiled."""
        return _library() is not None

    def run(self, X: Array, out: Array) -> Array:
        """Answers (T, 1) to X (T, inputs), float32 and contiguous both; moves the state."""
        places = map(_pointer, (self._w, self._v, self._c, self._y, X, out))
        self._run(*places, ctypes.c_long(len(X)), self.inputs, self.units)
        return out

    def products(self, times: int) -> None:
        """The matrix-vector product of a step alone, so many times."""
        places = map(_pointer, (self._w, self._u, self._a))
        self._multiply(*places, ctypes.c_long(times), self.inputs, self.units)


def weights(net: rtlstm.Network) -> Array:
    """W (inputs + units + 1, 4 units): rows x, y and 1, columns i, f, z, o."""
    views = net.parameters
    rows = (
        np.concatenate([np.atleast_2d(views[f"layer0.{part}.{gate}"]) for gate in "ifzo"], axis=1)
        for part in "WRb"
    )
    return aligned(np.concatenate(list(rows)))


def head(net: rtlstm.Network) -> Array:
    """V (units + 1): the weights and the bias of the one output."""
    return np.append(net.parameters["head.W"][:, 0], net.parameters["head.b"])


def aligned(array: Array) -> Array:
    """A copy that starts on a cache line, as ours do."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
