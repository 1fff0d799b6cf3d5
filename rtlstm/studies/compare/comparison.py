"""`compare`: many methods over one stream, in turn, with scores that can be held side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.models.forecaster import Forecaster
from rtlstm.studies.compare import scoring
from rtlstm.studies.compare.methods.base import Batch, Setting
from rtlstm.studies.compare.methods.table import METHODS
from rtlstm.studies.compare.protocol import Run, TooSlow, follow
from rtlstm.studies.compare.recording import Recording, from_frame
from rtlstm.studies.compare.scoring import Scores

Array = np.ndarray[Any, Any]
BUDGET = 600.0  # seconds
FIRST_SCORED = 1000  # rows that are seen before any is scored, if there are four times as many


@dataclass
class Result:
    """What one method came to: scores and costs, or the reason why there are none."""

    name: str
    what: str
    scores: Scores | None = None
    difference: tuple[float, float, float] | None = None  # of MSE to ours, with its interval
    learn_us: float = math.nan  # microseconds a row
    forecast_us: float = math.nan
    memory: int | None = None  # bytes
    device: str = ""
    notes: list[str] = field(default_factory=list)
    failure: str = ""


@dataclass
class Comparison:
    """All results for one horizon, ours first; ``start`` is the first scored row."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    horizon: int
    season: int
    rows: int
    start: int
    results: list[Result]
    interrupted: bool = False

    def best(self) -> Result | None:
        """Return the method of least MSE."""
        scored = [r for r in self.results if r.scores is not None]
        return min(scored, key=lambda r: r.scores.mse) if scored else None  # type: ignore[union-attr]


