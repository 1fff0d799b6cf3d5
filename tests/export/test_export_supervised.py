"""A classifier or regressor as a graph: raw rows and labels in, the answers of learn=False out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_help import Client, verify_onnx
from supervised_cases import COLUMNS, stream

import rtlstm
from rtlstm.export.onnx import export_onnx

Array = np.ndarray[Any, Any]
LEARNED, MORE = 500, 300
KINDS = ("classifier", "regressor")
NAMES = ["up", "left", "right"]


def made(kind: str, **parts: Any) -> Any:
    parts = {"layers": rtlstm.LSTM(4), **parts}
    if kind == "classifier":
        return rtlstm.Classifier(COLUMNS, NAMES, **parts)
    return rtlstm.Regressor(COLUMNS, ["y", "z"], **parts)


def rows(seed: int = 0) -> tuple[Array, list[str], Array]:
    """Rows on large and small means, float32 values; classes; numbers, one on a large mean."""
    X, kinds, numbers = stream(LEARNED + MORE, seed)
    X = (X * [1.0, 40.0, 1e-3] + [0.0, 1e5, 2.0]).astype(np.float32)
    return X.astype(np.float64), kinds, (numbers * [1.0, 30.0] + [0.0, 5e4])


def labels_of(kind: str, seed: int = 0) -> Any:
    return rows(seed)[1 if kind == "classifier" else 2]


def gaps(X: Array, seed: int) -> Array:
    """Missing and infinite cells, faults, a lasting shift, and a value that comes again."""
    draw, X = np.random.default_rng(seed), X.copy()
    for value in (np.nan, np.nan, np.inf, -np.inf, 1e30, -1e7):
        for t in draw.integers(len(X), size=4):
            X[t, draw.integers(X.shape[1])] = value
    X[50] = np.nan
    X[60:66, 0] = 1e6
    X[100:103, -1] = -9e5
    return X


def some(kind: str, labels: Any, seed: int) -> Any:
    """Labels of which a third are unknown, and of numbers some in part, some far off."""
    draw = np.random.default_rng(seed)
    hidden = draw.random(len(labels)) < 0.35
    if kind == "classifier":
        return [None if gone else label for label, gone in zip(labels, hidden, strict=True)]
    labels = np.array(labels)
    labels[hidden] = np.nan
    labels[draw.random(labels.shape) < 0.2] = np.nan
    labels[30, 0] = 1e9
    return labels


def learned(kind: str, seconds: Array | None = None, **parts: Any) -> Any:
    model = made(kind, **parts)
    told = None if seconds is None else seconds[:LEARNED]
    model.run(rows()[0][:LEARNED], labels_of(kind)[:LEARNED], told)
    return model


PLAIN: dict[str, dict[str, Any]] = {
    "all": {},
    "without-previous-labels": {"previous_label": False},
    "means-in-gaps": {"missing": "mean"},
    "stack": {"layers": [rtlstm.GRU(5), rtlstm.LSTM(4, "FGR")], "rule": "snap1"},
}


@pytest.mark.parametrize("parts", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_model(kind: str, parts: dict[str, Any], tmp_path: Path) -> None:
    model = learned(kind, **parts)
    path = tmp_path / "m.onnx"
    export_onnx(model, path)
    for seed in range(3):
        X = gaps(rows(seed)[0][LEARNED:], seed)
        labels = some(kind, labels_of(kind, seed)[LEARNED:], seed)
        found = verify_onnx(path, model, (X, labels))
        assert found.rows == MORE and found.difference <= 1e-5, found
    assert verify_onnx(path, model, X).difference <= 1e-5


@pytest.mark.parametrize("every", [3600, 90_000, 40 * 86_400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_with_gaps_late_rows_and_unknown_times(
    kind: str, every: int, tmp_path: Path
) -> None:
    t = 1_600_000_000 + np.arange(LEARNED + MORE) * every
    model = learned(kind, t)
    export_onnx(model, tmp_path / "m.onnx")
    names = [entry.name for entry in onnx.load(tmp_path / "m.onnx").graph.input]
    assert names[:3] == ["x", "time", "label"]
    t[LEARNED + 40 :] += 2 * every + 17
    t[LEARNED + 90] = t[LEARNED + 89]
    t[LEARNED + 120] = t[LEARNED + 60]
    t[LEARNED + 150 : LEARNED + 153] = -1
    fed = gaps(rows()[0][LEARNED:], 1), some(kind, labels_of(kind)[LEARNED:], 1)
    assert verify_onnx(tmp_path / "m.onnx", model, fed, t[LEARNED:]).difference <= 1e-5
    assert verify_onnx(tmp_path / "m.onnx", model, fed).difference <= 1e-5


@pytest.mark.parametrize("seen", [0, 1, 2, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_before_much_was_seen(kind: str, seen: int, tmp_path: Path) -> None:
    model, (X, _, _) = made(kind), rows()
    model.run(X[:seen], labels_of(kind)[:seen])
    export_onnx(model, tmp_path / "m.onnx")
    fed = gaps(X[LEARNED:], 2), some(kind, labels_of(kind)[LEARNED:], 2)
    assert verify_onnx(tmp_path / "m.onnx", model, fed).difference <= 1e-5


@pytest.mark.parametrize(("columns", "outputs"), [(60, 3), (130, 3), (260, 2), (2, 20), (2, 70)])
@pytest.mark.parametrize("kind", KINDS)
def test_with_many_columns_or_outputs_less_is_shown(
    kind: str, columns: int, outputs: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(columns + outputs)
    names, X = [f"c{j}" for j in range(columns)], draw.normal(size=(90, columns))
    model: Any
    labels: Any
    if kind == "classifier":
        model = rtlstm.Classifier(names, outputs, rtlstm.LSTM(3), delay=2)
        labels = draw.integers(outputs, size=90).tolist()
    else:
        targets = [f"y{j}" for j in range(outputs)]
        model = rtlstm.Regressor(names, targets, rtlstm.LSTM(3), delay=2)
        labels = draw.normal(size=(90, outputs))
    model.run(X[:70], labels[:70])
    export_onnx(model, tmp_path / "m.onnx")
    fed = X[70:].astype(np.float32), labels[70:]
    assert verify_onnx(tmp_path / "m.onnx", model, fed).difference <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_carries_the_state_of_many_streams(kind: str, tmp_path: Path) -> None:
    model = learned(kind)
    export_onnx(model, tmp_path / "m.onnx", form="primitive", opset=18)
    client = Client(tmp_path / "m.onnx", batch=2)
    streams = [gaps(rows(seed)[0][LEARNED:][:80], seed) for seed in (4, 5)]
    start, answers = model.snapshot(), []
    label = np.full(2, -1) if kind == "classifier" else np.full((2, 2), np.nan, np.float32)
    for X in streams:
        model.restore(start)
        answers.append(model.run(X.astype(np.float32), learn=False))
    size = np.maximum(1.0, np.abs(answers[0]).max(axis=0))
    for t in range(80):
        (got,) = client.step(np.array([X[t] for X in streams], np.float32), label)
        for one, wanted in zip(got, answers, strict=True):
            assert np.abs((one - wanted[t]) / size).max() <= 1e-5
    assert np.all(np.isfinite(got))


def test_a_class_that_is_none_is_unknown(tmp_path: Path) -> None:
    export_onnx(learned("classifier"), tmp_path / "m.onnx")
    one, other = (Client(tmp_path / "m.onnx") for _ in range(2))
    x = rows()[0][LEARNED:][:2].astype(np.float32)
    for row in x:
        (p,) = one.step(row[None], np.array([-1]))
        (r,) = other.step(row[None], np.array([len(NAMES)]))
        np.testing.assert_array_equal(p, r)
        assert p.sum() == pytest.approx(1.0, abs=1e-6)
