"""What tests ask of numba, and what they do where kernels run without it.

The same tests run where numba is absent and kernels come from a wheel (`tools/test --wheel`), or
are interpreted. A test marked `jit` compiles in its own process: it is skipped there, saying so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtlstm.kernels.compiler import mode

REASON = f"needs numba to compile, and kernels are {mode.NAME} here"
jit = pytest.mark.skipif(not mode.COMPILES, reason=REASON)


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A function that calls kernels, compiled if they are, as it is elsewhere."""
    if not mode.COMPILES:
        return function
    import numba

    return numba.njit(**options)(function)  # type: ignore[no-any-return]
