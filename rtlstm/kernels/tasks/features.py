"""What the network and the least squares see of the past: plain gathers from the lag window.

Network input (INPUTS): z of the last row (C), its changes over their slow sigma (C), the calendar
of the row to be forecast, the stretch of the last time step, the residuals of the last forecast
over their sigma (T).

Regressors of target j (D): own lags z_t, z_{t-1} - z_t, … (LAGS); own seasonal lags less z_t
(SEASONAL, 0 where unused); of every other column z_t, z_{t-1} - z_t, … (ROWS each, by row); older
rows of any column that the target has chosen, less z_t (kernels.tasks.selection); the calendar; its
first HOURLY columns times each of four factors (PRODUCTS), so that these count for something else
at each hour: z_t, the last change, z one season before the row to be forecast less z_t (0 without a
season), and the change before the last; the stretch; the output of the network's top layer
(UNITS); 1.
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import selection
from rtlstm.kernels.tasks.scaling import clipped, field, inverse_root

WARM = 100  # rows before the network begins to learn, so that the readout points somewhere
LIMIT = 4.0  # of changes and residuals, in sigmas


@kernel
def last_change(plan, d, j):
    """The last change of column j over its slow sigma, clipped."""
    change = d[field(plan, k.LAST, j)] - d[field(plan, k.BEFORE, j)]
    return clipped(change * inverse_root(d[field(plan, k.SLOW2, j)]), LIMIT)


@kernel
def since_season(plan, d, q, j):
    """z of column j one season before the row to be forecast, less z_t; 0 without a season."""
    back, row = q[plan[k.COUNTS] + k.SEASON] - 1, q[plan[k.COUNTS] + k.TAKEN]
    if back < 0 or back >= k.WINDOW:
        return 0.0
    window, C = k.WINDOW, plan[k.COLUMNS]
    z = plan[k.Z] + j
    return d[z + (row - back) % window * C] - d[z + row % window * C]


@kernel
def earlier_change(plan, d, q, j):
    """The change of column j before the last, over its slow sigma, clipped."""
    row, window, C = q[plan[k.COUNTS] + k.TAKEN], k.WINDOW, plan[k.COLUMNS]
    z = plan[k.Z] + j
    change = d[z + (row - 1) % window * C] - d[z + (row - 2) % window * C]
    scale = math.sqrt(d[field(plan, k.VAR, j)]) * inverse_root(d[field(plan, k.SLOW2, j)])
    return clipped(change * scale, LIMIT)


@kernel
def network_input(plan, f, d, q):
    """The network's input for the row just standardised, into NETWORK_INPUT, and RESIDUAL."""
    C, x = plan[k.COLUMNS], plan[k.NETWORK_INPUT]
    z = plan[k.Z] + q[plan[k.COUNTS] + k.TAKEN] % k.WINDOW * C
    for j in range(C):
        f[x + j] = d[z + j]
        f[x + C + j] = last_change(plan, d, j)
    x += 2 * C
    for i in range(k.CALENDAR):
        f[x + i] = d[plan[k.CAL] + i]
    f[x + k.CALENDAR] = d[plan[k.CLOCK] + k.STRETCH]
    x += k.CALENDAR + 1
    for i in range(plan[k.TARGETS]):
        off = d[plan[k.TARGET_ROW] + i] - d[plan[k.EXPECTED] + i]
        by = d[plan[k.EXPECTED_SIGMA] + i]
        known = not math.isnan(off) and by > 0.0
        d[plan[k.RESIDUAL] + i] = off / by if known else 0.0
        f[x + i] = clipped(d[plan[k.RESIDUAL] + i], LIMIT)


@kernel
def regressors(plan, f, d, q, i, x, hidden):
    """The regressors of target i into d[x] (WIDTH); hidden: the top layer's output in f."""
    C, window, j = plan[k.COLUMNS], k.WINDOW, plan[plan[k.TARGET_AT] + i]
    row, z = q[plan[k.COUNTS] + k.TAKEN], plan[k.Z]
    now = z + row % window * C
    own = d[now + j]
    d[x] = own
    for lag in range(1, plan[k.LAGS]):
        d[x + lag] = d[z + (row - lag) % window * C + j] - own
    at = x + plan[k.AT_SEASONAL]
    for s in range(k.SEASONAL):
        back = q[plan[k.SLOT] + s]
        d[at + s] = d[z + (row - back) % window * C + j] - own if back >= 0 else 0.0
    at = x + plan[k.AT_OTHERS]
    for lag in range(plan[k.ROWS]):
        then = z + (row - lag) % window * C
        for c in range(C):
            if c != j:
                d[at] = d[then + c] - (d[now + c] if lag > 0 else 0.0)
                at += 1
    selection.picked(plan, d, q, i, x + plan[k.AT_PICKED])
    calendar = plan[k.CAL]
    v.copy(d, x + plan[k.AT_CALENDAR], d, calendar, k.CALENDAR)
    at = x + plan[k.AT_PRODUCTS]
    change, season = last_change(plan, d, j), since_season(plan, d, q, j)
    earlier = earlier_change(plan, d, q, j)
    for m in range(k.HOURLY):
        d[at + m] = d[calendar + m] * own
        d[at + k.HOURLY + m] = d[calendar + m] * change
        d[at + 2 * k.HOURLY + m] = d[calendar + m] * season
        d[at + 3 * k.HOURLY + m] = d[calendar + m] * earlier
    d[x + plan[k.AT_STEP]] = d[plan[k.CLOCK] + k.STRETCH]
    for u in range(plan[k.UNITS]):
        d[x + plan[k.AT_HIDDEN] + u] = f[hidden + u]
    d[x + plan[k.AT_BIAS]] = 1.0
