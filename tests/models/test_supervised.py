"""What classifiers and regressors promise alike: order, tickets, copies, faults."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supervised_cases import COLUMNS, labels, made, stream

import rtlstm
from rtlstm.errors import StateError
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.layouts.supervised import SupervisedSpec

KINDS = ("classifier", "regressor")
both = pytest.mark.parametrize("kind", KINDS)
ROWS = 120
X = stream(ROWS)[0]


def taught(kind: str, rows: int = 60, **more: Any) -> Any:
    """One that has seen so many rows and labels."""
    model = made(kind, **more)
    model.run(X[:rows], labels(kind)[:rows])
    return model


def as_mapping(row: Any) -> dict[str, Any]:
    return dict(zip(COLUMNS, row))


@both
def test_run_is_update_row_by_row(kind: str) -> None:
    one, other, Y = made(kind), made(kind), labels(kind, ROWS)
    times = np.datetime64("2024-01-01T00") + np.arange(ROWS) * np.timedelta64(3600, "s")
    answers = one.run(X, Y, times)
    for t in range(ROWS):
        assert (
            other.update(as_mapping(X[t]), Y[t], times[t]).values.tobytes() == answers[t].tobytes()
        )
    assert one.snapshot() == other.snapshot()
    assert one.rows == ROWS
    assert np.isfinite(answers).all()


@both
def test_a_file_goes_on_bit_for_bit_once_the_network_learns(kind: str, tmp_path: Path) -> None:
    """The network learns from row 100 on: from there its optimizer has numbers of its own."""
    rows, cut = 130, 115
    model, X, Y = made(kind), stream(rows)[0], labels(kind, rows)
    model.run(X[:cut], Y[:cut])
    model.save(tmp_path / "model")
    loaded = rtlstm.load(tmp_path / "model")
    assert loaded.run(X[cut:], Y[cut:]).tobytes() == model.run(X[cut:], Y[cut:]).tobytes()


@both
def test_a_file_without_the_learners_settings_still_loads(kind: str, tmp_path: Path) -> None:
    """Files of earlier versions lack them, and nothing else."""
    old = made(kind)
    old.run(X[:20], labels(kind)[:20])
    plain = old.spec.to_dict()
    del plain["saves_learner"]
    spec = SupervisedSpec.from_dict(plain)
    names = type(old).expected(spec)
    assert set(type(old).expected(old.spec)) - set(names) == {"learner.settings"}
    tensors = {name: old._arena.view(old._saved[name]) for name in names}
    loaded = type(old).from_tensors(spec, tensors)
    assert loaded.spec == old.spec
    loaded.save(tmp_path / "model")
    again = rtlstm.load(tmp_path / "model")
    assert again.run(X[20:24]).tobytes() == loaded.run(X[20:24]).tobytes()


@both
def test_a_ticket_handed_back_at_once_is_an_update(kind: str) -> None:
    one, other, Y = made(kind), made(kind), labels(kind, ROWS)
    for t in range(ROWS):
        answer, ticket = one.predict(X[t])
        assert ticket == t
        one.learn(ticket, Y[t])
        assert answer.values.tobytes() == other.update(X[t], Y[t]).values.tobytes()
    assert one.snapshot() == other.snapshot()


@both
def test_the_order_in_which_late_labels_come_is_no_matter(kind: str) -> None:
    models, Y = [taught(kind, delay=8) for _ in range(2)], labels(kind, ROWS)
    for model, order in zip(models, (range(8), (3, 7, 1, 0, 6, 2, 5, 4))):
        tickets = [model.predict(X[60 + i])[1] for i in range(8)]
        for i in order:
            model.learn(tickets[i], Y[60 + i])
    assert models[0].snapshot() == models[1].snapshot()
    assert models[0].health()["waiting"] == 0


@both
def test_a_late_label_is_learned(kind: str) -> None:
    """Labels that come five rows late are learned from what was seen at their own time."""
    X, Y, wait = stream(1500)[0], labels(kind, 1500), 5
    model, tickets = made(kind, delay=wait, previous_label=False), []
    for t in range(len(X)):
        if t >= wait:
            model.learn(tickets[t - wait], Y[t - wait])
        tickets.append(model.predict(X[t])[1])
    metrics = model.metrics
    if kind == "classifier":
        assert metrics["accuracy"] > 0.85 > metrics["no_change_accuracy"]
    else:
        assert (metrics["skill"] > 0.9).all()


@both
def test_nothing_peeks(kind: str) -> None:
    Y, other = labels(kind, ROWS), labels(kind, ROWS, seed=5)
    answers = made(kind).run(X, Y)
    changed = X.copy()
    changed[70:] = stream(ROWS, seed=5)[0][70:]
    mixed = [*Y[:69], *other[69:]]
    assert made(kind).run(changed, mixed)[:70].tobytes() == answers[:70].tobytes()


@both
def test_waiting_is_bounded_and_the_oldest_is_given_up(kind: str) -> None:
    model, Y = taught(kind, delay=3), labels(kind, ROWS)
    size, learned = model.memory, model.health()["labels"]
    tickets = [model.predict(X[60 + i])[1] for i in range(5)]
    assert (model.health()["given_up_labels"], model.health()["waiting"]) == (2, 3)
    for bad in (tickets[0], 10**9, -1, "0", None, 62.0):
        before = model.snapshot()
        with pytest.raises(rtlstm.StateError, match="not waiting"):
            model.learn(bad, Y[60])
        kept = np.frombuffer(before, np.uint8) == np.frombuffer(model.snapshot(), np.uint8)
        assert (~kept).sum() == 1  # the counter of late labels
    model.learn(tickets[3], Y[63])
    with pytest.raises(rtlstm.StateError, match="has its label already"):
        model.learn(tickets[3], Y[63])
    model.learn(tickets[2], None)
    model.learn(tickets[4], Y[64])
    assert model.health()["labels"] == learned + 2
    assert (model.memory, model.health()["late_labels"]) == (size, 6)


@both
def test_without_a_label_nothing_is_learned(kind: str) -> None:
    model = taught(kind)
    weights = model._arena.view(model._saved["experts.weights"])
    parameters = {name: view.copy() for name, view in model.network.parameters.items()}
    before, count = weights.copy(), model.metrics["count"]
    for t, label in enumerate((None, float("nan"), None)):
        if kind == "regressor" and label is not None:
            label = [label, np.inf]
        assert np.isfinite(model.update(X[60 + t], label).values).all()
    np.testing.assert_array_equal(weights, before)
    np.testing.assert_array_equal(model.metrics["count"], count)
    for name, view in model.network.parameters.items():
        np.testing.assert_array_equal(view, parameters[name])
    assert model.rows == 63


@both
@settings(max_examples=15)
@given(cut=st.integers(0, 79), rule=st.sampled_from(["truncated", "rtrl"]))
def test_a_copy_goes_on_to_the_bit(kind: str, cut: int, rule: str, tmp_path_factory: Any) -> None:
    model, Y = made(kind, rule=rule, delay=4), labels(kind, ROWS)
    model.run(X[:cut], Y[:cut])
    ticket = model.predict(X[cut])[1]  # one label is on its way
    path = tmp_path_factory.mktemp("copies") / "model.safetensors"
    model.save(path)
    copies = [rtlstm.load(path), pickle.loads(pickle.dumps(model)), made(kind, rule=rule, delay=4)]
    copies[2].restore(model.snapshot())
    answers = []
    for one in (model, *copies):
        one.learn(ticket, Y[cut])
        answers.append(one.run(X[cut + 1 :], Y[cut + 1 : ROWS]).tobytes())
    assert len(set(answers)) == 1
    assert len({one.snapshot() for one in (model, *copies)}) == 1
    assert repr(copies[0]) == repr(model)


BAD_ROWS = {
    "short": [1.0],
    "long": [1.0, 2.0, 3.0, 4.0],
    "deep": [[1.0, 2.0, 3.0]],
    "empty": [],
    "scalar": 1.0,
    "none": None,
    "words": ["a", "b", "c"],
    "complex": np.ones(3, complex),
    "dates": np.zeros(3, "M8[s]"),
    "objects": [object(), 1.0, 2.0],
    "giant": [10**400, 1.0, 2.0],
    "field": {"a": "high"},
}


@both
@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_changes_nothing(kind: str, row: Any) -> None:
    model = taught(kind, 30)
    before = model.snapshot()
    for call in (lambda: model.update(row), lambda: model.predict(row), lambda: model.run([row])):
        with pytest.raises(rtlstm.SampleError, match="nothing was changed"):
            call()
    assert model.snapshot() == before


@both
@pytest.mark.parametrize("label", ["sideways", [1.0, 2.0, 3.0], {1}, b"up", object(), 1j, 10**400])
def test_a_bad_label_changes_nothing(kind: str, label: Any) -> None:
    model = taught(kind, 30)
    ticket = model.predict(X[30])[1]
    before = model.snapshot()
    for call in (
        lambda: model.update(X[31], label),
        lambda: model.learn(ticket, label),
        lambda: model.run(X[31:33], [None, label]),
        lambda: model.run(X[31:33], [None]),
        lambda: model.run(X[31:33], None, [0.0]),
        lambda: model.update(X[31], None, "noon"),
    ):
        with pytest.raises(rtlstm.SampleError):
            call()
    assert model.snapshot() == before


@both
def test_cells_may_be_missing_in_every_way(kind: str) -> None:
    Y, models = labels(kind, ROWS), [taught(kind) for _ in range(4)]
    for t in range(60, 70):
        a, _, c = X[t]
        rows = ([a, np.nan, c], {"c": c, "a": a}, [a, None, c], np.array([a, -np.inf, c]))
        answers = {m.update(row, Y[t]).values.tobytes() for m, row in zip(models, rows)}
        assert len(answers) == 1
    assert len({model.snapshot() for model in models}) == 1
    assert models[0].health()["missing_cells"] == 10
    models[1].update({**as_mapping(X[70]), "new": 1.0})
    assert models[1].health()["unknown_fields"] == 1


@both
def test_what_stands_for_a_missing_cell(kind: str) -> None:
    held, mean = taught(kind), taught(kind, missing="mean")
    gap = np.array([np.nan, *X[60, 1:]])
    last, middle = (m._arena.view(m._saved["columns.statistics"]) for m in (held, mean))
    want = last[0, 0], middle[2, 0]
    assert held.update(gap).values.tobytes() != mean.update(gap).values.tobytes()
    assert (last[0, 0], middle[0, 0]) == want
    strict = taught(kind, missing="raise")
    before = strict.snapshot()
    for call in (lambda: strict.update(gap), lambda: strict.run(np.stack([X[60], gap]))):
        with pytest.raises(rtlstm.SampleError, match="a cell is missing"):
            call()
    assert strict.snapshot() == before


@both
def test_answers_stay_finite_whatever_comes(kind: str) -> None:
    wild = X.copy()
    wild[:, 2] = 7.0  # constant
    wild[10:14] = np.nan
    wild[20, 0], wild[30, 1], wild[50, 0] = 1e300, -1e308, 1e6
    wild[60:] *= 1e30
    wild[90:] = 0.0
    model = made(kind)
    assert np.isfinite(model.run(np.full((3, 3), np.nan))).all()
    for Y in (None, labels(kind, ROWS), labels(kind, ROWS)):
        assert np.isfinite(model.run(wild, Y)).all()
    assert all(np.isfinite(view).all() for view in model.network.parameters.values())
    if kind == "regressor":
        model, Y = made(kind), labels(kind, ROWS) * 1.0
        Y[40], Y[70:, 0] = 1e308, 5e200
        assert np.isfinite(model.run(X, Y)).all()


class Once:
    """A rule's kernels that are interrupted once, before or after their step."""

    def __init__(self, model: Any, after: bool) -> None:
        self.model, self.kernels, self.after = model, model._rule, after
        model._rule = self

    def run(self, *parts: Any) -> int:
        self.model._rule = self.kernels
        if self.after:
            self.kernels.run(*parts)
        raise KeyboardInterrupt


