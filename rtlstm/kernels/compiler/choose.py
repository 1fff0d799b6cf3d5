"""Make a kernel that calls one of several kernels, chosen by a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtlstm.kernels.compiler.jit import kernel


def choose(name: str, parameters: str, branches: Sequence[Any], given: Sequence[str] = ()) -> Any:
    """Return the kernel name(number, *parameters) that calls branches[number](*parameters).

    parameters: their names with commas between. given: for each branch, those of them that it
    takes, all by default. The branches are kernels or primitives; the first
    is also taken for any other number. The source is written out, a chain of comparisons as by
    hand, since closures over integers would keep the compiled kernel out of the cache.
    """
    given = given or [parameters] * len(branches)
    lines = [f"def {name}(number, {parameters}):"]
    for number in reversed(range(1, len(branches))):
        lines.append(f"    if number == {number}:")
        lines.append(f"        return branch_{number}({given[number]})")
    lines.append(f"    return branch_0({given[0]})")
    scope = {f"branch_{number}": branch for number, branch in enumerate(branches)}
    exec(compile("\n".join(lines), __file__, "exec"), scope)  # noqa: S102 - no text from outside
    made: Any = scope[name]
    made.__module__ = __name__
    return kernel(made)
