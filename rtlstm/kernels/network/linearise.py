"""The linearisation of every cell, and the backward pass through one step of a stack.

Per layer, cell by cell, with the reads of c through peepholes held constant:

    kappa_g = dc/da_g for the groups g that act on the cell     phi = dc/dc'
    yo = dy/da_o                                                yc  = dy/dc

    LSTM: kappa_i = z i(1-i)  [coupled: (z - c') i(1-i)]   kappa_f = c' f(1-f)   kappa_z = i g'
          phi = f      yo = h(c) o(1-o)      yc = o h'(c)
    GRU (c is y): kappa_n = (1-z)(1-n²)   kappa_r = kappa_n a_nh r(1-r)   kappa_z = (y'-n) z(1-z)
          kappa_nh = kappa_n r            phi = z
    RNN (c is y): kappa_a = g'            phi = 0

Peepholes add their paths in the backward pass (unless cut), gates that feed back their slopes.
That, the frame and the weights are all that a learning rule knows of a cell.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.network.forward import add_peephole, layer_at, squash_slope_with, weight_columns


@kernel
def linearise(plan, f, fr):
    """The linearisation of every layer, from the frame into the frame; `forward` came before."""
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        if plan[at + p.CELL] == p.LSTM:
            linearise_lstm(plan, at, f, fr)
        elif plan[at + p.CELL] == p.GRU:
            linearise_gru(plan, at, f, fr)
        else:
            kappa = fr + plan[at + p.F_KAPPA]
            squash_slope_with(plan, at, f, p.G_KIND, p.G_CONST, kappa, fr + plan[at + p.F_Y])
            v.fill(f, fr + plan[at + p.F_PHI], 0.0, plan[at + p.NP])


@kernel
def gate_kappa(plan, at, f, fr, group, act, other):
    """kappa = other * s(1 - s) for the gate s = act, and its slope if it feeds back."""
    n = plan[at + p.NP]
    kappa = fr + plan[at + p.F_KAPPA] + group * n
    slope = plan[at + p.GROUP_BACK + group]
    for j in range(n):
        f[kappa + j] = f[act + j] * (1.0 - f[act + j]) * f[other + j]
    if slope >= 0:
        gate_slope(plan, at, f, fr, slope, act)


@kernel
def gate_slope(plan, at, f, fr, gate, act):
    """s(1 - s) of a gate that feeds back, one value a memory block."""
    slope, size = fr + plan[at + p.F_SLOPE] + gate * plan[at + p.NBP], plan[at + p.S]
    for b in range(plan[at + p.NB]):
        s = f[act + b * size]
        f[slope + b] = s * (1.0 - s)


@kernel
def linearise_lstm(plan, at, f, fr):
    """kappa, phi, yc, yo and slopes of an LSTM layer."""
    n, cp, z = plan[at + p.NP], fr + plan[at + p.F_CP], fr + plan[at + p.F_Z]
    i, forget, o = fr + plan[at + p.F_I], fr + plan[at + p.F_F], fr + plan[at + p.F_O]
    kappa, phi = fr + plan[at + p.F_KAPPA], fr + plan[at + p.F_PHI]
    hc, yc, yo = fr + plan[at + p.F_HC], fr + plan[at + p.F_YC], fr + plan[at + p.F_YO]
    v.copy(f, phi, f, forget, n)
    if plan[at + p.G_I] >= 0:
        gate_kappa(plan, at, f, fr, plan[at + p.G_I], i, z)
        if plan[at + p.COUPLED]:
            k = kappa + plan[at + p.G_I] * n
            for j in range(n):
                f[k + j] -= f[i + j] * (1.0 - f[i + j]) * f[cp + j]
    if plan[at + p.G_F] >= 0:
        gate_kappa(plan, at, f, fr, plan[at + p.G_F], forget, cp)
    k = kappa + plan[at + p.G_Z] * n
    squash_slope_with(plan, at, f, p.G_KIND, p.G_CONST, k, z)
    v.mul(f, k, k, i, n)
    squash_slope_with(plan, at, f, p.H_KIND, p.H_CONST, yc, hc)
    if plan[at + p.O_COL] >= 0:
        v.mul(f, yc, yc, o, n)
        for j in range(n):
            f[yo + j] = f[hc + j] * f[o + j] * (1.0 - f[o + j])
        if plan[at + p.O_BACK] >= 0:
            gate_slope(plan, at, f, fr, plan[at + p.O_BACK], o)


@kernel
def linearise_gru(plan, at, f, fr):
    """kappa of the groups n, r, z, nh and phi of a GRU layer."""
    width, last = plan[at + p.NP], fr + plan[at + p.F_CP]
    r, z, n = fr + plan[at + p.F_I], fr + plan[at + p.F_F], fr + plan[at + p.F_Z]
    hidden = fr + plan[at + p.F_A] + plan[at + p.GROUP_COL + 3]
    k = fr + plan[at + p.F_KAPPA]
    v.copy(f, fr + plan[at + p.F_PHI], f, z, width)
    for j in range(width):
        kn = (1.0 - f[z + j]) * (1.0 - f[n + j] * f[n + j])
        f[k + j] = kn
        f[k + width + j] = kn * f[hidden + j] * f[r + j] * (1.0 - f[r + j])
        f[k + 2 * width + j] = (f[last + j] - f[n + j]) * f[z + j] * (1.0 - f[z + j])
        f[k + 3 * width + j] = kn * f[r + j]


# ---------------------------------------------------------------- backward through one step
@kernel
def backward(plan, w, f, fr, adjoint, wk, cut):
    """From dL/d(PRE) in work and dL/d(new state) in `adjoint` to dL/da of every layer and dL/d(old
    state), which replaces the new one. cut = 1 stops at every read of a cell through a peephole.
    """
    top = layer_at(plan[p.LAYERS] - 1)
    head_backward(plan, w, f, fr, wk, top)
    for number in range(plan[p.LAYERS]):
        at = layer_at(plan[p.LAYERS] - 1 - number)
        through_path(plan, at, f, fr, wk)
        through_cell(plan, at, w, f, fr, adjoint, wk, cut)
        through_state(plan, at, w, f, fr, adjoint, wk)
        if number < plan[p.LAYERS] - 1:
            below = at - p.LAYER_LEN
            through_input(plan, at, w, f, wk, wk + plan[below + p.W_DY])
            v.copy(f, wk + plan[below + p.W_DY], f, wk + plan[at + p.W_DX], plan[at + p.M])


@kernel
def head_backward(plan, w, f, fr, wk, top):
    """dL/d(output of the top layer) from dL/d(PRE)."""
    n, error, dy = plan[top + p.NP], wk + plan[p.ERROR], wk + plan[top + p.W_DY]
    v.fill(f, dy, 0.0, n)
    if plan[p.HEAD] == p.NO_HEAD:
        v.copy(f, dy, f, error, plan[p.OUTPUTS])
        return
    units = plan[top + p.N]
    for j in range(plan[p.OUTPUTS]):
        v.axpy(f, dy, f[error + j], w, plan[p.HEAD_W] + j * plan[p.FEATURES_P], n)
    if plan[p.MASK] >= 0:
        v.mul(f, dy, dy, fr + plan[p.MASK], units)
    for j in range(units, n):
        f[dy + j] = 0.0


@kernel
def through_path(plan, at, f, fr, wk):
    """dL/dy, dL/da_t and the direct part of dL/dx from dL/d(what the layer hands on)."""
    n, dy, dx = plan[at + p.N], wk + plan[at + p.W_DY], wk + plan[at + p.W_DX]
    v.fill(f, dx, 0.0, plan[at + p.M])
    if plan[at + p.RESIDUAL]:
        v.copy(f, dx, f, dy, n)
    elif plan[at + p.HIGHWAY]:
        t, y, x = fr + plan[at + p.F_T], fr + plan[at + p.F_Y], fr + plan[at + p.F_U]
        da = wk + plan[at + p.W_DA] + plan[at + p.COL_T]
        for j in range(n):
            d, s = f[dy + j], f[t + j]
            f[da + j] = d * (f[y + j] - f[x + j]) * s * (1.0 - s)
            f[dx + j] = d * (1.0 - s)
            f[dy + j] = d * s


@kernel
def gather_gate(plan, at, f, da, kappa, err):
    """da_b = Σ kappa_j err_j over the cells j of memory block b."""
    if plan[at + p.S] == 1:
        v.mul(f, da, kappa, err, plan[at + p.NP])
        return
    size = plan[at + p.S]
    for b in range(plan[at + p.NB]):
        total = f[da] * 0.0
        for j in range(b * size, (b + 1) * size):
            total += f[kappa + j] * f[err + j]
        f[da + b] = total


@kernel
def add_back(plan, at, f, fr, da, gate, adjoint):
    """da += slope * dL/d(recurrent gate), for a gate that feeds back."""
    if gate >= 0:
        offset = gate * plan[at + p.NBP]
        gates = adjoint + plan[at + p.S_GATES] + offset
        v.mul_add(f, da, fr + plan[at + p.F_SLOPE] + offset, gates, plan[at + p.NBP])


@kernel
def to_cell(plan, at, w, f, dst, peep, da):
    """dst_j += p_j da_b: dL/dc through a peephole of memory block b."""
    size = plan[at + p.S]
    for j in range(plan[at + p.N]):
        f[dst + j] += w[peep + j] * f[da + j // size]


@kernel
def through_cell(plan, at, w, f, fr, adjoint, wk, cut):
    """dL/da of every group, dL/dc, and dL/dc' (into the adjoint) of one layer."""
    n, dy, dc = plan[at + p.NP], wk + plan[at + p.W_DY], wk + plan[at + p.W_DC]
    da, state_c = wk + plan[at + p.W_DA], adjoint + plan[at + p.S_C]
    v.axpy(f, dy, 1.0, f, adjoint + plan[at + p.S_Y], n)
    if plan[at + p.TIED]:
        v.copy(f, dc, f, dy, n)
    else:
        v.copy(f, dc, f, state_c, n)
        v.mul_add(f, dc, dy, fr + plan[at + p.F_YC], n)
    if plan[at + p.O_COL] >= 0:
        da_o = da + plan[at + p.O_COL]
        gather_gate(plan, at, f, da_o, fr + plan[at + p.F_YO], dy)
        add_back(plan, at, f, fr, da_o, plan[at + p.O_BACK], adjoint)
        if plan[at + p.O_PEEP] >= 0 and not cut:
            to_cell(plan, at, w, f, dc, plan[at + p.O_PEEP], da_o)
    if not plan[at + p.TIED]:
        v.mul(f, state_c, dc, fr + plan[at + p.F_PHI], n)
    for group in range(plan[at + p.GROUPS]):
        da_g = da + plan[at + p.GROUP_COL + group]
        kappa = fr + plan[at + p.F_KAPPA] + group * n
        if plan[at + p.GROUP_GATE + group]:
            gather_gate(plan, at, f, da_g, kappa, dc)
            add_back(plan, at, f, fr, da_g, plan[at + p.GROUP_BACK + group], adjoint)
            if plan[at + p.GROUP_PEEP + group] >= 0 and not cut:
                to_cell(plan, at, w, f, state_c, plan[at + p.GROUP_PEEP + group], da_g)
        else:
            v.mul(f, da_g, kappa, dc, n)