@both
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_between_two_kernels_loses_nothing(kind: str, after: bool) -> None:
    calm, torn, Y = taught(kind), taught(kind), labels(kind, ROWS)
    calm.run(X[60:63], Y[60:63])
    Once(torn, after)
    with pytest.raises(KeyboardInterrupt):
        torn.update(X[60], Y[60])
    torn.run(X[61:63], Y[61:63])
    assert torn.snapshot() == calm.snapshot()


@both
def test_threads_take_turns(kind: str) -> None:
    model, Y = made(kind), labels(kind, ROWS)

    def work() -> None:
        for t in range(ROWS):
            model.update(X[t], Y[t])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    health = model.health()
    assert (health["rows"], health["labels"], health["waiting"]) == (4 * ROWS, 4 * ROWS, 0)
    assert np.isfinite(model.update(X[0]).values).all()


@both
def test_what_cannot_be_built_is_refused(kind: str) -> None:
    for more in (
        {"delay": 0},
        {"delay": True},
        {"delay": 10**9},
        {"missing": "guess"},
        {"previous_label": 1},
        {"rule": "magic"},
    ):
        with pytest.raises(rtlstm.SpecError):
            made(kind, **more)
    cls = rtlstm.Classifier if kind == "classifier" else rtlstm.Regressor
    outputs: Any = ["p", "q"]
    for columns in ([], "abc", 3, ["a", "a"], [1]):
        with pytest.raises(rtlstm.SpecError):
            cls(columns, outputs)
    for layers in ([], "lstm", [3], rtlstm.GRU(4)):
        with pytest.raises(rtlstm.SpecError):
            cls(COLUMNS, outputs, layers)
    with pytest.raises(rtlstm.LimitError, match="nothing was allocated"):
        cls(COLUMNS, outputs, rtlstm.LSTM(3000), delay=100_000)


