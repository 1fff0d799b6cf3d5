"""Trials shared out among processes: the same for any number; Ctrl-C keeps what is done."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rtlstm.studies.literature import forget2000, lstm1997, memory, peephole2002
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import StoppedError, Trial
from rtlstm.studies.literature.workers import Workers, serve
from rtlstm.studies.table import Table

Run = Callable[[Settings], Any]
SMALL: dict[str, tuple[Run, str]] = {
    "forget2000": (forget2000.run, "† forget gates"),
    "peephole2002": (peephole2002.run, "MSD"),
}


def small(name: str, **more: Any) -> Settings:
    """Three trials of a few hundred steps of one row of an experiment."""
    only = (SMALL[name][1],)
    return Settings(**{"trials": 3, "budget": 300, "only": only, "threads": 1, **more})


def test_results_are_the_same_for_any_number_of_processes() -> None:
    pieces = [
        *((forget2000._learn, (forget2000.NETS[6], seed, 300)) for seed in range(2)),
        *((peephole2002._learn, (peephole2002.TASKS[3], True, seed, 300)) for seed in range(2)),
    ]
    with Workers(Settings(threads=2), "tiny") as workers:
        for work in (forget2000._learn, peephole2002._learn):
            mine = [piece for one, piece in pieces if one is work]
            shared, stopped = workers.results("row", work, mine)
            assert not stopped and shared == [work(*piece) for piece in mine]
        left, stopped = workers.results("row", os.getpid, [(), ()])
        assert not stopped and os.getpid() not in left
        with pytest.raises(ZeroDivisionError):
            workers.results("row", divmod, [(1, 1), (1, 0)])
    with (
        Workers(Settings(threads=2), "tiny") as workers,
        pytest.raises(RuntimeError, match="ended in the middle"),
    ):
        workers.results("row", os._exit, [(3,), (3,)])
    assert not multiprocessing.active_children()


def test_a_process_works_until_nothing_comes_any_more() -> None:
    ours, theirs = multiprocessing.Pipe()
    for job in ((divmod, (7, 2)), (divmod, (7, 0)), None):
        ours.send(job)
    serve(theirs)
    assert ours.recv() == (True, (3, 1))
    good, error = ours.recv()
    assert not good and isinstance(error, ZeroDivisionError)
    ours.close()
    serve(theirs)  # nobody is there any more


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_keeps_the_trials_of_a_row_that_are_done(name: str, threads: int) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "2 of 3" in text:
            raise KeyboardInterrupt

    run, row = SMALL[name]
    tables = run(small(name, say=say, threads=threads))
    table: Table = next(tables)
    title, trials = table.rows[0][0], table.rows[0][1 if name == "forget2000" else 2]
    assert title.startswith(row) and title.endswith(", stopped") and trials == 2
    with pytest.raises(KeyboardInterrupt):
        next(tables)
    assert said[0].startswith(f"{name}: {row}") and not multiprocessing.active_children()


@pytest.mark.parametrize("name", SMALL)
def test_ctrl_c_before_the_first_trial_ends_the_experiment(name: str) -> None:
    def say(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(SMALL[name][0](small(name, say=say)))


def test_ctrl_c_while_a_row_is_judged_keeps_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*others: Any) -> Any:
        raise KeyboardInterrupt

    def trials(task: lstm1997.Task, *others: Any) -> list[Trial]:
        return [Trial(0, 30_000, task.learner)]

    monkeypatch.setattr(lstm1997, "run_trials", trials)
    monkeypatch.setattr(lstm1997, "errors_of", interrupted)
    tables = lstm1997.run(Settings(only=("6a",), threads=1))
    table: Table = next(tables)
    assert table.column("sequences") == [30_000]
    assert table.column("wrong of 2,560") == [None]
    with pytest.raises(KeyboardInterrupt):
        next(tables)


def test_every_table_says_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    (*_, table) = forget2000.run(small("forget2000", trials=1, budget=123))
    assert "123 symbols" in table.notes[0]
    (*_, table) = peephole2002.run(small("peephole2002", trials=1, budget=123))
    assert table.column("steps at most") == [123] * 2
    part = replace(memory.PARTS[0], rules=("truncated",))
    monkeypatch.setattr(memory, "PARTS", [part])
    (*_, table) = memory.run(Settings(trials=1, budget=50, threads=1))
    assert "within 50 sequences" in table.notes[0]
    limits = []

    def nothing(task: lstm1997.Task, *others: Any) -> Any:
        limits.append(task.limit)
        raise StoppedError([], 0)

    monkeypatch.setattr(lstm1997, "run_trials", nothing)
    table = next(lstm1997.run(Settings(budget=77, only=("6a",), threads=1)))
    assert table.column("at most") == limits == [77]


def test_a_quick_run_and_one_with_a_budget_learn_less() -> None:
    assert Settings().most(100, 5) == 100 and Settings(quick=True).most(100, 5) == 5
    assert Settings(quick=True).most(100) == 100 and Settings(quick=True, budget=7).most(9, 5) == 7


@pytest.mark.parametrize(
    ("row", "trials", "papers"),
    [
        ("1, 4x2", 30, 1),  # over three sets of strings
        ("2c, q = 50", 20, 1),
        ("3a, T = 100, N = 3, ST1", 20, 1.6),
        ("4, T = 100, Adam", 20, 2),
        ("4, T = 500", 20, 2),
        ("4, T = 1000", 10, 1),
        ("6a", 20, 1.6),
    ],
)
def test_rows_that_are_held_to_the_paper_have_its_trials_and_time_enough(
    row: str, trials: int, papers: float
) -> None:
    rows = [one for one in lstm1997.ROWS if one.title.startswith(row) and "rtrl" not in one.title]
    assert sum(one.trials for one in rows) == trials
    assert all(one.task().limit >= papers * (one.paper or 0) for one in rows)
