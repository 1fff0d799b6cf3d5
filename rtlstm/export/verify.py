"""Compare an exported file with the model in this process, over the same stream."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtlstm.errors import MissingExtraError, SampleError, SpecError
from rtlstm.export import onnx_file as model_file
from rtlstm.export.forecaster_constants import ForecasterConstants
from rtlstm.export.graph import Array
from rtlstm.export.onnx import model_state, network_state
from rtlstm.export.stream_constants import StreamConstants
from rtlstm.export.training import state as learner_state
from rtlstm.inputs.records import as_time
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.models.classifier import Classifier
from rtlstm.models.detector import Detector
from rtlstm.models.forecaster import Forecaster
from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.models.regressor import Regressor

# What goes into the graph at one step, and what the model in this process gives.
Step = tuple[dict[str, Array], list[Array]]


@dataclass(frozen=True)
class Verification:
    """What `verify_onnx` found.

    difference: the largest difference of any output: absolute for answers below 1, in units of the
    largest entry of the answer above. For a forecaster or regressor each output is measured by its
    own size over these rows and in what was learned from, since the raw values of sensors differ in
    size, and float32 is as exact as they are large. Infinite if one side alone answers NaN.
    microseconds: the median time of a step in onnxruntime, on one thread. bytes: of the file.
    """

    rows: int
    difference: float
    microseconds: float
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.rows} rows: largest difference {self.difference:.2g},"
            f" {self.microseconds:.1f} µs a step, {self.bytes} bytes"
        )


def verify_onnx(
    path: str | os.PathLike[str], model: Any, samples: Any, times: Any = None
) -> Verification:
    """Run a file of `export_onnx` in onnxruntime and the model in this process, side by side.

    model: what was exported; both start from its current state, and it is as before afterwards.
    samples: (rows, inputs); for a network, a row with NaN or infinity must be answered NaN by the
    graph, for other models it has missing values. times: epoch seconds of the rows, negative or
    None if unknown. For the step of a learner, samples is (X, Y), and so it may be for a classifier
    or regressor, whose Y are the labels of the rows. Both sides see the samples as float32. Raises
    DamagedFileError if the constants of the file, or of the starting state beside it, are not those
    that were written, SpecError if it is of another model, MissingExtraError without onnxruntime.
    """
    facts = model_file.metadata(model_file.load_whole(path))
    if model_file.init_path(path).exists():
        model_file.load_whole(model_file.init_path(path))
    runtime = session(path)
    before = model.snapshot()
    try:
        state, steps = _twin(facts, model, samples, times)
        if list(state) != _state_names(runtime, state):
            raise SpecError(f"{path} is not an export of {model!r}: their states differ")
        rows, difference, seconds = _compare(runtime, state, steps, _usual(model))
    finally:
        model.restore(before)
    return Verification(rows, difference, 1e6 * seconds, Path(path).stat().st_size)


def session(path: str | os.PathLike[str]) -> Any:
    """An onnxruntime session on one thread of the CPU."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(
            "verifying needs onnxruntime: install rtlstm with the extra `verify`"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )


def _state_names(runtime: Any, state: dict[str, Array]) -> list[str]:
    names = [entry.name for entry in runtime.get_inputs()]
    return names[len(names) - len(state) :]


def _twin(
    facts: dict[str, str], model: Any, samples: Any, times: Any
) -> tuple[dict[str, Array], Iterable[Step]]:
    """The starting state by input name, and the steps of the model in this process."""
    kind, net = facts.get("kind"), getattr(model, "net", model)
    if kind == "forecaster" and isinstance(model, Forecaster):
        return model_state(model), _forecaster(model, samples, times, "time" in facts)
    if kind == "detector" and isinstance(model, Detector):
        return model_state(model), _detector(model, samples, times, "time" in facts)
    if kind in ("classifier", "regressor") and kind == getattr(model, "kind", None):
        return model_state(model), _supervised(model, samples, times, "time" in facts)
    if kind == "learner" and isinstance(model, Learner):
        return learner_state.current(model), _learner(model, *samples)
    if kind == "network" and isinstance(net, Network):
        whole = facts.get("sequence") == "true"
        return network_state(net), (_sequence if whole else _network)(net, samples)
    raise SpecError(f"a file of kind {kind!r} is not an export of {model!r}")


def _moments(samples: Any, times: Any, timed: bool) -> Iterator[tuple[dict[str, Any], Array, Any]]:
    """What the graph is fed with, the row, and its time for the model in this process, or None."""
    rows = np.asarray(samples, np.float32)
    clock = [-1] * len(rows) if times is None else [_second(time) for time in times]
    for row, second in zip(rows, clock, strict=True):
        feeds: dict[str, Any] = {"x": row[None]}
        if timed:
            feeds["time"] = np.array([second])
        yield feeds, row, second if timed and second >= 0 else None


def _forecaster(model: Forecaster, samples: Any, times: Any, timed: bool) -> Iterator[Step]:
    for feeds, row, moment in _moments(samples, times, timed):
        try:
            found = model.update(row, moment, learn=False)
        except SampleError:
            nothing = np.full((1, len(model.horizons), len(model.targets)), np.nan)
            yield feeds, [nothing] * 3
        else:
            yield feeds, [found.values[None], found.lower[None], found.upper[None]]


