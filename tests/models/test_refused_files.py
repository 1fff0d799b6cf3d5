"""Files with a right digest that describe no model: refused by what is wrong, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks import hostile, resigned

import rtlstm
from rtlstm.kernels.tasks import anomaly_plan


def taken_apart(model: Any, path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metadata with the description as a tree, and tensors, of a model's file."""
    model.save(path)
    meta, tensors = resigned.taken_apart(path.read_bytes())
    return {**meta, "spec": json.loads(meta["spec"])}, tensors


def load(path: Path, meta: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    """Write a file of these parts with a right digest, and load it."""
    text = json.dumps(meta["spec"], sort_keys=True, separators=(",", ":"))
    path.write_bytes(hostile.sealed(tensors, kind=meta["kind"], spec=text))
    return rtlstm.load(path)


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every field of every mapping in a description, as a path."""
    found = []
    for key in tree if isinstance(tree, dict) else range(len(tree) if type(tree) is list else 0):
        found += [(*at, key)] * isinstance(tree, dict) + places(tree[key], (*at, key))
    return found


@pytest.mark.parametrize("name", resigned.models())
def test_a_field_that_is_missing_or_more(name: str, tmp_path: Path) -> None:
    """What may be left out has a default, and the model is what it was."""
    meta, tensors = taken_apart(resigned.models()[name], tmp_path / "m")
    text = json.dumps(meta["spec"])
    assert load(tmp_path / "m", meta, tensors) is not None
    for *way, last in places(meta["spec"]):
        for more in (False, True):
            spec = json.loads(text)
            inner = spec
            for key in way:
                inner = inner[key]
            if more:
                inner["another"] = 1
            else:
                del inner[last]
            try:
                load(tmp_path / "m", {**meta, "spec": spec}, tensors)
            except rtlstm.ModelFileError as error:
                assert "nothing was loaded" in str(error)
            else:
                assert not more or way[-1:] == ["gate_bias"], (way, last)


def test_a_kind_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(hostile.good().replace(b'"network"', b'"network"'))
    meta, tensors = taken_apart(rtlstm.Network(1, rtlstm.LSTM(1), 1), tmp_path / "m")
    with pytest.raises(rtlstm.MismatchedFileError, match="this version knows"):
        load(tmp_path / "m", {**meta, "kind": "oracle"}, tensors)


def learner(**more: Any) -> rtlstm.Learner:
    return rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(1), 1), **more)


KEYS: dict[str, tuple[str, Any, str]] = {
    "ends that go back": ("keys.end", [3, 1, 5], "do not ascend"),
    "ends below 0": ("keys.end", [-1, 2, 5], "do not ascend"),
    "ends too early": ("keys.end", [1, 2, 3], "do not ascend"),
    "neither": ("keys.number", [0, 2, 0], "neither text nor"),
    "a number that is none": ("keys.number", [1, 1, 1], "cannot be read"),
    "no text": ("keys.text", [255] * 5, "cannot be read"),
    "twice": ("keys.text", [97, 97, 97, 49, 50], "differ|twice|once"),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys_that_are_none(case: str, tmp_path: Path) -> None:
    name, values, said = KEYS[case]
    fleet = rtlstm.Fleet(learner(), ["a", "bc", 12] if case != "twice" else ["a", "b", 112])
    meta, tensors = taken_apart(fleet, tmp_path / "m")
    if case == "twice":
        values = [97, 97, 49, 49, 50]
    assert load(tmp_path / "m", meta, tensors).keys == fleet.keys
    tensors[name] = np.array(values, tensors[name].dtype)
    with pytest.raises(rtlstm.ModelFileError, match=said):
        load(tmp_path / "m", meta, tensors)


@pytest.mark.parametrize("count", [-1, True, "3", 1.0, 2**41, None])
def test_a_count_of_learners_that_is_none(count: Any, tmp_path: Path) -> None:
    meta, tensors = taken_apart(rtlstm.Fleet(learner(), 3), tmp_path / "m")
    meta["spec"]["count"] = count
    with pytest.raises(rtlstm.ModelFileError):
        load(tmp_path / "m", meta, tensors)


FLEETS: dict[str, Any] = {
    "64 bits": lambda: rtlstm.Fleet(learner(), [2**63]),
    "string or a whole number": lambda: rtlstm.Fleet(learner(), [True]),
    "more than max_keys": lambda: rtlstm.Fleet(learner(), 3, max_keys=2),
    "threads must be": lambda: rtlstm.Fleet(learner(), 3, threads=0),
    "delay=0": lambda: rtlstm.Fleet(learner(delay=2), 3),
    "a rate|learning rate": lambda: rtlstm.Fleet(learner(optimizer=rtlstm.SGD(lambda t: 0.1)), 3),
    "as many seeds": lambda: rtlstm.Fleet(learner(), 3, seeds=[1]),
    "X, Y and lengths": lambda: rtlstm.Fleet(learner(), 2).run([[[0.0]]], [[[0.0]]]),
    "another specification": lambda: rtlstm.Fleet(learner(), 2).add("x", learner(clip=1.0)),
    "2 learners, rule": lambda: rtlstm.Fleet(learner(), 2),
}


@pytest.mark.parametrize("said", FLEETS)
def test_what_a_fleet_refuses_and_says_of_itself(said: str) -> None:
    if said == "2 learners, rule":
        assert said in repr(FLEETS[said]())
        return
    with pytest.raises(rtlstm.RtlstmError, match=said):
        FLEETS[said]()


AB = {"layers": rtlstm.LSTM(1)}
CALLS: dict[str, Any] = {
    "rows must be several": lambda: rtlstm.Forecaster(["a"], **AB).run(3.0),
    "times must be several": lambda: rtlstm.Forecaster(["a"], **AB).run([[1.0]], 10**400),
    "time": lambda: rtlstm.Forecaster(["a"], **AB).update([1.0], 10**400),
    "labels must be several": lambda: rtlstm.Regressor(["a"], ["y"], **AB).run([[1.0]], 3.0),
    "labels must be several, got ndarray": lambda: rtlstm.Classifier(["a"], 2, **AB).run(
        [[1.0]], np.array(1)
    ),
    "keys is a list": lambda: rtlstm.Fleet(learner(), 2).step(3.5, [[0.0]], None),
    "an entry a learner": lambda: rtlstm.Fleet(learner(), 2).run(3.0, 3.0),
    "a learner joins a fleet": lambda: rtlstm.Fleet(learner(), 2).add("c", "d"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("said", CALLS)
def test_one_thing_where_several_belong(said: str) -> None:
    with pytest.raises(rtlstm.RtlstmError, match=said):
        CALLS[said]()


def test_streams_say_what_they_are_and_reset_one_by_one() -> None:
    streams = rtlstm.Network(1, rtlstm.LSTM(2), 1).streams(3)
    assert repr(streams).startswith("Streams(3 of Network")
    assert str(streams.memory) in repr(streams)
    streams.step(np.ones((3, 1)))
    streams.reset(1)
    assert [bool(row.any()) for row in streams.state["layer0.y"]] == [True, False, True]
    streams.reset([0, -1])
    assert not streams.state["layer0.y"].any()
    for wrong in (3, -4, [0, 3]):
        with pytest.raises(rtlstm.StateError, match="3 streams"):
            streams.reset(wrong)
    with pytest.raises(rtlstm.SampleError, match="one row for each"):
        streams.step(np.ones((2, 1)))


def test_what_a_detector_knows_of_a_row_is_finite_and_counts_are_whole(tmp_path: Path) -> None:
    detector = rtlstm.Detector(["a", "b"], lags=3, layers=rtlstm.LSTM(2))
    detector.run(np.random.default_rng(0).normal(size=(200, 2)))
    meta, tensors = taken_apart(detector, tmp_path / "m")
    row = tensors["anomaly.row"]
    for at in range(len(row)):
        for odd in (np.nan, np.inf, -np.inf):
            changed = {**tensors, "anomaly.row": row.copy()}
            changed["anomaly.row"][at] = odd
            with pytest.raises(rtlstm.ModelFileError, match=r"anomaly\.row"):
                load(tmp_path / "m", meta, changed)
    for at in (anomaly_plan.S_ROWS, anomaly_plan.S_SPELLS, anomaly_plan.S_INSIDE):
        changed = {**tensors, "anomaly.row": row.copy()}
        changed["anomaly.row"][at] = 0.5
        with pytest.raises(rtlstm.ModelFileError, match=r"0\.5 at"):
            load(tmp_path / "m", meta, changed)