@both
def test_a_description_is_read_as_it_was_written(kind: str) -> None:
    spec = made(kind).spec
    assert SupervisedSpec.from_dict(spec.to_dict()) == spec
    for plain in ({}, None, {**spec.to_dict(), "layers": []}, {**spec.to_dict(), "more": 1}):
        with pytest.raises(rtlstm.SpecError):
            SupervisedSpec.from_dict(plain)


@both
def test_a_file_of_the_other_kind_or_of_nonsense_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    taught(kind).save(path)
    data = path.read_bytes()
    for old, new in (("up", "le"), ('"y"', '"a"')):
        path.write_bytes(data.replace(old.encode(), new.encode()))
        if path.read_bytes() != data:
            with pytest.raises(rtlstm.ModelFileError):
                rtlstm.load(path)


@both
@pytest.mark.parametrize("columns", [60, 140, 270])
def test_many_columns_are_seen_in_fewer_ways(kind: str, columns: int) -> None:
    rows = np.random.default_rng(1).normal(size=(12, columns))
    names = [f"c{i}" for i in range(columns)]
    cls = rtlstm.Classifier if kind == "classifier" else rtlstm.Regressor
    model: Any = cls(names, ["p", "q"], rtlstm.LSTM(4), delay=1)
    Y: Any = ["p", "q"] * 6 if kind == "classifier" else rows[:, :2]
    assert np.isfinite(model.run(rows, Y)).all()
    assert model.memory < 20e6


