"""Trials that need nothing of each other, shared out among processes.

A stream that ends at its first error is learned row by row from Python, at which threads of one
process take turns; processes do not wait for each other. Every trial is worked at as it would be
alone, so that its result is the same for any number of them.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from rtlstm.studies.literature.settings import Settings

Work = Callable[..., Any]
Pieces = Sequence[tuple[Any, ...]]


class Workers:
    """Processes for the trials of an experiment, started when first needed; end them by `with`.

    With one thread, or one trial, this process does the work, and where signals cannot be held back
    from the others, as on Windows.
    """

    def __init__(self, settings: Settings, experiment: str) -> None:
        self._settings, self._experiment = settings, experiment
        self._processes: dict[Connection, Any] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    def end(self) -> None:
        """End the processes, whatever they are at."""
        for process in self._processes.values():
            process.terminate()
        for end, process in self._processes.items():
            process.join()
            end.close()
        self._processes.clear()

    def results(self, row: str, work: Work, pieces: Pieces) -> tuple[list[Any], bool]:
        """What work(*piece) returns for every piece, in their order, and whether Ctrl-C came; then
        only of the pieces that were done.
        """
        done: dict[int, Any] = {}
        stopped = False
        try:
            self._tell(row, 0, len(pieces))
            for k, result in self._finished(work, pieces):
                done[k] = result
                self._tell(row, len(done), len(pieces))
        except KeyboardInterrupt:
            stopped = True
            self.end()  # some are in the middle of a trial
        return [done[k] for k in sorted(done)], stopped

    def _tell(self, row: str, done: int, count: int) -> None:
        self._settings.say(f"{self._experiment}: {row}, {done} of {count} trials done")

    def _finished(self, work: Work, pieces: Pieces) -> Iterator[tuple[int, Any]]:
        """Numbers and results of the pieces, as they are done."""
        alone = not hasattr(signal, "pthread_sigmask")
        if alone or min(self._settings.threads, len(pieces)) == 1:
            for k, piece in enumerate(pieces):
                yield k, work(*piece)
            return
        self._start()
        waiting, idle = deque(enumerate(pieces)), list(self._processes)
        busy: dict[Connection, int] = {}
        while waiting or busy:
            while waiting and idle:
                k, piece = waiting.popleft()
                busy[idle[-1]] = k
                idle.pop().send((work, piece))
            ready = wait(list(busy))
            for end in [end for end in busy if end in ready]:
                idle.append(end)
                yield busy.pop(end), _received(end)

    def _start(self) -> None:
        """Start the processes, unless they are; Ctrl-C, which comes to all, is for this one."""
        if self._processes:
            return
        context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # which would let the signal through when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
        try:
            for _ in range(self._settings.threads):
                ours, theirs = context.Pipe()
                process = context.Process(target=serve, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
                self._processes[ours] = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(end: Connection) -> Any:
    """The result that a process has sent; raises what its work raised."""
    try:
        good, result = end.recv()
    except EOFError:
        raise RuntimeError("a process ended in the middle of a trial; is memory short?") from None
    if not good:
        raise result
    return result


def serve(end: Connection) -> None:
    """Do the work that comes, until None does or the other side is gone; runs in a process."""
    try:
        for work, piece in iter(end.recv, None):
            try:
                answer = True, work(*piece)
            except Exception as error:
                answer = False, error
            end.send(answer)
    except (EOFError, OSError):
        return
