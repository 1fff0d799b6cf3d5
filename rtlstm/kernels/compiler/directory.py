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
from rtlstm.kernels.compiler import mode, sources

__all__ = ["cache_directory", "is_roots_alone", "trusted_directory"]


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
    flags = (
        mode.VECTORS,
        settings.BOUNDSCHECK,
        settings.OPT,
        settings.DEBUGINFO_DEFAULT,
        tables.fingerprint(),
    )
    versions = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
    return hashlib.sha256(repr((flags, versions)).encode() + sources.SOURCES).hexdigest()[:16]


def trusted_directory() -> tuple[Path, bool]:
    """Return the cache directory and whether to write there; raise OSError if it is not trusted.

    Its files are unpickled, which runs code: nobody but the user, or root, may be able to write
    there. The user's own is made if absent, and closed if others can write to it. One of root's, as
    a container's image or a system-wide installation brings it, is read as it is.
    """
    path = cache_directory()
    try:
        found = path.lstat()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is not a directory")
    if not hasattr(os, "getuid"):
        return path, True
    if found.st_uid != os.getuid():
        if is_roots_alone(found):
            return path, False
        raise PermissionError(f"{path} belongs to another user, or others can write there")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        path.chmod(0o700)
    return path, True


def is_roots_alone(found: os.stat_result) -> bool:
    """Whether what this tells of belongs to root, and nobody else can write to it."""
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