@both
def test_the_clock_is_an_input(kind: str) -> None:
    hours = np.arange(ROWS) * 3600.0
    answers = [taught(kind).run(X[60:80], None, times) for times in (None, hours[:20])]
    assert answers[0].tobytes() != answers[1].tobytes()


@both
def test_it_tells_what_it_is(kind: str) -> None:
    fresh, model = made(kind), taught(kind)
    assert "rows seen: 0" in repr(fresh)
    text = repr(model)
    for part in (type(model).__name__, "LSTM(4)", f"{model.memory}", "rows seen: 60"):
        assert part in text
    assert model.columns == tuple(COLUMNS)


@both
def test_learning_can_be_off(kind: str) -> None:
    model, twin, known = taught(kind), made(kind), labels(kind)[60:ROWS]
    twin.restore(model.snapshot())
    held = {name: model._arena.view(at).copy() for name, at in model._saved.items()}
    shifted = X[60:] + 3.0
    answers = model.run(shifted, known, learn=False)
    one = [twin.update(x, y, learn=False).values for x, y in zip(shifted, known, strict=True)]
    assert np.array(one).tobytes() == answers.tobytes() and twin.snapshot() == model.snapshot()
    after = {name: model._arena.view(at) for name, at in model._saved.items()}
    moved = {name for name in held if not np.array_equal(held[name], after[name], equal_nan=True)}
    learned = {f"experts.{part}" for part in ("weights", "mix", "error", "prior", "scale")}
    assert not moved & {*learned, "labels.table", "columns.seen", "labels.seen"}, moved
    assert {"columns.means", "labels.means", "score"} <= moved
    for at in (k.MEAN, k.VAR, k.SLOW2, k.LOW, k.HIGH, k.AGE):
        name = "columns.statistics"
        assert np.array_equal(held[name][at], after[name][at])
    assert model.health()["labels"] == 60 and np.max(model.metrics["count"]) >= ROWS - 1
    weights = {name for name in moved if name.startswith("parameter")}
    assert not weights and any("state" in name or "layer" in name for name in moved), moved


@both
def test_learning_goes_on_after_it_was_off_and_waits_for_no_ticket(kind: str) -> None:
    model, known = made(kind), labels(kind)
    _, ticket = model.predict(X[0])
    before = model.snapshot()
    with pytest.raises(StateError, match="learn=False"):
        model.update(X[1], learn=False)
    assert model.snapshot() == before
    model.learn(ticket, known[0])
    model.update(X[1], known[1], learn=False)
    assert model.health()["labels"] == 1
    model.run(X[2:], known[2:ROWS])
    assert model.health()["labels"] == ROWS - 1
