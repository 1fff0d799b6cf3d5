"""The vector primitives: the only loops over units, weights and streams in the kernels.

Every primitive takes 1-D C-contiguous float arrays (float32 or float64, one type a call; several
array arguments may be one array) and int64 element offsets into them, which need not be aligned.
Counts of vector elements are multiples of LANES, since the layout pads units, unless a primitive
says otherwise; counts of rows and streams are arbitrary.  Nothing is checked, nothing is allocated,
NaN and infinity propagate.  Where input and output may overlap they must be the same slice.

Each primitive is declared with its twin, a plain loop that says what it does.  The twin is what
runs under NUMBA_DISABLE_JIT=1 and NUMBA_BOUNDSCHECK=1; otherwise LLVM code over explicit vectors.
"""

from rtlstm.kernels.vector.activations import exp_add, logistic, squash, squash_slope
from rtlstm.kernels.vector.blocked import flush, outers_add, rows_dots
from rtlstm.kernels.vector.emit import LANES
from rtlstm.kernels.vector.products import (
    axpy,
    dot,
    matmat,
    matvec,
    matvec_add,
    matvec_two,
    rows_dot,
)
from rtlstm.kernels.vector.rows import (
    adam_row,
    rmsprop_row,
    sgd_row,
    trace_row,
    trace_row_norm,
)
from rtlstm.kernels.vector.sweeps import (
    all_finite,
    blend,
    copy,
    fetch,
    fill,
    max_abs,
    mul,
    mul_add,
    norm2,
    one_minus,
    scale,
)

__all__ = [
    "LANES",
    "adam_row",
    "all_finite",
    "axpy",
    "blend",
    "copy",
    "dot",
    "exp_add",
    "fetch",
    "fill",
    "flush",
    "logistic",
    "matmat",
    "matvec",
    "matvec_add",
    "matvec_two",
    "max_abs",
    "mul",
    "mul_add",
    "norm2",
    "one_minus",
    "outers_add",
    "rmsprop_row",
    "rows_dot",
    "rows_dots",
    "scale",
    "sgd_row",
    "squash",
    "squash_slope",
    "trace_row",
    "trace_row_norm",
]
