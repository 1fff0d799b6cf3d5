"""Arrays that overlap: `out` may not, and what is read may be a view of the object's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rtlstm

RNG = np.random.default_rng(3)
KINDS = ("float32", "float64")


def network(dtype: str, inputs: int = 2, outputs: int = 2) -> rtlstm.Network:
    return rtlstm.Network(inputs, rtlstm.LSTM(3), outputs, dtype=dtype)


def refused(thing: Any, call: Any) -> None:
    """It is refused, and not one byte has moved."""
    before = thing.snapshot()
    with pytest.raises(rtlstm.SampleError, match="shares memory"):
        call()
    assert thing.snapshot() == before


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("dtype", KINDS)
def test_one_step(dtype: str, warm: bool) -> None:
    net = network(dtype)
    one = rtlstm.Learner(network(dtype))
    late = rtlstm.Learner(network(dtype), delay=2)
    room = RNG.normal(size=8).astype(dtype)
    x, y = room[:2], room[4:6]
    if warm:
        net.step(x), one.step(x, y), late.step(x, y)
    refused(net, lambda: net.step(x, out=x))
    refused(net, lambda: net.step(x, out=room[1:3]))
    refused(net, lambda: net.step(x, out=net._arena.f[3:5]))
    for learner in (one, late):
        refused(learner, lambda: learner.step(x, y, out=y))  # noqa: B023
        refused(learner, lambda: learner.step(x, y, out=room[1:3]))  # noqa: B023
        refused(learner, lambda: learner.step(x, y, out=room[5:7]))  # noqa: B023
        own = learner._arena.f[-2:]
        refused(learner, lambda: learner.step(x, y, out=own))  # noqa: B023
    refused(late, lambda: late.predict(x, out=x))
    assert one.step(x, y, out=room[6:8]) is not None


@pytest.mark.parametrize("dtype", KINDS)
def test_rows(dtype: str) -> None:
    net, one = network(dtype), rtlstm.Learner(network(dtype))
    buffer = RNG.normal(size=(9, 2)).astype(dtype)
    Y = RNG.normal(size=(8, 2)).astype(dtype)
    refused(net, lambda: net.run(buffer[:-1], out=buffer[1:]))
    refused(one, lambda: one.run(buffer[:-1], Y, out=buffer[1:]))
    refused(one, lambda: one.run(buffer[:-1], Y, out=Y))
    fleet = rtlstm.Fleet(one, 8)
    before = fleet.snapshot()
    for out in (Y, buffer[1:], fleet._arena.f[:16].reshape(8, 2)):
        with pytest.raises(rtlstm.SampleError, match="shares memory"):
            fleet.step(buffer[:-1], Y, out=out)
    assert fleet.snapshot() == before
    streams = net.streams(8)
    for out in (buffer[1:], streams._arena.f[:16].reshape(8, 2)):
        with pytest.raises(rtlstm.SampleError, match="shares memory"):
            streams.step(buffer[:-1], out=out)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("delay", [0, 2])
def test_views_of_the_state_are_read_as_they_were(dtype: str, delay: int) -> None:
    """A network fed its own state, a learner taught by it: as if they had been copied first."""

    def answers(copy: Any) -> list[bytes]:
        net = network(dtype, 3, 3)
        found = [net.step(copy(net.state["layer0.y"])).tobytes() for _ in range(5)]
        found += [net.run(copy(net.state["layer0.c"].reshape(1, 3))).tobytes() for _ in range(3)]
        one = rtlstm.Learner(network(dtype, 3, 3), delay=delay)
        for _ in range(5):
            state = one.net.state
            y, c = copy(state["layer0.y"]), copy(state["layer0.c"])
            found.append(one.step(y, c).tobytes())
            found.append(one.run(c.reshape(1, 3), y.reshape(1, 3)).tobytes())
        return found

    assert answers(lambda a: a) == answers(lambda a: a.copy())
