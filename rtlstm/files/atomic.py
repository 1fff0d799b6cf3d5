"""Replace a file so that a crash leaves the old one or the new one, complete.

The bytes go to a temporary file in the same directory, which is synced, renamed over the target,
and the directory synced. A temporary is called ``.NAME.<8 hex digits>.tmp``, and its writer holds
a lock on it that the kernel drops when the process dies. So a temporary without a lock is
litter of a dead process, whichever machine or container that was, and the next write removes it.

Where the system has no such calls (Windows has neither locks of this kind nor open directories),
the file is still written beside its target, synced and renamed. Litter then stays, since nothing
tells whether its writer lives, and what a power failure leaves is up to the file system.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rtlstm.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def _flags(*names: str) -> int:
    """Flags of `os.open` by name; 0 for one that this system has not."""
    found = 0
    for name in names:
        found |= getattr(os, name, 0)
    return found


# A planted link is never followed, a planted pipe never waited for.
_SAFE = _flags("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
CLOSED = -1  # no descriptor
_FOLDERS_OPEN = hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd
_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache


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
        if _FOLDERS_OPEN:
            _replace_in_open_folder(folder or ".", name or ".", views, full)
        else:
            _replace(None, folder, name or ".", views)
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


def _replace_in_open_folder(folder: str, name: str, views: list[memoryview], full: str) -> None:
    """Replace `name` in a directory that no rename on the way can exchange for another.

    "." stands for a path that ends in a slash, and is refused as a directory.
    """
    home = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _replace(home, "", name, views)
        _sync_folder(home, full)
    finally:
        _close(home)


def _replace(home: int | None, folder: str, name: str, views: list[memoryview]) -> None:
    """Write, sync and rename; names are in the open directory `home`, or below `folder`."""
    target = os.path.join(folder, name)
    mode = _mode(home, target)
    if fcntl and home is not None:
        _sweep(home, name)
    temporary, file = _create(home, folder, name, 0o666 if mode is None else mode)
    try:
        for view in views:
            _write(file, view)
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(file, mode)  # undo what the umask took away
        _sync(file)
        if not fcntl:  # no lock to hold on to, and Windows renames no open file
            file = _close(file)
        os.replace(temporary, target, src_dir_fd=home, dst_dir_fd=home)
    except BaseException:
        if not fcntl:
            file = _close(file)
        with suppress(OSError):
            os.unlink(temporary, dir_fd=home)
        raise
    finally:
        _close(file)


def _sync(file: int) -> None:
    """Have the file's bytes on the medium."""
    if _FULL_SYNC is not None:
        with suppress(OSError):  # a file system without it; fsync does what there is
            fcntl.fcntl(file, _FULL_SYNC)
    os.fsync(file)


def _mode(home: int | None, name: str) -> int | None:
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


def _create(home: int | None, folder: str, name: str, mode: int) -> tuple[str, int]:
    """A new, locked, empty temporary: its name and descriptor."""
    while True:
        temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, mode, dir_fd=home)
        if not fcntl:
            return temporary, file
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


def _close(file: int) -> int:
    """Close what is open; the sync has told every fault before, and the file may be in place.

    Returns CLOSED, which closes nothing a second time.
    """
    if file != CLOSED:
        with suppress(OSError):
            os.close(file)
    return CLOSED


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
