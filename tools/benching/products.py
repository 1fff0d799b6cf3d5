"""The matrix-vector product of a step alone, by our own primitive: the limit of a step."""

import rtlstm
from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.network.forward import layer_at


@kernel
def products(plan, h, f, times):
    """a = u W of the first layer, so many times, each from another u."""
    at, fr = layer_at(0), plan[p.FRAME]
    u, a = fr + plan[at + p.F_U], fr + plan[at + p.F_A]
    for t in range(times):
        f[u] = t
        exact, rows = plan[at + p.W_EXACT], plan[at + p.EXACT]
        v.matvec_two(h, plan[at + p.W], f, exact, rows, f, u, a, plan[at + p.K], plan[at + p.R])


class OurProduct:
    """The product of a network's first layer."""

    def __init__(self, net: rtlstm.Network) -> None:
        self._net = net

    def run(self, times: int) -> None:
        """Make it so many times."""
        net = self._net
        products(net._plan, net._h, net._f, times)
