"""Forecaster: forecasts columns of a stream, with bounds, and learns from every row."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from rtlstm.errors import SampleError
from rtlstm.inputs.frames import frame_of
from rtlstm.inputs.records import as_batch, as_row, as_time, time_of
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import packing
from rtlstm.layouts import ranges
from rtlstm.layouts.arena import ArrayLayout
from rtlstm.layouts.forecaster import ForecasterSpec, lay_out, prepare
from rtlstm.layouts.ranges import Legal
from rtlstm.models import embedded
from rtlstm.models import initialize as initial
from rtlstm.models.arguments import RowOptions, as_horizons, as_names, as_row_options
from rtlstm.models.base import Model
from rtlstm.models.rows import RowsKernel
from rtlstm.parts import is_finite_number
from rtlstm.spec import LSTM, Layer
from rtlstm.training import Rule, rule_of

Array = np.ndarray[Any, Any]
LAYERS = (LSTM(32),)
ROWS_A_CALL = 16  # of a kernel, between which an interrupt is heard


class Forecast(NamedTuple):
    """Forecasts for the rows that follow; arrays (horizons, targets) in raw units."""

    values: Array
    lower: Array
    upper: Array
    anomaly: float
    """Share of this stream's normal rows that are less odd than the row just seen, [0, 1].

    It is the score of :class:`rtlstm.Detector` with its defaults; see kernels/tasks/anomaly.py.
    """


class Forecaster(Model):
    """Forecasts columns of a stream and learns from every row, without tuning.

    ``columns``: names of the values in a row. ``targets``: the columns to forecast (None: all).
    ``horizon``: n forecasts the next n rows, a sequence forecasts the rows that far ahead.
    ``lags``: past rows of its own that each target's readout sees besides the last one. ``layers``:
    recurrent layers of the network inside. ``rule``: its learning rule. ``coverage``: the share of
    truths that the bounds shall hold.

    Further options, by name: ``missing="forecast"``: what replaces a missing value: "forecast" the
    value that was forecast, "hold" the last one; or "skip" the row. ``times="accept"``: what
    happens to a row whose time is not after the last one's: "accept", "drop" or "raise".
    ``missing_values=()``: numbers that stand for a missing value, such as -9999. ``point="mean"``:
    what a forecast is of what may come, its "mean", best by squared error, or its "median", best by
    absolute error.

    The model is the last value plus a change that is linear in lags, season, calendar and the
    output of the network; a forecast mixes it with simple rules, such as running means, by what
    each has lost so far (kernels/tasks/mixing.py). The readout learns by recursive least squares,
    each horizon when its truth comes (kernels/tasks/rls.py, forecast.py); the network learns by
    gradient through the readout of the shortest horizon, on a trajectory that lags behind by that
    horizon. Raises SpecError for arguments that make no sense, LimitError above 4 GiB.
    """

    kind = "forecaster"
    spec: ForecasterSpec

    def __init__(
        self,
        columns: Sequence[str],
        targets: Sequence[str] | None = None,
        horizon: int | Sequence[int] = 1,
        lags: int = 29,
        layers: Layer | Sequence[Layer] = LAYERS,
        rule: str | Rule = "truncated",
        seed: int = 0,
        coverage: float = 0.9,
        **options: Unpack[RowOptions],
    ) -> None:
        names = as_names("columns", columns)
        spec = ForecasterSpec(
            names,
            names if targets is None else as_names("targets", targets),
            as_horizons(horizon),
            lags,
            embedded.as_layers(layers),
            rule_of(rule),
            seed,
            float(coverage) if is_finite_number(coverage) else coverage,
            **as_row_options(Forecaster, options),
        )
        self._build(spec)
        initial.fill(self.network.spec, self.network.parameters)

    def _build(self, spec: ForecasterSpec) -> None:
        plan = lay_out(spec)
        fewer = "fewer targets, horizons or units"
        self.network, arena = embedded.embed_learner(self.kind, plan.learner, plan.arena, fewer)
        self.spec, self._lock = spec, self.network._lock
        self._arena, self._plan, self._net = arena, plan.plan, plan.learner.plan
        self._saved, self._layout = plan.arena.saved, plan
        prepare(plan, arena.f, arena.d, arena.q)
        self._rows = RowsKernel(spec, self._net, self._plan, arena)
        self._shape = (3, len(spec.horizons), len(spec.targets))
        self._counts = arena.q[self._plan[k.COUNTS] :][: k.COUNTS_LEN]
        self._clock = arena.d[self._plan[k.CLOCK] :][: k.CLOCK_LEN]

    @classmethod
    def from_spec(cls, spec: ForecasterSpec) -> Forecaster:
        """Build the forecaster as specified, with the network's weights zero, for loading into."""
        forecaster = cls.__new__(cls)
        forecaster._build(spec)
        return forecaster

    @classmethod
    def saved_arrays(cls, spec: ForecasterSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        return lay_out(spec).arena.saved, spec.learner.network.dtype

    def _legal(self) -> Legal:
        return ranges.forecaster(self._layout)

    # ------------------------------------------------------------------ rows
    def update(self, row: Any, time: Any = None, learn: bool = True) -> Forecast:
        """Learn from a row and forecast the rows that follow.

        row: a mapping from column to number, or numbers in the order of the columns; NaN, infinite,
        None or absent means missing, and unknown fields are counted and ignored. time: datetime
        (naive: UTC), datetime64 or epoch seconds. learn=False freezes weights, least squares,
        statistics and bounds; states, lags and the running metrics move. A row that is skipped or
        dropped by policy is counted and returns the forecasts made last.

        Raises SampleError for an invalid row or time, or by policy; nothing has changed then.
        """
        values, unknown = as_row(row, self.spec.columns)
        seconds = np.array([as_time(time_of(row, time))])
        out = np.zeros(self._shape)
        with self._lock:
            self._finish()
            self._refuse_late(seconds)
            self._take((values, seconds, out, out), (0, 1), bool(learn), unknown)
            return Forecast(out[0], out[1], out[2], float(self._clock[k.ANOMALY]))

    def run(self, rows: Any, times: Any = None, learn: bool = True, as_frame: bool = False) -> Any:
        """Forecast after each of rows (T, columns); returns (T, horizons, targets).

        With one column its values (T,) will do, also as a series. A table of pandas, Polars or
        Arrow is read by the names of its columns, and its time is its index of datetimes, or a
        column of them; ``times`` may name the column. ``as_frame`` returns such a table, a column
        ``target+horizon`` for each forecast.

        Equal to T calls of :meth:`update`, bit for bit. Rows and times are checked first:
        SampleError refuses the whole call, and nothing has changed. Ctrl-C is heard after every
        few rows, all of which have been taken in then.
        """
        table, seconds = as_batch(rows, times, self.spec.columns)
        frame = frame_of(rows)
        if as_frame and frame is None:
            raise SampleError("as_frame is for rows that come as a table; nothing was changed")
        forecasts = np.empty((len(table), *self._shape[1:]))
        arrays = table, seconds, np.zeros(self._shape), forecasts
        with self._lock:
            self._finish()
            self._refuse_late(seconds)
            for t in range(0, len(table), ROWS_A_CALL):
                self._take(arrays, (t, min(ROWS_A_CALL, len(table) - t)), bool(learn))
        if frame is not None and as_frame:
            names = [f"{target}+{h}" for h in self.horizons for target in self.targets]
            return frame.like(names, forecasts.reshape(len(forecasts), -1))
        return forecasts

    def _take(
        self,
        arrays: tuple[Array, Array, Array, Array],
        which: tuple[int, int],
        learn: bool,
        unknown: int = 0,
    ) -> None:
        """Take in rows; after an interrupt all of them have been taken, or none was begun.

        arrays: rows (T, columns), times (T,), room for the last forecasts and bounds (3, horizons,
        targets), and for every row's forecasts (T, horizons, targets). which: the first, how many.
        """
        self._whole(self._rows.call(arrays, which, learn, unknown))
        self._heed()

    def _refuse_late(self, seconds: Array) -> None:
        """Raise SampleError if rows come at times (T,) at which they must not."""
        if self.spec.times != "raise":
            return
        known = np.concatenate([self._clock[k.TIME : k.TIME + 1], seconds])
        known = known[~np.isnan(known)]
        late = np.flatnonzero(np.diff(known) <= 0.0)
        if late.size:
            before, after = known[late[0]], known[late[0] + 1]
            raise SampleError(
                f"a row's time must come after the last one's, got {after} after {before};"
                " nothing was changed"
            )

    # ------------------------------------------------------------------ what it holds
    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values in a row."""
        return self.spec.columns

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns that are forecast."""
        return self.spec.targets

    @property
    def horizons(self) -> tuple[int, ...]:
        """How many rows ahead each forecast is, ascending."""
        return self.spec.horizons

    @property
    def rows(self) -> int:
        """Number of rows seen so far; a row that was interrupted is completed first."""
        with self._lock:
            self._finish()
        return int(self._counts[k.TAKEN])

    @property
    def season(self) -> int:
        """Rows of a season, from the clock or found in the stream; 0 if there is none."""
        return int(self._arena.q[self._plan[k.COUNTS] + k.SEASON])

    @property
    def residual(self) -> Array:
        """Error of the forecast of the last row over its robust sigma (targets,); a copy."""
        return self._arena.view(self._saved["residual"]).copy()

    @property
    def covariance(self) -> Array:
        """Covariance of the readout weights (targets, regressors, regressors), noise 1."""
        plan, f, d = self._plan, self._arena.f.copy(), self._arena.d
        T, n = int(plan[k.TARGETS]), int(plan[k.WIDTH])
        covariance = Kernels("covariance", plan, f, d.copy())
        stored = f[plan[k.COVARIANCE] :][: T * packing.packed(n)].reshape(T, -1)
        for j in range(T):
            covariance.settle(j)
            stored[j] *= d[plan[k.CSCALE] + j]
        size = int(plan[k.REGRESSORS])
        return np.array([packing.unpacked(P, n)[:size, :size] for P in stored])

    @property
    def metrics(self) -> dict[str, Array]:
        """Running scores, each (horizons, targets), NaN before the first truth.

        "count", "mse", "mae"; "persistence_mse" and "persistence_mae" of repeating the last value,
        on the same rows; "skill" = 1 - mse / persistence_mse; "coverage" of the bounds.
        """
        names = {
            "mse": k.SQUARES,
            "mae": k.ABSOLUTE,
            "persistence_mse": k.NAIVE_SQUARES,
            "persistence_mae": k.NAIVE_ABSOLUTE,
        }
        with self._lock, np.errstate(invalid="ignore", divide="ignore"):
            pairs = self._arena.view(self._saved["forecast.statistics"])
            hidden = int(self._plan[k.HIDDEN_HORIZONS])
            grid = pairs.reshape(len(pairs), -1, len(self.targets))[:, hidden:]
            scores = {name: grid[at] / grid[k.COUNT] for name, at in names.items()}
            scores["skill"] = 1.0 - scores["mse"] / scores["persistence_mse"]
            scores["mae_skill"] = 1.0 - scores["mae"] / scores["persistence_mae"]
            scores["coverage"] = grid[k.COVERED] / grid[k.BOUND_COUNT]
            return {"count": grid[k.COUNT].copy(), **scores}

    def health(self) -> dict[str, int]:
        """Counts since construction: rows, missing and refused values by reason, repairs."""
        q, counts = self._arena.q, self._plan[k.COUNTS]
        names = {
            "rows": k.TAKEN,
            "rows_learned": k.LEARNED,
            "missing_cells": k.MISSING_CELLS,
            "faulty_cells": k.SPIKES,
            "sentinel_cells": k.SENTINELS,
            "unknown_fields": k.UNKNOWN_FIELDS,
            "rows_skipped": k.SKIPPED_ROWS,
            "times_dropped": k.DROPPED_TIMES,
            "times_accepted": k.ACCEPTED_TIMES,
            "season_changes": k.SEASON_CHANGES,
            "covariance_resets": k.RESETS,
            "network_resets": k.NETWORK_RESETS,
        }
        of_network = {
            "updates": p.Q_UPDATES,
            "skipped_updates": p.Q_SKIPPED,
            "trace_resets": p.Q_RESETS,
        }
        return {
            **{name: int(q[counts + at]) for name, at in names.items()},
            **{name: int(q[at]) for name, at in of_network.items()},
        }

    # ------------------------------------------------------------------ seeing it
    def _facts(self) -> dict[str, str]:
        layers = ", ".join(f"{type(la).__name__}({la.units})" for la in self.spec.layers)
        skill = self.metrics["skill"]
        known = skill[np.isfinite(skill)]
        return {
            "columns": str(len(self.columns)),
            "targets": str(len(self.targets)),
            "horizons": _brief(self.horizons),
            "layers": f"[{layers}], rule {self.spec.rule.name!r}",
            "bytes": str(self.memory),
            "rows seen": str(self.rows),
            "season": f"{self.season} rows" if self.season else "none found",
            "skill": f"{known.mean():.1%}" if known.size else "unknown yet",
        }

    def __repr__(self) -> str:
        return f"Forecaster({', '.join(f'{name}: {fact}' for name, fact in self._facts().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(fact)}</td></tr>"
            for name, fact in self._facts().items()
        )
        return f"<table><caption>Forecaster</caption>{rows}</table>"


def _brief(horizons: tuple[int, ...]) -> str:
    if len(horizons) > 2 and horizons == tuple(range(horizons[0], horizons[-1] + 1)):
        return f"{horizons[0]} to {horizons[-1]}"
    return ", ".join(map(str, horizons))


__all__ = ["Forecast", "Forecaster", "ForecasterSpec"]
