"""Many threads at one object: each call happens whole, in some order, from the first one on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.models.locks import Lock

THREADS, STEPS = 8, 25
X = np.random.default_rng(1).normal(size=(200, 4))


def together(*calls: Callable[[], Any]) -> None:
    """Make all calls at once, each in a thread of its own; raises what one of them raised."""
    gate, errors = threading.Barrier(len(calls)), []

    def work(call: Callable[[], Any]) -> None:
        gate.wait()
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120.0)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(old)
    if errors:
        raise errors[0]


def network(units: int = 64, dtype: str = "float64") -> rtlstm.Network:
    return rtlstm.Network(4, [rtlstm.LSTM(units)], 2, dtype=dtype)


@pytest.mark.parametrize("units", [3, 64])
def test_first_steps_of_a_learner(units: int) -> None:
    """None is lost, and what the first one made is not replaced under the others."""
    for _ in range(5):
        learner = rtlstm.Learner(network(units))

        def step() -> None:
            for x in X[:STEPS]:
                learner.step(x, x[:2])  # noqa: B023

        together(*[step] * THREADS)
        assert learner.health()["steps"] == THREADS * STEPS


def test_one_thing_is_made_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads that all come first ask for the machine code once."""
    from rtlstm.kernels.native import bind as module

    made, real = [], module.bind

    def slow(name: str, *arrays: Any) -> Any:
        if name == "truncated.step":
            made.append(arrays)
            threading.Event().wait(0.02)
        return real(name, *arrays)

    monkeypatch.setattr(module, "bind", slow)
    learner = rtlstm.Learner(network(3))
    together(*[lambda: learner.step(X[0], X[0, :2])] * THREADS)
    assert len(made) == 1


def test_run_in_one_and_the_first_step_in_another() -> None:
    for _ in range(3):
        learner = rtlstm.Learner(network(16))
        together(
            lambda: learner.run(X, X[:, :2]),  # noqa: B023
            *[lambda: learner.step(X[0], X[0, :2])] * 3,  # noqa: B023
        )
        assert learner.health()["steps"] == len(X) + 3


def test_a_learner_made_while_its_network_steps() -> None:
    """No step of the network is lost on the way to where it lives from then on."""
    for _ in range(5):
        net = network(16)

        def step() -> None:
            for _ in range(4 * STEPS):
                net.step(X[0])  # noqa: B023

        together(step, lambda: rtlstm.Learner(net))  # noqa: B023
        alone = network(16)
        alone.run(X[:1].repeat(4 * STEPS, axis=0))
        for name, value in alone.state.items():
            assert (net.state[name] == value).all()


def test_what_a_running_call_uses_lives_on() -> None:
    """The object may be gone from everywhere else."""
    nets = [network(64)]
    call = nets[0]._make_fast_call
    call(X[0], None)
    call, where = nets[0]._fast_call, nets[0]._arena.bytes.ctypes.data
    answers = [call(x, None) for x in X[:3]]
    nets.clear()
    others = [network(64) for _ in range(20)]  # which would be given its memory
    answers = [call(x, None) for x in X[:3]]
    assert all(np.isfinite(a).all() for a in answers)
    assert where not in [net._arena.bytes.ctypes.data for net in others]


@pytest.mark.parametrize("threads", [1, 8])
def test_a_fleet_that_grows_shrinks_and_steps(threads: int) -> None:
    first = rtlstm.Learner(network(3))
    fleet = rtlstm.Fleet(first, ["a", "z"], threads, max_keys=40)
    errors = (rtlstm.StateError, rtlstm.LimitError)

    def steps() -> None:
        for x in X[:50]:
            fleet.step(["a"], x[None], x[None, :2])

    def moves(name: str) -> None:
        for i in range(30):
            for call in (fleet.add, fleet.remove):
                with contextlib.suppress(*errors):
                    call(f"{name}{i % 3}")

    def adds() -> None:
        for i in range(60):
            with contextlib.suppress(*errors):
                fleet.add(i)

    together(steps, steps, lambda: moves("p"), lambda: moves("p"), adds, adds)
    assert len(fleet) == len(set(fleet.keys)) <= 40
    assert fleet.learner("a").health()["steps"] == 100
    assert [fleet._row_of[key] for key in fleet.keys] == list(range(len(fleet)))
    assert fleet.learner("z").health()["steps"] == 0


def test_copies_taken_meanwhile_are_whole() -> None:
    """h and c of a copy belong to one step, which the counters name."""
    one = rtlstm.Learner(network(3))
    fleet = rtlstm.Fleet(one, 2)
    after = {0: rtlstm.Learner(network(3)).net.snapshot()}
    twin = rtlstm.Learner(network(3))
    for t in range(1, 101):
        twin.step(X[0], X[0, :2])
        after[t] = twin.net.snapshot()
    copies: list[rtlstm.Learner] = []

    def steps() -> None:
        for _ in range(100):
            fleet.step([0], X[:1], X[:1, :2])

    together(steps, lambda: copies.extend(fleet.learner(0) for _ in range(50)))
    for copy in copies:
        assert copy.net.snapshot() == after[copy.health()["steps"]]


CHILD = """
import os, threading, time
import numpy as np, rtlstm
x = np.zeros((6, 4), np.float32)
net = rtlstm.Network(4, rtlstm.LSTM(3), 2)
learner = rtlstm.Learner(net)
fleet = rtlstm.Fleet(learner, 6, threads=3)
fleet.step(x, None)
learner.step(x[0], None)
stop = threading.Event()
def work():
    while not stop.is_set():
        learner.run(np.zeros((50, 4)), np.zeros((50, 2)))
        fleet.step(x, None)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
time.sleep(0.05)
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            before = learner.health()["steps"]
            learner.step(x[0], None)
            fleet.step(x, None)
            assert learner.health()["steps"] == before + 1
            assert before % 50 == 1, before  # no other thread was in the middle of it
            os._exit(7)
        finally:
            os._exit(1)
    late = time.monotonic() + 60
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done: break
        if time.monotonic() > late:
            os.kill(child, 9)
            os._exit(3)
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 7, status
stop.set()
for thread in threads: thread.join()
fleet.step(x, None)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_fork_uses_what_other_threads_were_stepping() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD], timeout=300)
    assert done.returncode == 0


def test_a_lock_that_no_other_thread_releases_is_new_in_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rtlstm.models import locks

    monkeypatch.setattr(locks, "FORK_SECONDS", 0.05)
    lock, held, end = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            end.wait(60.0)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    child = os.fork() if hasattr(os, "fork") else -1
    if child == 0:
        os._exit(0 if lock.acquire(timeout=5.0) else 1)
    if child > 0:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    end.set()
    other.join()
