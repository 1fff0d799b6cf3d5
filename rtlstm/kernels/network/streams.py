"""One step of many streams that share one set of weights.

Weights are read once for STREAM_GROUP streams (a product of matrices instead of vectors), the rest
of a step runs stream by stream in the kernels of `forward`. Old states stand at `old`, stream after
stream, new ones go to `new`; so a refused step has changed nothing.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native import views
from rtlstm.kernels.native.denormals import flush_denormals, restore_mode
from rtlstm.kernels.network.forward import cell, commit, head, layer_at, layer_inputs, load_input


@kernel
def layer_group(plan, layer, h, w, f, old, frame, count):
    """One layer of `count` streams, from states at `old` into frames at `frame`."""
    at, size, length = layer_at(layer), plan[p.STATE_LEN], plan[p.FRAME_LEN]
    for b in range(count):
        layer_inputs(plan, layer, f, old + b * size, frame + b * length)
    v.matmat(plan, at, h, w, f, frame, length, count)
    for b in range(count):
        cell(plan, at, w, f, frame + b * length)


@kernel
def step(plan, h, w, f, offsets, X, Y, streams):
    """Advance all streams by one step, with denormal numbers taken for 0."""
    mode = flush_denormals()
    status = advance(plan, h, w, f, offsets, X, Y, streams)
    restore_mode(mode)
    return status


@kernel
def advance(plan, h, w, f, offsets, X, Y, streams):
    """X (streams * INPUTS) into Y (streams * OUTPUTS), both flat; states from `old` to `new`.

    offsets: where the states `old` and `new` (streams * STATE_LEN) and the frames of a group lie.
    Returns 0, or 4 * stream + status of the first stream that was refused; `old` is never written.
    """
    m, n, size, length = plan[p.INPUTS], plan[p.OUTPUTS], plan[p.STATE_LEN], plan[p.FRAME_LEN]
    old, new, frame = offsets[0], offsets[1], offsets[2]
    for start in range(0, streams, p.STREAM_GROUP):
        count = min(p.STREAM_GROUP, streams - start)
        for b in range(count):
            x = X[(start + b) * m : (start + b + 1) * m]
            if load_input(plan, f, frame + b * length, x) != p.OK:
                return 4 * (start + b) + p.BAD_INPUT
        for layer in range(plan[p.LAYERS]):
            layer_group(plan, layer, h, w, f, old + start * size, frame, count)
        for b in range(count):
            fr = frame + b * length
            if head(plan, w, f, fr) != p.OK:
                return 4 * (start + b) + p.BAD_OUTPUT
            commit(plan, f, new + (start + b) * size, fr)
            v.copy(Y, (start + b) * n, f, fr + plan[p.OUT], n)
    return p.OK


@kernel
def step_at(at, matrices, numbers, offsets, X, Y, streams):
    """Advance all streams: `step`, as Python calls it, with everything given by address.

    at: a table of plan, h, w and f (see `views`); matrices: the dtype of h; numbers: of all else;
    offsets: three int64.
    """
    ends = views.ints_at(at, 8)
    plan, h = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], matrices)
    w = views.numbers_at(ends[4], ends[5], numbers)
    f = views.numbers_at(ends[6], ends[7], numbers)
    x = views.numbers_at(X, streams * plan[p.INPUTS], numbers)
    y = views.numbers_at(Y, streams * plan[p.OUTPUTS], numbers)
    return step(plan, h, w, f, views.ints_at(offsets, 3), x, y, streams)
