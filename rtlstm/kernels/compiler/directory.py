"""Where compiled kernels are kept: one private directory for each state of their sources."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from functools import cache
from pathlib import Path

import llvmlite
import numba

from rtlstm.kernels import tables
from rtlstm.kernels.compiler import sources

__all__ = ["cache_directory", "private_directory"]


def cache_directory() -> Path:
    """Return the directory of the kernels compiled from today's sources (it may not exist yet).

    $RTLSTM_CACHE_DIR, else $XDG_CACHE_HOME/rtlstm, else ~/.cache/rtlstm, and below it one directory
    for each state of the sources, the compiler and its flags.  Raises RuntimeError without a home.
    """
    own = os.environ.get("RTLSTM_CACHE_DIR")
    if own:
        base = Path(own).absolute()
    else:
        xdg = Path(os.environ.get("XDG_CACHE_HOME") or ".")
        base = (xdg if xdg.is_absolute() else Path.home() / ".cache") / "rtlstm"
    return base / f"kernels-{_build_key()}"


@cache
def _build_key() -> str:
    """Hash what a compiled kernel depends on beyond its signature and the processor."""
    settings = numba.config
    flags = (settings.BOUNDSCHECK, settings.OPT, settings.DEBUGINFO_DEFAULT, tables.fingerprint())
    versions = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
    return hashlib.sha256(repr((flags, versions)).encode() + sources.SOURCES).hexdigest()[:16]


def private_directory() -> Path:
    """Return the cache directory, made if absent; raise OSError unless it is the user's alone.

    Its files are unpickled, which runs code: nobody else may be able to write there.
    """
    path = cache_directory()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is not a directory")
    if hasattr(os, "getuid"):
        if found.st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    return path