def compare(
    data: Any,
    times: Any = None,
    targets: Sequence[str] | None = None,
    horizon: int = 1,
    methods: Sequence[Any] | str = "all",
    budget: float = BUDGET,
    start: int | None = None,
    season: int | None = None,
    refit: int = 0,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Comparison:
    """Compare methods of forecasting on a stream, each forecasting a row before it sees it.

    data: a data frame, an array (T, C), or a :class:`Recording`. times: epoch seconds (T,).
    targets: columns to forecast (None: all). horizon: rows ahead. methods: "all", names of
    :data:`METHODS`, or classes of the user's own, made with a :class:`Setting` and having
    ``learn(row, time)`` and ``forecast()``; ours is always among them. budget: seconds for all.
    start: first row that is scored. season: rows of a season (None: found in the rows before
    ``start``; 0: none). refit: rows between two fits of batch methods (0: whenever the rows have
    doubled). progress: called with a line for each method. options: ``rules`` of rtlstm's networks
    to compare, ``scale`` (targets,) in whose units errors are counted (None: see
    :func:`scoring.scales`), ``seed``.

    A method that fails, or needs too long, has the reason in its result; Ctrl-C ends the comparison
    with what there is. Raises SpecError for arguments that make no sense.
    """
    recording = data if isinstance(data, Recording) else from_frame(data, times)
    places = recording.indices(targets)
    start = _start(recording, horizon, start)
    if season is None:
        season = _season(recording, start)
    seed = int(options.pop("seed", 0))
    setting = Setting(recording.columns, places, horizon, season, seed)
    entries = _entries(methods, tuple(options.pop("rules", ())))
    judge = _Judge(recording, setting, start, options.pop("scale", None))
    if options:
        raise SpecError(f"unknown options: {', '.join(sorted(options))}")
    done = Comparison(
        recording.columns, tuple(recording.columns[j] for j in places), horizon, season,
        len(recording), start, [],
    )  # fmt: skip
    deadline = time.monotonic() + budget
    try:
        for number, (name, make) in enumerate(entries):
            left, still = max(deadline - time.monotonic(), 0.0), len(entries) - number
            # What one method leaves over, the others may use, up to half of the shares of those to
            # come; ours is never cut short.
            limit = max(left / still * min(3.0, 0.5 + 0.5 * still), 1.0)
            limit = math.inf if number == 0 else limit
            done.results.append(judge.judge(name, make, refit, limit))
            if progress is not None:
                progress(_line(done.results[-1]))
    except KeyboardInterrupt:
        done.interrupted = True
    return done


def _start(recording: Recording, horizon: int, start: int | None) -> int:
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise SpecError(f"horizon must be a number of rows from 1 on, got {horizon!r}")
    first = min(FIRST_SCORED, len(recording) // 4) if start is None else start
    if not horizon < first < len(recording):
        raise SpecError(
            f"rows are scored from row {first} on, which must lie behind the horizon, {horizon},"
            f" and before the end, {len(recording)}: the recording is too short"
        )
    return first


def _season(recording: Recording, start: int) -> int:
    """Rows of the season that a forecaster finds in the rows before those that are scored."""
    probe = Forecaster(list(recording.columns), layers=_small())
    probe.run(recording.rows[:start], recording.times[:start])
    return probe.season


def _small() -> Any:
    from rtlstm.spec import LSTM

    return LSTM(8)


def _entries(methods: Sequence[Any] | str, rules: Sequence[str]) -> list[tuple[str, Any]]:
    """Names and makers of the methods, ours first."""
    if isinstance(methods, str):
        methods = list(METHODS) if methods == "all" else [methods]
    entries: list[tuple[str, Any]] = [("rtlstm", None)]
    entries += [(f"rtlstm, {rule}", rule) for rule in rules if rule != "truncated"]
    for method in methods:
        if isinstance(method, str):
            if method not in METHODS:
                raise SpecError(f"methods are {', '.join(METHODS)}; {method!r} is none of them")
            entries += [] if method == "rtlstm" else [(method, None)]
        else:
            entries.append((getattr(method, "__name__", type(method).__name__), method))
    return entries


class _Judge:
    """Runs methods over one recording and scores them on the same rows."""

    def __init__(
        self, recording: Recording, setting: Setting, start: int, scale: Array | None
    ) -> None:
        self.recording, self.setting, self.start = recording, setting, start
        places = list(setting.targets)
        self.truth = np.where(np.isfinite(recording.rows), recording.rows, np.nan)[:, places]
        filled = recording.filled().rows[:, places]
        self.scale = scoring.scales(self.truth, start) if scale is None else np.asarray(scale)
        self.usual = np.abs(np.diff(filled[:start], axis=0)).mean(axis=0) / self.scale
        self.naive = self._errors(filled)
        self.ours: Array | None = None

    def _errors(self, forecasts: Array) -> Array:
        horizon = self.setting.horizon
        return scoring.errors(self.truth, forecasts, horizon, self.start, self.scale)

    def judge(self, name: str, maker: Any, refit: int, limit: float) -> Result:
        """Run and score one method; whatever it raises becomes its result's ``failure``."""
        row = METHODS.get(name.split(",")[0])
        what = row.what if row else "your own"
        result = Result(name, what, device=row.device if row else "")
        try:
            method = self._make(row, maker, refit)
            run = follow(method, self.recording, len(self.setting.targets), limit)
            self._score(result, run)
        except ImportError as error:
            library = row.library if row else ""
            result.failure = f"needs {library or error.name}: pip install rtlstm[compare]"
        except TooSlow as error:
            result.failure = str(error)
        except Exception as error:  # a library may raise anything; the other methods go on
            result.failure = f"failed: {type(error).__name__}: {error}"[:200]
        return result

    def _make(self, row: Any, maker: Any, refit: int) -> Any:
        """The method of a row of the table (maker: a rule of ours), or a user's class."""
        if row is None:
            made, setting = maker, self.setting
        else:
            made = row.load()
            setting = replace(self.setting, rule=maker) if maker else self.setting
        batch = isinstance(made, type) and issubclass(made, Batch)
        return made(setting, refit) if batch else made(setting)

    def _score(self, result: Result, run: Run) -> None:
        off = self._errors(run.forecasts)
        if not np.isfinite(off[np.isfinite(self.naive)]).all():
            raise ValueError("some of its forecasts are not finite")
        bounds = None
        if run.lower is not None and run.upper is not None:
            bounds = self._errors(run.lower), self._errors(run.upper)
        result.scores = scoring.score(off, self.naive, self.usual, bounds)
        if self.ours is None:
            self.ours = result.scores.losses
        else:
            block = max(self.setting.season, math.isqrt(len(off)))
            result.difference = scoring.difference(result.scores.losses, self.ours, block)
        rows = len(self.recording)
        result.learn_us = 1e6 * run.learn_seconds / rows
        result.forecast_us = 1e6 * run.forecast_seconds / rows
        result.memory, result.notes = run.memory, run.notes


def _line(result: Result) -> str:
    if result.scores is None:
        return f"{result.name}: {result.failure}"
    spent = result.learn_us + result.forecast_us
    return f"{result.name}: MSE {result.scores.mse:.4g}, {spent:,.0f} µs a row"


__all__ = ["METHODS", "Batch", "Comparison", "Recording", "Result", "Setting", "compare"]
