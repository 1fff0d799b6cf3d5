"""Replace a file so that a crash leaves the old one or the new one, complete.

The bytes go to a temporary file in the same directory, which is synced, renamed over the target,
and the directory synced. A temporary is called ``.NAME.<8 hex digits>.tmp``, and its writer holds
a lock on it that the kernel drops when the process dies. So a temporary without a lock is
litter of a dead process, whichever machine or container that was, and the next write removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rtlstm.errors import StorageError

# A planted link is never followed, a planted pipe never waited for.
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def replace(path: str | os.PathLike[str], chunks: Sequence[Any]) -> None:
    """Make ``chunks`` (bytes, or 1-D uint8 arrays) the whole content of the file at ``path``.

    An existing file keeps its permissions, a new one gets those of the umask. A symbolic link, a
    directory, a device and a read-only file are refused. Raises :class:`StorageError`, which
    names the path and the bytes needed; the previous file is then as it was and no temporary is
    left. Only if the very last step fails, syncing the directory, does the new file stand.
    """
    views = [memoryview(chunk) for chunk in chunks]
    size = sum(view.nbytes for view in views)
    full = file_name(path)
    folder, name = os.path.split(full)
    try:
        home = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # "." stands for a path that ends in a slash, and is refused as a directory.
            _replace(home, name or ".", views)
            _sync_folder(home, full)
        finally:
            _close(home)
    except StorageError:
        raise
    except OSError as error:
        why = f"{error.strerror}; what was at this path is as before"
        message = f"cannot write ({size} bytes needed): {why}"
        raise StorageError(error.errno, message, full) from error


def file_name(path: str | os.PathLike[str]) -> str:
    """The path as text; raises :class:`StorageError` for what no file can be called."""
    name = os.fsdecode(path)
    try:
        possible = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise StorageError(errno.EINVAL, "no file can have this name", ascii(name))
    return name


def _replace(home: int, name: str, views: list[memoryview]) -> None:
    mode = _mode(home, name)
    _sweep(home, name)
    temporary, file = _create(home, name, 0o666 if mode is None else mode)
    try:
        for view in views:
            _write(file, view)
        if mode is not None:
            os.fchmod(file, mode)  # undo what the umask took away
        os.fsync(file)
        os.replace(temporary, name, src_dir_fd=home, dst_dir_fd=home)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=home)
        raise
    finally:
        _close(file)


def _mode(home: int, name: str) -> int | None:
    """Permissions of the file to be replaced, None if there is none; refuses all but a file."""
    try:
        found = os.stat(name, dir_fd=home, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, "it is a directory, not a file")
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "it is a link, pipe or device: name a regular file itself")
    if not os.access(name, os.W_OK, dir_fd=home):
        raise PermissionError(errno.EACCES, "the file there is read-only")
    return stat.S_IMODE(found) & 0o777


def _create(home: int, name: str, mode: int) -> tuple[str, int]:
    """A new, locked, empty temporary: its name and descriptor."""
    while True:
        temporary = f".{name}.{secrets.token_hex(4)}.tmp"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, mode, dir_fd=home)
        with suppress(OSError):  # a file system without locks: nothing is swept there either
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                os.stat(temporary, dir_fd=home)
            except FileNotFoundError:  # swept before it was locked
                _close(file)
                continue
        return temporary, file


def _sweep(home: int, name: str) -> None:
    """Remove the temporaries of this target whose writers are dead."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    for entry in filter(pattern.fullmatch, os.listdir(home)):
        with suppress(OSError):
            file = os.open(entry, os.O_RDWR | _SAFE, dir_fd=home)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry, dir_fd=home)
            finally:
                _close(file)


def _close(file: int) -> None:
    """Close; the sync has told every fault before, and the file may already be in place."""
    with suppress(OSError):
        os.close(file)


def _write(file: int, view: memoryview) -> None:
    while view.nbytes:
        view = view[os.write(file, view) :]


def _sync_folder(home: int, name: str) -> None:
    try:
        os.fsync(home)
    except OSError as error:
        if error.errno == errno.EINVAL:  # this file system cannot sync directories
            return
        message = f"the new file is in place, but may be lost if power fails: {error.strerror}"
        raise StorageError(error.errno, message, name) from error
