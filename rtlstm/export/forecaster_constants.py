"""What stands still in a forecaster that no longer learns, as plain arrays for its graph.

Read once from the block of a :class:`rtlstm.Forecaster`: thresholds, scales, readout weights, the
tables of calendar and bounds. Equations as in kernels.tasks.scaling, features, calendar and
conformal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.export.graph import Array
from rtlstm.export.stream_constants import StreamConstants
from rtlstm.kernels.tasks import calendar, conformal, mixing
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.models.forecaster import Forecaster

HARMONIC = np.arange(1, k.HARMONICS + 1)


class ForecasterConstants(StreamConstants):
    """The constants of a forecaster; C columns, T targets, H horizons, D regressors."""

    def __init__(self, model: Forecaster) -> None:
        plan = model._plan
        super().__init__(plan, model._arena.d, model._arena.q, model.spec.missing_values)
        self.model = model
        self.T, self.H = int(plan[k.TARGETS]), int(plan[k.HORIZONS])
        self.lags, self.rows = int(plan[k.LAGS]), int(plan[k.ROWS])
        self.horizons = np.array(model.spec.all_horizons)
        self.hidden = int(plan[k.HIDDEN_HORIZONS])
        self.targets = plan[plan[k.TARGET_AT] :][: self.T].astype(np.int64)
        slots = self.integers(k.SLOT, k.SEASONAL)
        self.slots = [(place, int(back)) for place, back in enumerate(slots) if back >= 0]
        self.season, self.by_clock = (int(self.count(w)) for w in (k.SEASON, k.BY_CLOCK))
        counts = {k.SEASON_BEFORE: k.SEASON, k.LONG_SEASON_BEFORE: k.LONG_SEASON}
        seasons = {expert: int(self.count(which)) for expert, which in counts.items()}
        self.seasons = {e: rows for e, rows in seasons.items() if 0 < rows <= k.WINDOW}
        self.seasonal = k.SEASON_BEFORE in self.seasons
        self.apart = self.season // mixing.LASTING
        self.peaks = [rows for rows in self.seasons.values() if rows + self.apart < k.WINDOW]
        backs = [self.season - 1] if self.seasonal else []
        backs += [rows + self.apart for rows in self.peaks]
        backs += [lag + 1 for lag, _ in self.picks()]
        backs += [2, *(back for _, back in self.slots)]
        backs += [back for rows in self.seasons.values() for back in self.season_backs(rows)]
        self.depth = max(self.lags, self.rows, *(back + 1 for back in backs))
        self.taken = int(self.count(k.TAKEN))

    # ------------------------------------------------------------------ reading the block
    def pair(self, which: int) -> Array:
        """(H, T) a statistic of every horizon and target."""
        found: Array = self.values(k.PAIR, k.PAIR_FIELDS, self.H, self.T)[which]
        return found

    # ------------------------------------------------------------------ the readout
    def readout(self) -> Array:
        """(T, VARIANTS · H, D) in units of the target: weights times the slow sigma of changes."""
        D = int(self.plan[k.WIDTH])
        scale = np.sqrt(self.column(k.SLOW2))[self.targets]
        return self.values(k.WEIGHTS, self.T, k.VARIANTS * self.H, D) * scale[:, None, None]

    def own_weights(self) -> Array:
        """(T, own regressors, VARIANTS · H): last value, lags, seasonal lags in use, products."""
        w, at = self.readout(), self.plan
        seasonal = [int(at[k.AT_SEASONAL]) + place for place, _ in self.slots]
        factors = range(4) if self.seasonal else (0, 1, 3)
        first = [int(at[k.AT_PRODUCTS]) + factor * k.HOURLY for factor in factors]
        products = [start + m for start in first for m in range(k.HOURLY)]
        return w[:, :, [*range(self.lags), *seasonal, *products]].transpose(0, 2, 1)

    def per_sigma(self) -> Array:
        """(C,) what makes a difference of standardised values one in sigmas of changes."""
        scale: Array = np.sqrt(self.column(k.VAR)) * self.inverse_root(k.SLOW2)
        return scale

    def shared_weights(self) -> tuple[Array, Array]:
        """((regressors of all targets, outputs), (outputs,) bias); outputs: VARIANTS · H · T.

        Rows: every column at lag 0, 1 … (a target's own has weight 0), the rows that any target
        has chosen, calendar, stretch, hidden.
        """
        w, at = self.readout(), self.plan
        H = w.shape[1]
        others = np.zeros((self.rows, self.C, H, self.T))
        for i, j in enumerate(self.targets):
            mine = w[i, :, at[k.AT_OTHERS] : at[k.AT_PICKED]]
            theirs = [c for c in range(self.C) if c != j]
            others[..., i][:, theirs] = mine.reshape(H, self.rows, self.C - 1).transpose(1, 2, 0)
        rest = [
            w[:, :, at[first] : at[last]].transpose(2, 1, 0)
            for first, last in (
                (k.AT_CALENDAR, k.AT_PRODUCTS),
                (k.AT_STEP, k.AT_HIDDEN),
                (k.AT_HIDDEN, k.AT_BIAS),
            )
        ]
        rows = [others.reshape(-1, H, self.T), self.picked_weights(w), *rest]
        full = np.concatenate(rows).reshape(-1, H * self.T)
        return full, w[:, :, at[k.AT_BIAS]].T.reshape(-1)

    def chosen(self) -> Array:
        """(T, PAIRS) lag * C + column of the rows that each target has chosen, -1 if unused."""
        pairs = int(self.plan[k.PAIRS])
        return self.integers(k.PICK, self.T * pairs).reshape(self.T, pairs)

    def picks(self) -> list[tuple[int, int]]:
        """(lag, column) of all rows that any target has chosen, each once, in order."""
        chosen = np.unique(self.chosen())
        firsts = [divmod(int(pick), self.C) for pick in chosen if pick >= 0]
        return sorted({(lag + more, c) for lag, c in firsts for more in range(2)})

    def picked_weights(self, w: Array) -> Array:
        """(picks, outputs of w, T) weights of the rows in `picks`; w (T, outputs, WIDTH)."""
        places = {pick: at for at, pick in enumerate(self.picks())}
        found = np.zeros((len(places), w.shape[1], self.T))
        for j, mine in enumerate(self.chosen()):
            for i, pick in enumerate(mine):
                lag, c = divmod(int(pick), self.C)
                first = int(self.plan[k.AT_PICKED]) + 2 * i
                for more in range(2 if pick >= 0 else 0):
                    found[places[lag + more, c], :, j] += w[j, :, first + more]
        return found

    def limits(self) -> Array:
        """(VARIANTS · H, T) how far what a readout says may lie from the last value."""
        fast = np.sqrt(self.column(k.FAST2))[self.targets]
        whole = np.maximum(fast, np.sqrt(self.column(k.RMS2))[self.targets])
        far = np.sqrt(self.horizons)[:, None] * self.setting(k.GUARD)
        return np.concatenate([far * fast, far * whole])

    def reach(self) -> Array:
        """(H, T) how far a forecast may lie from the last value."""
        found: Array = np.maximum(self.limits()[: self.H], mixing.SLACK * self.pair(k.REACH))
        return found

    def believed(self) -> Array:
        """(VARIANTS · H, T) what a readout's change counts in the forecast: trust times weight."""
        parts = [self.trust(v) * self.mix()[k.MODEL + v] for v in range(k.VARIANTS)]
        return np.concatenate(parts)

    def trust(self, variant: int) -> Array:
        """(H, T) the share of a readout's change that is believed."""
        squares = (k.SHRINK_SQUARES, k.WHOLE_SHRINK_SQUARES)[variant]
        products = (k.SHRINK_PRODUCTS, k.WHOLE_SHRINK_PRODUCTS)[variant]
        found: Array = np.minimum(self.pair(products) / np.maximum(self.pair(squares), 1e-300), 1.0)
        return found

    # ------------------------------------------------------------------ the other experts
    def mix(self) -> Array:
        """(EXPERTS, H, T) weights of the experts; those that have no season say nothing."""
        weights = np.moveaxis(self.values(k.MIX, self.H, self.T, k.EXPERTS), -1, 0).copy()
        for expert in {k.SEASON_BEFORE, k.LONG_SEASON_BEFORE}.difference(self.seasons):
            weights[expert] = 0.0
        total = weights.sum(axis=0)
        return weights / np.where(total > 0.0, total, 1.0)

    def levels(self) -> tuple[Array, Array]:
        """((T,) mean of each target, (LEVELS - 1, T) smoothed levels less the last value)."""
        found = self.values(k.LEVEL, k.LEVELS + 1, self.T)
        return found[0], found[1:-1] - self.column(k.LAST)[self.targets]

    def level_rates(self) -> Array:
        """(LEVELS - 1, T) rates of the smoothed levels, without learning; 1 before any value."""
        return np.where(self.began(), np.array(mixing.RATES[1:])[:, None], 1.0)

    def began(self) -> Array:
        """(T,) whether levels were learned of each target."""
        found: Array = self.values(k.LEVEL, k.LEVELS + 1, self.T)[-1] > 0.0
        return found

    def season_backs(self, season: int) -> list[int]:
        """How many rows before the last one the last season of the row ahead lies, by horizon."""
        return [int(-h % season) for h in self.horizons]

    # ------------------------------------------------------------------ bounds
    def half_widths(self) -> Array:
        """(BINS, H·T) of the bounds, by place in the season; see
        kernels.tasks.conformal.half_width.
        """
        fast, slow = self.pair(k.BOUND_FAST), self.pair(k.BOUND_SLOW)
        bins = self.values(k.BIN, self.H, self.T, k.BINS)
        known = (fast > 0.0) & (slow > 0.0)
        fast, slow = (np.where(known, scale, 1.0) for scale in (fast, slow))
        usual, shift = slow * np.exp(self.pair(k.BOUND_LOG)), self.pair(k.BOUND_SHIFT)
        width = bins.transpose(2, 0, 1) * usual * (fast / slow) ** conformal.FAST_SHARE
        more = width + usual * np.expm1(np.maximum(shift, 0.0))
        less = width * np.exp(np.minimum(shift, 0.0) * usual / np.maximum(width, 1e-300))
        first = self.limits()[: self.H] * (2.0 / self.setting(k.GUARD))
        found = np.where(known, np.where(shift > 0.0, more, less), first)
        return found.reshape(k.BINS, -1)

    # ------------------------------------------------------------------ the calendar
    @property
    def step(self) -> float:
        """Usual seconds between rows."""
        return float(self.d[self.plan[k.CLOCK] + k.STEP])

    def shown(self) -> Array:
        """(HARMONICS,) 1 for the harmonics that the rows of a turn can show."""
        turn = calendar.DAY / max(self.step, 1e-9) if self.by_clock else float(self.season)
        return (turn >= 2.0 * HARMONIC).astype(np.float64)

    def calendar_table(self) -> Array:
        """(season, CALENDAR) of a season in rows: entry r for the row of count r."""
        table = np.zeros((self.season, k.CALENDAR))
        angle = 2.0 * np.pi * np.outer(np.arange(self.season) / self.season, HARMONIC)
        table[:, 0 : 2 * k.HARMONICS : 2] = np.cos(angle) * self.shown()
        table[:, 1 : 2 * k.HARMONICS : 2] = np.sin(angle) * self.shown()
        return table

    def bin_table(self) -> Array:
        """(season,) the bin of each row of a season in rows."""
        place = np.arange(self.season) / self.season
        return np.minimum((place * k.BINS + conformal.EDGE).astype(np.int64), k.BINS - 1)

    # ------------------------------------------------------------------ what moves
    @property
    def repeats(self) -> bool:
        """Whether some rows are answered, by policy, with the forecast made last."""
        spec = self.model.spec
        return spec.missing == "skip" or (bool(self.by_clock) and spec.times == "drop")

    def window(self) -> Array:
        """(depth - 1, C) standardised rows, the newest first."""
        W = k.WINDOW
        ring = self.values(k.Z, W, self.C)
        return ring[(self.taken - np.arange(1, self.depth)) % W]

    def beyond(self) -> Array:
        """(rows, T) how far values lie beyond what is standardised, the newest first."""
        age = np.arange(1, max(self.peaks))
        values = self.values(k.VALUES, k.WINDOW, self.T)[(self.taken - age) % k.WINDOW]
        mean, scale = (
            found[self.targets] for found in (self.column(k.MEAN), self.inverse_root(k.VAR))
        )
        known = (age <= self.taken)[:, None]
        z = self.window()[: len(age), self.targets]
        return np.where(known, (values - mean) * scale - z, 0.0)

    def last_forecast(self) -> Array:
        """(3, H, T) values, lower, upper as issued last; zeros before the first."""
        out: Array = np.zeros((3, self.H, self.T))
        if self.taken:
            row = (self.taken - 1) % int(self.plan[k.RING]) * int(self.plan[k.RING_ROW])
            issued = self.d[self.plan[k.ISSUED] + row :]
            value, half = (
                issued[self.plan[at] :][: self.H * self.T].reshape(self.H, self.T)
                for at in (k.I_VALUE, k.I_HALF_WIDTH)
            )
            out[0], out[1], out[2] = value, value - half, value + half
        return out[:, self.hidden :]

    def clock(self, which: int) -> float:
        """TIME, STEP, STRETCH or PHASE."""
        return float(self.d[self.plan[k.CLOCK] + which])

    def spec(self) -> dict[str, Any]:
        """The description of the forecaster."""
        return self.model.spec.to_dict()