@kernel
def through_state(plan, at, w, f, fr, adjoint, wk):
    """dL/dy' and dL/d(gates') from dL/da, into the adjoint; tied cells add phi dL/dc."""
    stride, start = plan[at + p.R], plan[at + p.W]
    y = adjoint + plan[at + p.S_Y]
    if plan[at + p.ROW_Y] >= 0:
        lo, hi = plan[at + p.Y_LO], plan[at + p.Y_HI]
        rows = start + plan[at + p.ROW_Y] * stride + lo
        v.rows_dot(w, rows, stride, f, wk + plan[at + p.W_DA] + lo, hi - lo, y, plan[at + p.N])
    else:
        v.fill(f, y, 0.0, plan[at + p.NP])
    if plan[at + p.TIED]:
        dc, phi = wk + plan[at + p.W_DC], fr + plan[at + p.F_PHI]
        v.mul_add(f, y, dc, phi, plan[at + p.NP])
    for k in range(plan[at + p.BACK]):
        lo, hi = plan[at + p.GATES_LO], plan[at + p.GATES_HI]
        row = plan[at + p.ROW_GATES] + k * plan[at + p.NB]
        gates = adjoint + plan[at + p.S_GATES] + k * plan[at + p.NBP]
        da = wk + plan[at + p.W_DA] + lo
        v.rows_dot(w, start + row * stride + lo, stride, f, da, hi - lo, gates, plan[at + p.NB])


