"""How kernels run in this process: decided once, before the first is made.

`ahead`: from a library of machine code that was compiled ahead of time (`library`), which needs no
compiler; the default where there is one that fits. `jit`: compiled by numba through a pipeline of
our own (`dispatch`), the default elsewhere. `plain`: compiled by `numba.njit` as it comes, which is
slower to compile and to call, and all that a numba outside the tested range gets (`fallback`).
`interpreted`: as Python runs them, for debugging and for measuring coverage. The environment
variable RTLSTM_KERNELS chooses; NUMBA_DISABLE_JIT=1 stands for `interpreted`.
"""

from __future__ import annotations

import os

from rtlstm.kernels.compiler import library

__all__ = [
    "CHECKED",
    "COMPILES",
    "FOREIGN",
    "INTERPRETED",
    "LEVEL",
    "MODES",
    "NAME",
    "TRIPLE",
    "VECTORS",
    "WHY",
    "choose",
    "need_numba",
]

MODES = ("ahead", "jit", "plain", "interpreted")
Environment = os._Environ[str] | dict[str, str]


def choose(environment: Environment, why_no_library: str = "") -> tuple[str, str]:
    """The way that kernels run and why; `why_no_library` is empty where there is a library.

    Raises ValueError for a way that there is not, RuntimeError for a library that there is not.
    """
    if _is_set(environment, "NUMBA_DISABLE_JIT"):
        return "interpreted", "NUMBA_DISABLE_JIT is set"
    wanted = environment.get("RTLSTM_KERNELS") or ""
    if wanted and wanted not in MODES:
        raise ValueError(f"RTLSTM_KERNELS must be one of {', '.join(MODES)}, got {wanted!r}")
    if wanted == "ahead" and why_no_library:
        raise RuntimeError(f"RTLSTM_KERNELS is 'ahead', and {why_no_library}")
    if wanted:
        return wanted, f"RTLSTM_KERNELS is {wanted!r}"
    if _is_set(environment, "NUMBA_BOUNDSCHECK"):
        return "jit", "NUMBA_BOUNDSCHECK is set"
    if not why_no_library:
        return "ahead", "there is a library for this processor"
    return "jit", why_no_library


def _is_set(environment: Environment, switch: str) -> bool:
    return environment.get(switch, "").strip() not in ("", "0")


LEVEL, _found = library.find()
NAME, WHY = choose(os.environ, "" if LEVEL else _found)
INTERPRETED = NAME == "interpreted"
COMPILES = NAME in ("jit", "plain")  # what needs numba
VECTORS = os.environ.get("RTLSTM_VECTORS", "1") != "0"  # 0: plain loops, for chips
TRIPLE = os.environ.get("RTLSTM_TRIPLE", "")  # LLVM's, of the system that code is made for
FOREIGN = bool(TRIPLE) or not VECTORS  # code that does not run in this process
CHECKED = _is_set(os.environ, "NUMBA_BOUNDSCHECK")  # numba compiles a test of every index


def need_numba() -> None:
    """Raise ModuleNotFoundError, saying why, where numba is to compile kernels and is absent."""
    from importlib.util import find_spec

    if find_spec("numba") is None:
        raise ModuleNotFoundError(
            f"kernels are compiled by numba here, since {WHY}, and it is not installed:"
            " pip install 'rtlstm[jit]'",
            name="numba",
        )
