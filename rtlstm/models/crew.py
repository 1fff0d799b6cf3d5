"""Threads that share one piece of work: all of it is done or nothing, whatever interrupts."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

NEW, BEGUN, CANCELLED = range(3)


class _Job:
    """Parts of one piece of work, and how far it is."""

    def __init__(self, work: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> None:
        self.work, self.parts = work, deque(parts)
        self.left = len(self.parts)
        self.stage, self.lock, self.error = NEW, threading.Lock(), None
        self.done = threading.Lock()  # held until all parts are done
        self.done.acquire()

    def take_part(self) -> None:
        """Work at parts until none is left; called by the threads."""
        with self.lock:
            if self.stage == CANCELLED:
                return
            self.stage = BEGUN
        while True:
            try:
                part = self.parts.popleft()
            except IndexError:
                return
            try:
                self.work(*part)
            except BaseException as error:
                self.error = error  # type: ignore[assignment]
            with self.lock:
                self.left -= 1
                if not self.left:
                    self.done.release()

    def cancel(self) -> None:
        """Let nobody begin any more; if somebody has, wait until all is done."""
        with self.lock:
            if self.stage == NEW:
                self.stage = CANCELLED
        while self.stage == BEGUN and self.left:
            self.done.acquire(timeout=0.05)


class Crew:
    """So many threads, started when first needed, and anew in a child of a fork."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._process = 0

    def run(self, work: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> None:
        """Call work(*part) for every part, each in one of the threads, and wait for all.

        After an exception (Ctrl-C) either every part was done, or none was begun; signals come to
        the main thread alone, so no part is ever interrupted.
        """
        job = _Job(work, parts)
        if not job.left:
            return
        self._start()
        try:
            for _ in range(self.count):
                self._jobs.put(job)
            while job.left:
                job.done.acquire(timeout=1.0)
        except BaseException:
            job.cancel()
            raise
        if job.error is not None:
            raise job.error

    def _start(self) -> None:
        if self._process != os.getpid():
            self._jobs, self._threads, self._process = SimpleQueue(), [], os.getpid()
            weakref.finalize(self, _dismiss, self._jobs, self.count).atexit = False
        while len(self._threads) < self.count:
            thread = threading.Thread(target=_serve, args=(self._jobs,), daemon=True)
            thread.start()
            self._threads.append(thread)


def _serve(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.take_part()
        del job  # and the arrays that it holds


def _dismiss(jobs: SimpleQueue[_Job | None], count: int) -> None:
    for _ in range(count):
        jobs.put(None)
