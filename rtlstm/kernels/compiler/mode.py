"""How kernels run in this process: decided once, before the first is made.

`jit`: compiled by numba through a pipeline of our own (`dispatch`), the default. `plain`: compiled
by `numba.njit` as it comes, which is slower to compile and to call, and all that a numba outside
the tested range gets (`fallback`). `interpreted`: as Python runs them, for debugging and for
measuring coverage. The environment variable RTLSTM_KERNELS chooses; NUMBA_DISABLE_JIT=1 stands for
`interpreted`.
"""

from __future__ import annotations

import os

__all__ = ["CHECKED", "INTERPRETED", "MODES", "NAME", "choose"]

MODES = ("jit", "plain", "interpreted")


def choose(environment: os._Environ[str] | dict[str, str]) -> str:
    """The way that an environment asks for; raises ValueError for one that there is not."""
    if _is_set(environment, "NUMBA_DISABLE_JIT"):
        return "interpreted"
    wanted = environment.get("RTLSTM_KERNELS") or "jit"
    if wanted not in MODES:
        raise ValueError(f"RTLSTM_KERNELS must be one of {', '.join(MODES)}, got {wanted!r}")
    return wanted


def _is_set(environment: os._Environ[str] | dict[str, str], switch: str) -> bool:
    return environment.get(switch, "").strip() not in ("", "0")


NAME = choose(os.environ)
INTERPRETED = NAME == "interpreted"
CHECKED = _is_set(os.environ, "NUMBA_BOUNDSCHECK")  # numba compiles a test of every index