@kernel
def through_input(plan, at, w, f, wk, out):
    """dL/dx into work: what came past the cell, and W_x dL/da (out: (M) scratch)."""
    lo, hi, stride = plan[at + p.X_LO], plan[at + p.X_HI], plan[at + p.R]
    da, dx = wk + plan[at + p.W_DA] + lo, wk + plan[at + p.W_DX]
    v.rows_dot(w, plan[at + p.W] + lo, stride, f, da, hi - lo, out, plan[at + p.M])
    for k in range(plan[at + p.M]):
        f[dx + k] += f[out + k]


@kernel
def add_gradient(plan, at, f, fr, wk, g):
    """Add u ⊗ dL/da and the peepholes' dL/da c to a gradient at f[g], laid out from THETA on."""
    da, start, size = wk + plan[at + p.W_DA], g - plan[p.THETA], plan[at + p.S]
    for k in range(plan[at + p.K]):
        lo, hi = weight_columns(plan, at, k)
        row = start + plan[at + p.W] + k * plan[at + p.R] + lo
        v.axpy(f, row, f[fr + plan[at + p.F_U] + k], f, da + lo, hi - lo)
    for group in range(-1, plan[at + p.GROUPS]):
        peep = plan[at + p.O_PEEP] if group < 0 else plan[at + p.GROUP_PEEP + group]
        if peep < 0:
            continue
        da_g = da + (plan[at + p.O_COL] if group < 0 else plan[at + p.GROUP_COL + group])
        seen = fr + plan[at + (p.F_C if group < 0 else p.F_CP)]
        for j in range(plan[at + p.N]):
            f[start + peep + j] += f[da_g + j // size] * f[seen + j]


@kernel
def backward_paths(plan, f, fr, wk):
    """dL/dy of every layer with all states held: through the head and the paths around cells."""
    top = layer_at(plan[p.LAYERS] - 1)
    head_backward(plan, f, f, fr, wk, top)
    for number in range(plan[p.LAYERS]):
        at = layer_at(plan[p.LAYERS] - 1 - number)
        v.fill(f, wk + plan[at + p.W_DA], 0.0, plan[at + p.R])
        through_path(plan, at, f, fr, wk)
        if number < plan[p.LAYERS] - 1:
            dy = wk + plan[at - p.LAYER_LEN + p.W_DY]
            v.copy(f, dy, f, wk + plan[at + p.W_DX], plan[at + p.M])


# ---------------------------------------------------------------- forward through one step
@kernel
def tangent(plan, at, w, f, fr, da, dcp, out):
    """The change of a layer's state with changes da (R) of its pre-activations and dcp (NP) of c'.

    `out` is the base of a state, of which this layer's part is written; da is used up.
    """
    n, dc = plan[at + p.NP], plan[p.TANGENT]
    v.mul(f, dc, fr + plan[at + p.F_PHI], dcp, n)
    for group in range(plan[at + p.GROUPS]):
        da_g = da + plan[at + p.GROUP_COL + group]
        kappa = fr + plan[at + p.F_KAPPA] + group * n
        if plan[at + p.GROUP_PEEP + group] >= 0:
            add_peephole(plan, at, w, f, da_g, plan[at + p.GROUP_PEEP + group], dcp)
        add_spread(plan, at, f, dc, kappa, da_g, plan[at + p.GROUP_GATE + group])
        tangent_gate(plan, at, f, fr, out, plan[at + p.GROUP_BACK + group], da_g)
    v.copy(f, out + plan[at + p.S_C], f, dc, n)
    if plan[at + p.TIED]:
        return
    dy = out + plan[at + p.S_Y]
    v.mul(f, dy, fr + plan[at + p.F_YC], dc, n)
    if plan[at + p.O_COL] >= 0:
        da_o = da + plan[at + p.O_COL]
        if plan[at + p.O_PEEP] >= 0:
            add_peephole(plan, at, w, f, da_o, plan[at + p.O_PEEP], dc)
        add_spread(plan, at, f, dy, fr + plan[at + p.F_YO], da_o, 1)
        tangent_gate(plan, at, f, fr, out, plan[at + p.O_BACK], da_o)


@kernel
def add_spread(plan, at, f, dst, slope, da, gate):
    """dst_j += slope_j da_j, one da a memory block where it is a gate's."""
    if plan[at + p.S] == 1 or not gate:
        v.mul_add(f, dst, slope, da, plan[at + p.NP])
        return
    for j in range(plan[at + p.N]):
        f[dst + j] += f[slope + j] * f[da + j // plan[at + p.S]]


@kernel
def tangent_gate(plan, at, f, fr, out, gate, da):
    """The change of a recurrent gate, for one that feeds back."""
    if gate >= 0:
        offset = gate * plan[at + p.NBP]
        gate, slope = out + plan[at + p.S_GATES] + offset, fr + plan[at + p.F_SLOPE] + offset
        v.mul(f, gate, slope, da, plan[at + p.NBP])


@kernel
def tangent_stack(plan, f, fr, change, out):
    """The change of the new state with a change of the old one, all layers: out = J change.

    `change` and `out` are bases of states; ROW, TANGENT and SOURCES are scratch.
    """
    du, dx = plan[p.SOURCES], plan[p.TANGENT] + 2 * plan[p.TANGENT_LEN]
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        v.fill(f, du, 0.0, plan[at + p.K])
        if layer > 0:
            v.copy(f, du, f, dx, plan[at + p.M])
        if plan[at + p.ROW_Y] >= 0:
            v.copy(f, du + plan[at + p.ROW_Y], f, change + plan[at + p.S_Y], plan[at + p.N])
        for k in range(plan[at + p.BACK]):
            row = du + plan[at + p.ROW_GATES] + k * plan[at + p.NB]
            gates = change + plan[at + p.S_GATES] + k * plan[at + p.NBP]
            v.copy(f, row, f, gates, plan[at + p.NB])
        v.matvec(f, plan[at + p.W], f, du, plan[p.ROW], plan[at + p.K], plan[at + p.R])
        tangent(plan, at, f, f, fr, plan[p.ROW], change + plan[at + p.S_C], out)
        tangent_path(plan, at, f, fr, du, out + plan[at + p.S_Y], dx)


@kernel
def tangent_path(plan, at, f, fr, du, dy, dx):
    """The change of what a layer hands on: dy, dy + dx, or t dy + (1 - t) dx + (y - x) dt."""
    n = plan[at + p.N]
    v.copy(f, dx, f, dy, n)
    if plan[at + p.RESIDUAL]:
        for j in range(n):
            f[dx + j] += f[du + j]
    elif plan[at + p.HIGHWAY]:
        t, y, x = fr + plan[at + p.F_T], fr + plan[at + p.F_Y], fr + plan[at + p.F_U]
        da = plan[p.ROW] + plan[at + p.COL_T]
        for j in range(n):
            s = f[t + j]
            dt = s * (1.0 - s) * f[da + j]
            f[dx + j] = s * f[dy + j] + (1.0 - s) * f[du + j] + (f[y + j] - f[x + j]) * dt
