"""What the tests of exported graphs share: networks of the table, streams with faults, sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cells
import numpy as np
import pytest

import rtlstm
from rtlstm.models.network import Network
from rtlstm.spec import NetworkSpec

onnxruntime = pytest.importorskip("onnxruntime", reason="it comes with the extra `verify`")

from rtlstm.export.verify import session, verify_onnx  # noqa: E402

Array = np.ndarray[Any, Any]


def network(spec: NetworkSpec) -> Network:
    """A network with the table's weights."""
    net = Network.from_spec(spec)
    for name, value in cells.weights(spec).items():
        net.parameters[name][...] = value
    return net


def of_row(row: cells.Row, units: int = 5, inputs: int = 3) -> Network:
    return network(row.spec(units, inputs, "float32"))


def faulty(X: Array, seed: int = 7) -> Array:
    """The same stream with NaN, infinities and 1e30 at random places."""
    draw, X = np.random.RandomState(seed), X.copy()
    for value in (np.nan, np.inf, -np.inf, 1e30, -1e30):
        for t in draw.randint(len(X), size=3):
            X[t, draw.randint(X.shape[1])] = value
    return X


def worst(net: Network, path: Path, X: Array, piece: int) -> float:
    """The largest difference over a stream cut into pieces, with a reset before each."""
    found = []
    for start in range(0, len(X), piece):
        net.reset()
        found.append(verify_onnx(path, net, X[start : start + piece]).difference)
    return max(found)


class Client:
    """A device's loop: a session, and the state that it carries from step to step."""

    def __init__(self, path: Path, batch: int = 1) -> None:
        self.runtime = session(path)
        self.names = [entry.name for entry in self.runtime.get_inputs()]
        init = session(path.with_name(f"{path.stem}.init.onnx"))
        values = init.run(None, {})
        self.state = {
            entry.name: np.repeat(value, batch, axis=0)
            for entry, value in zip(init.get_outputs(), values, strict=True)
        }
        assert list(self.state) == self.names[len(self.names) - len(values) :]

    def step(self, *feeds: Array) -> list[Array]:
        """Feed x (and what else comes before the state); keeps the new state."""
        plain = dict(zip(self.names, feeds, strict=False))
        found = self.runtime.run(None, {**plain, **self.state})
        answers = len(found) - len(self.state)
        self.state = dict(zip(self.state, found[answers:], strict=True))
        return found[:answers]


def carried(net: Network, path: Path, X: Array, piece: int, fresh: int) -> float:
    """The largest difference of sequences, cut from a stream, of which each goes on where the last
    one ended; a reset every `fresh` steps. Measured as `verify_onnx` does it.
    """
    found, client = 0.0, Client(path)
    for start in range(0, len(X), piece):
        if start % fresh == 0:
            net.reset()
            client = Client(path)
        part = X[start : start + piece]
        (got,) = client.step(part[:, None])
        try:
            want = net.run(part)
        except rtlstm.SampleError:
            assert np.isnan(got).all()
        else:
            gap = np.abs(got[:, 0] - want).max() / max(1.0, float(np.abs(want).max()))
            found = max(found, float(gap))
    return found
