"""Every experiment of the literature from its first table to its last, with budgets of seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies.tiny_chorales import chorales

from rtlstm import Learner
from rtlstm.studies.literature import (
    forget2000,
    gradients,
    grammar,
    lstm1997,
    memory,
    odyssey,
    peephole2002,
)
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import Batch


class MetAtOnce:
    """A criterion that the first sequence meets."""

    def met(self, batch: Batch, P: np.ndarray[Any, Any], learner: Callable[[], Learner]) -> int:
        return 0


@pytest.mark.parametrize(
    "row", [row for row in lstm1997.ROWS if "T = 1000" not in row.title], ids=lambda row: row.title
)
def test_rows_of_1997_learn_and_are_tested(
    row: lstm1997.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(row.task(), batch=4, limit=4)
    learned = replace(short, criterion=lambda seed: MetAtOnce())
    rows = [replace(row, task=lambda task=task: task) for task in (short, learned)]  # type: ignore[misc]
    monkeypatch.setattr(lstm1997, "ROWS", rows)
    monkeypatch.setattr(lstm1997, "TESTED", 6)
    table = list(lstm1997.run(Settings(trials=2, threads=1)))[-1]
    assert table.column("learned") == ["0%", "100%"]
    assert table.column("sequences") == [None, 1]
    assert table.column("paper") == [row.paper] * 2
    missed, wrong = table.column("wrong of 2,560")
    assert missed is None and (wrong is None) == (row.wrong is None)
    assert wrong is None or 0 <= wrong <= 6


def test_a_grammar_is_known_when_legal_symbols_are_the_most_active() -> None:
    strings = grammar.different_strings(np.random.default_rng(0), 3)

    class Oracle:
        """Answers the legal successors of the strings, one string after the other."""

        def __init__(self) -> None:
            self.net, self.asked = self, -1

        def reset(self) -> None:
            self.asked += 1

        def run(self, X: Any) -> Any:
            assert len(X) == len(strings.legal[self.asked])
            return strings.legal[self.asked].astype(float)

    assert grammar.knows(Oracle(), strings)  # type: ignore[arg-type]
    task = lstm1997.reber(3, 2, 0.5, 1)
    assert not grammar.knows(task.learner, strings)


def test_streams_that_never_err_make_a_net_perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget2000, "LONGEST", 300)
    monkeypatch.setattr(forget2000, "GOOD", 100)
    monkeypatch.setattr(forget2000, "LIMIT", 2.0)  # no output of a logistic head errs by so much
    nets = [forget2000.NETS[0], forget2000.NETS[3]]  # with and without an external reset
    monkeypatch.setattr(forget2000, "NETS", nets)
    table = list(forget2000.run(Settings(quick=True, trials=2, threads=1)))[-1]
    assert table.column("perfect") == ["100 (1)"] * 2
    assert table.column("longest stream") == [300] * 2


def test_rates_decay_after_every_hundredth_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget2000, "LIMIT", 0.0)  # every symbol is an error
    made = []
    monkeypatch.setattr(forget2000, "test", lambda learner, *others: made.append(learner.lr) or 0.0)
    found = forget2000._learn(forget2000.NETS[4], 0, 250)
    assert len(found.lengths) == 250 and found.perfect is None
    assert made == [pytest.approx(0.5 * 0.99**2)]


def test_timing_is_learned_where_every_answer_is_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tasks = (peephole2002.TASKS[0], replace(peephole2002.TASKS[2], limit=1e9))
    monkeypatch.setattr(peephole2002, "TASKS", tasks)
    table = list(peephole2002.run(Settings(quick=True, trials=1)))[-1]
    assert table.column("peepholes") == ["with", "without"] * 2
    assert table.column("learned")[2:] == ["100%"] * 2
    assert table.column("longest")[2:] == [1000] * 2


def test_rules_are_compared_on_recall_and_select(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tuple(replace(part, limit=50) for part in memory.PARTS)
    monkeypatch.setattr(memory, "PARTS", parts)
    tables = {t.name: t for t in memory.run(Settings(quick=True, trials=1, threads=1))}
    for part in parts:
        assert tables[part.name].column("rule") == list(part.quick)
        assert set(tables[part.name].column("learned")) == {"0%"}
        assert all(cost > 0 for cost in tables[part.name].column("µs a step"))

    def interrupted(*others: Any) -> Any:
        raise memory.StoppedError([], 50)

    monkeypatch.setattr(memory, "run_trials", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(memory.run(Settings(quick=True)))


def test_gradients_flow_in_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "LAGS", (1, 10))
    tables = {table.name: table for table in gradients.run(Settings())}
    flow = tables["flow"]
    assert len(flow.rows) == len(gradients.ROWS) * len(gradients.INITS)
    assert all(np.isfinite(factor) for factor in flow.column("lag 10"))
    assert all((c is None) == name.startswith(("RNN", "GRU"))
               for name, c in zip(flow.column("cell"), flow.column("largest c")))  # fmt: skip
    assert {"flow", "slopes"} == set(tables)


def test_the_usual_training_stands_beside_published_figures(tmp_path: Path) -> None:
    settings = Settings(quick=True, data=chorales(tmp_path), only=("modern",))
    (table,) = odyssey.run(settings)
    assert table.column("network")[0].startswith("LSTM(64)")
    assert 0 < table.rows[0][2] < 88 * np.log(2)  # better than a coin for every key
    assert len(table.rows) == 1 + len(odyssey.PEERS)


def test_a_search_ends_with_its_time_and_tells_importances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna = pytest.importorskip("optuna")
    monkeypatch.setattr(odyssey, "VARIANTS", ("vanilla",))
    data = chorales(tmp_path)

    def search(**more: Any) -> dict[str, Any]:
        settings = Settings(quick=True, data=data, only=("search",), passes=1, **more)
        return {table.name: table for table in odyssey.run(settings)}

    late = search(trials=1, hours=1e-9)
    assert late["variants"].column("trials") == [0] and not late["importances"].rows
    pytest.importorskip("sklearn")
    done = search(trials=5, hours=1.0)
    assert done["variants"].column("trials") == [5]
    shares = done["importances"].column("all variants")
    assert sum(shares) == pytest.approx(1.0)
    study = optuna.create_study()
    odyssey.attempt(optuna, study, raises(odyssey.OutOfTimeError), 0)
    with pytest.raises(MemoryError):
        odyssey.attempt(optuna, study, raises(MemoryError), 0)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "FAIL"]


def raises(error: type[BaseException]) -> Callable[[Any], float]:
    def judge(trial: Any) -> float:
        raise error

    return judge