def _detector(model: Detector, samples: Any, times: Any, timed: bool) -> Iterator[Step]:
    for feeds, row, moment in _moments(samples, times, timed):
        try:
            found = model.update(row, moment, learn=False)
        except SampleError:
            yield feeds, [np.full((1, 1), np.nan)] * 2
        else:
            yield feeds, [np.full((1, 1), found.score), np.full((1, 1), float(found.flag))]


def _supervised(
    model: Classifier | Regressor, samples: Any, times: Any, timed: bool
) -> Iterator[Step]:
    X, labels = samples if isinstance(samples, tuple) else (samples, None)
    known = _labels(model, [None] * len(X) if labels is None else labels)
    for (feeds, row, moment), label in zip(_moments(X, times, timed), known, strict=True):
        if model.spec.previous_label:
            feeds["label"] = np.asarray([_fed(model, label)])
        predicted = model.update(row, label, moment, learn=False)
        yield feeds, [predicted.values[None]]


def _labels(model: Classifier | Regressor, labels: Any) -> list[Any]:
    """The labels of all rows as the model in this process takes them, numbers as float32."""
    if isinstance(model, Classifier):
        return list(labels)
    return [model._label(label).astype(np.float32) for label in labels]


def _fed(model: Classifier | Regressor, label: Any) -> Any:
    """A label as the graph takes it."""
    if isinstance(model, Regressor):
        return label
    truth = model._label(label)
    return -1 if np.isnan(truth[0]) else int(truth.argmax())


def _learner(model: Learner, X: Any, Y: Any) -> Iterator[Step]:
    shape = (1, model.net.spec.outputs)
    X, Y = np.asarray(X, np.float32), np.asarray(Y, np.float32)
    for x, y in zip(X, Y.reshape(len(X), -1), strict=True):
        labels = model.health()["labels"]
        prediction = _or_nan(functools.partial(model.step, y=y), x, shape[1])
        value = model.loss if model.health()["labels"] > labels else np.nan
        with np.errstate(over="ignore"):  # the graph's loss is a float32
            loss = np.full((1, 1), value).astype(np.float32)
        yield {"x": x[None], "y": y[None]}, [prediction.reshape(shape), loss]


def _second(time: Any) -> int:
    """Whole epoch seconds, -1 if unknown."""
    seconds = as_time(time)
    return -1 if np.isnan(seconds) else int(np.floor(seconds))


def _network(net: Network, samples: Any) -> Iterator[Step]:
    for x in np.asarray(samples, np.float32):
        yield {"x": x[None]}, [_or_nan(net.step, x, net.spec.outputs)[None]]


def _sequence(net: Network, samples: Any) -> Iterator[Step]:
    X = np.asarray(samples, np.float32)
    yield {"x": X[:, None]}, [_or_nan(net.run, X, len(X), net.spec.outputs)[:, None]]


def _or_nan(answer: Callable[[Array], Array], x: Array, *shape: int) -> Array:
    try:
        return answer(x)
    except SampleError:
        return np.full(shape, np.nan, np.float32)


def _compare(
    runtime: Any, state: dict[str, Array], steps: Iterable[Step], usual: Array | None
) -> tuple[int, float, float]:
    """Rows, the largest difference, and the median seconds of a call."""
    values, taken, rows = dict(state), [], 0
    gaps: dict[int, tuple[Array, Array]] = {}
    for feeds, wanted in steps:
        start = time.perf_counter()
        found = runtime.run(None, feeds | values)
        taken.append(time.perf_counter() - start)
        for place, (got, want) in enumerate(zip(found, wanted, strict=False)):
            _widen(gaps, place, got, want, alone=usual is None)
        values = dict(zip(values, found[len(wanted) :], strict=True))
        rows += 1
    size = 1.0 if usual is None else usual
    largest = max((_largest(*gap, size) for gap in gaps.values()), default=0.0)
    return rows, largest, float(np.median(taken)) if taken else 0.0


def _widen(
    gaps: dict[int, tuple[Array, Array]], place: int, got: Array, want: Array, alone: bool
) -> None:
    """Keep the largest gap and the largest value of every entry of an output, over all rows.

    alone: the row is measured by its own size, so that one huge answer hides no other gap.
    """
    same = (np.isnan(got) & np.isnan(want)) | (got == want)
    gap = np.zeros(np.shape(want))
    gap[~same] = np.abs(got.astype(np.float64)[~same] - want[~same])
    gap = np.where(np.isnan(gap), np.inf, gap)
    size = np.where(np.isfinite(want), np.abs(want.astype(np.float64)), 0.0)
    if alone:
        gap, size = gap / max(1.0, size.max(initial=0.0)), np.ones(1)
    if place in gaps:
        gap, size = np.maximum(gap, gaps[place][0]), np.maximum(size, gaps[place][1])
    gaps[place] = gap, size


def _largest(gap: Array, size: Array, usual: Array | float) -> float:
    return float((gap / np.maximum(usual, size)).max(initial=0.0))


def _usual(model: Any) -> Array | None:
    """Below what size of an output its difference is measured against that size: 1, or a deviation
    from 0 that the targets (T,) of a forecaster or regressor have usually had. None: each answer
    has its own size.
    """
    found: StreamConstants
    if isinstance(model, Forecaster):
        found = ForecasterConstants(model)
        targets = found.targets
    elif isinstance(model, Regressor):
        found = StreamConstants(model._lab, model._arena.d, model._arena.q)
        targets = np.arange(found.C)
    else:
        return None
    size = np.abs(found.column(k.MEAN)) + 3.0 * np.sqrt(found.column(k.VAR))
    return np.maximum(1.0, size[targets])
