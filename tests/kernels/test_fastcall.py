"""Fast calls: a step from Python that goes past numba's way in, and past nothing else."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiling import jit

import rtlstm
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.native import capi, fastcall
from rtlstm.models.network import raise_for_status

needs = pytest.mark.skipif(
    not capi.is_supported() or mode.NAME == "plain", reason="every call is declined here"
)
UNITS = (3, 200)  # the second lets the GIL go


def network(units: int = 3, **more: Any) -> rtlstm.Network:
    return rtlstm.Network(2, rtlstm.LSTM(units), 1, **more)


def learner(units: int = 3, **more: Any) -> rtlstm.Learner:
    return rtlstm.Learner(network(units, **more))


def call_of(thing: Any) -> Callable[..., Any]:
    """The fast call of a network or a learner that has stepped."""
    thing.step([0.0, 0.0])
    return thing._fast_call


@needs
@pytest.mark.parametrize("make", [network, learner])
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_answers_what_the_careful_way_answers(make: Any, units: int, dtype: str) -> None:
    fast, slow = make(units, dtype=dtype), make(units, dtype=dtype)
    call_of(fast), call_of(slow)
    slow._fast_call = fastcall.unavailable
    rng = np.random.default_rng(0)
    more = 1 if make is learner else 0
    for t in range(20):
        x, y = rng.normal(size=2).astype(dtype), rng.normal(size=1).astype(dtype)
        given = (x, *([y if t % 3 else None] if more else []))
        answer = fast._fast_call(*given, None)
        assert type(answer) is np.ndarray and answer.shape == (1,) and answer.dtype == dtype
        assert answer.tobytes() == slow.step(*given).tobytes()
        room = np.empty(1, dtype)
        assert fast._fast_call(*given, room) is room
        assert room.tobytes() == slow.step(*given).tobytes()
    assert fast.snapshot() == slow.snapshot()


@needs
@pytest.mark.parametrize("make", [network, learner])
def test_float64_is_cast_as_numpy_casts(make: Any) -> None:
    wide, narrow = make(), make()
    call = call_of(wide)
    call_of(narrow)
    rng = np.random.default_rng(1)
    for _ in range(5):
        x, y = rng.normal(size=2), rng.normal(size=1)
        given = (x, y) if make is learner else (x,)
        answer = call(*given, None)
        assert answer.tobytes() == narrow.step(*(g.astype(np.float32) for g in given)).tobytes()
    with pytest.raises(rtlstm.SampleError, match="finite"):
        wide.step(np.array([1e300, 0.0]))  # infinite in float32


SUBCLASS = type("Sub", (np.ndarray,), {})
LATER = np.zeros(2, np.float32).astype(">f4")
UNFIT = {
    "list": [0.0, 1.0],
    "None": None,
    "int": 3,
    "text": "ab",
    "int64": np.arange(2),
    "float16": np.zeros(2, np.float16),
    "complex": np.zeros(2, complex),
    "swapped": LATER,
    "short": np.zeros(1, np.float32),
    "long": np.zeros(3, np.float32),
    "empty": np.zeros(0, np.float32),
    "scalar": np.float32(1.0),
    "0-d": np.array(1.0, np.float32),
    "2-d": np.zeros((1, 2), np.float32),
    "strided": np.zeros(4, np.float32)[::2],
    "backwards": np.zeros(2, np.float32)[::-1],
    "unaligned": np.frombuffer(bytes(9), np.uint8)[1:].view(np.float32),
    "subclass": np.zeros(2, np.float32).view(SUBCLASS),
    "masked": np.ma.zeros(2, np.float32),
}


@needs
@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_declined(name: str) -> None:
    net, teacher = network(), learner()
    step, learn = call_of(net), call_of(teacher)
    good, before = np.zeros(2, np.float32), (net.snapshot(), teacher.snapshot())
    assert step(UNFIT[name], None) is None
    assert learn(UNFIT[name], None, None) is None
    if name not in ("None", "short"):  # which fit a target, and an answer, of one output
        assert step(good, UNFIT[name]) is None
        assert learn(good, UNFIT[name], None) is None
        assert learn(good, None, UNFIT[name]) is None
    assert (net.snapshot(), teacher.snapshot()) == before


@needs
def test_a_read_only_answer_and_a_read_only_sample() -> None:
    net, y = network(), np.zeros(1, np.float32)
    step, x = call_of(net), np.zeros(2, np.float32)
    y.flags.writeable = x.flags.writeable = False
    assert step(x, y) is None
    assert step(x, None) is not None
    with pytest.raises(rtlstm.SampleError, match="writable"):
        net.step(x, out=y)


@needs
@pytest.mark.parametrize("make", [network, learner])
def test_a_refusal_is_a_status_and_changes_nothing(make: Any) -> None:
    thing = make()
    call = call_of(thing)
    state = thing.snapshot() if make is network else thing.net.snapshot()
    arguments = [np.array([np.nan, 0.0], np.float32), *([None] * (1 + (make is learner)))]
    assert type(call(*arguments)) is int
    assert state == (thing.snapshot() if make is network else thing.net.snapshot())
    if make is learner:
        assert thing.health()["bad_input"] == 1
        with pytest.raises(rtlstm.SampleError):
            thing.step(arguments[0])
        assert thing.health()["bad_input"] == 2  # once, though two ways were there to go


@needs
def test_no_reference_is_lost_or_kept() -> None:
    net, teacher = network(), learner()
    step, learn = call_of(net), call_of(teacher)
    x, y, out = np.zeros(2, np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32)
    bad = np.full(2, np.nan, np.float32)
    things = (x, y, out, bad, x.dtype)
    gc.collect()
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(1000):
        step(x, None), step(x, out), step(bad, None), step(bad, out), step([], None)
        learn(x, y, None), learn(x, None, out), learn(bad, y, None), learn(x, [], None)
    after = [sys.getrefcount(thing) for thing in things]
    assert after == before
    answer, plain = step(x, None), np.zeros(1, np.float32)
    assert (
        sys.getrefcount(answer) == sys.getrefcount(plain)
        and answer.base is None
        and answer.flags.owndata
    )


@needs
@pytest.mark.parametrize("units", UNITS)
def test_it_declines_while_somebody_holds_the_lock(units: int) -> None:
    net, x, waited = network(units), np.zeros(2, np.float32), []
    step = call_of(net)
    with net._lock:
        assert step(x, None) is None
        assert net.step(x).shape == (1,)  # the holder goes on, by the careful way
        other = threading.Thread(target=lambda: waited.append(net.step(x)))
        other.start()
        other.join(0.05)
        assert not waited
    other.join()
    assert len(waited) == 1 and step(x, None) is not None


@pytest.mark.parametrize("units", UNITS)
def test_threads_on_one_object_lose_no_step(units: int) -> None:
    """Alone, each thread's rows are all the same, so the order in which they come cannot count."""
    rows, shared, alone = 400, learner(units), learner(units)
    x, y = np.ones(2, np.float32), np.ones(1, np.float32)

    def single() -> None:
        for _ in range(rows):
            shared.step(x, y)

    def many() -> None:
        for _ in range(rows // 100):
            shared.run(np.tile(x, (100, 1)), np.tile(y, (100, 1)))
            shared.snapshot()

    threads = [threading.Thread(target=work) for work in (single, single, many, many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone.run(np.tile(x, (4 * rows, 1)), np.tile(y, (4 * rows, 1)))
    assert shared.health()["steps"] == 4 * rows
    assert shared.snapshot() == alone.snapshot()


def test_without_fast_functions_the_checked_way_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capi, "is_supported", lambda: False)
    net, teacher = network(), learner()
    assert net.step([0.1, 0.2]).shape == teacher.step([0.1, 0.2], [0.3]).shape == (1,)
    assert net._fast_call is teacher._fast_call is fastcall.unavailable


@needs
def test_a_layout_that_is_not_numpys_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in ("TYPE", "DATA", "NDIM", "SHAPE", "DTYPE", "FLAGS"):
        with monkeypatch.context() as other:
            other.setattr(capi, field, 8 if field != "TYPE" else 0)
            if field == "SHAPE":
                other.setattr(capi, field, capi.SHAPE + 8)  # strides: a pointer as well
            assert not capi._fields_agree(np.zeros(3, np.float32)), field


def test_the_worst_step_is_told() -> None:
    teacher = learner()
    for _ in range(3):
        teacher.step([0.0, 0.0], [0.0])
    assert 0 < teacher.health()["worst_step_ns"] < 10**10


@needs
@pytest.mark.parametrize("make", [network, learner])
def test_a_fast_call_that_does_something_else_is_noticed(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary: an answer, a refusal or a byte left behind that is not the checked way's."""
    fine = make()
    fine.step([0.1, 0.2])
    code = fine._code if make is learner else fine._made[0]
    way, lengths = ("learn" if make is learner else "step"), (2, 1)
    assert fastcall._agrees(way, code, lengths, fine._arena.f.dtype)
    other = make()
    other.step([0.1, 0.2])
    elsewhere = other._code if make is learner else other._made[0]
    copies = iter([fastcall._copy(elsewhere), fastcall._copy(code)])
    elsewhere.arrays[1][...] = 0.5
    copies = iter([fastcall._copy(elsewhere), fastcall._copy(code)])
    with monkeypatch.context() as patch:
        patch.setattr(fastcall, "_copy", lambda _: next(copies))
        assert not fastcall._agrees(way, code, lengths, fine._arena.f.dtype)
        patch.setattr(fastcall, "_sound", {})
        patch.setattr(fastcall, "_agrees", lambda *_: False)
        with pytest.warns(fastcall.FastCallWarning):
            careful = make()
            careful.step([0.1, 0.2])
        assert careful._fast_call is fastcall.unavailable
        patch.setattr(fastcall, "_sound", {})
        patch.setattr(fastcall, "CANARY_BYTES", 0)
        assert call_of(make()) is fastcall.unavailable  # too large to be copied, so not seen


@needs
@jit
def test_a_kernel_that_raises_is_no_answer() -> None:
    """Its status is told in place of its result, which is garbage then."""
    from numba import types

    from rtlstm.kernels.compiler.jit import code_address, kernel
    from rtlstm.kernels.native.memory import FAILED, run6

    @kernel
    def raising(a, b, c, d, e, f):  # type: ignore[no-untyped-def]
        if f > 1:
            raise ValueError
        return a + f

    @kernel
    def calling(place, f):  # type: ignore[no-untyped-def]
        return run6(place, 40, 0, 0, 0, 0, f)

    place = code_address(raising, 6 * (types.int64,))
    assert calling(place, 1) == 41
    assert calling(place, 2) == FAILED
    with pytest.raises(rtlstm.RtlstmError, match="failed within"):
        raise_for_status(FAILED)
