"""Replacing a file: whatever fails, the old file or the new one is there, and nothing else."""

import errno
import fcntl
import importlib.util
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from rtlstm.errors import StorageError
from rtlstm.files import atomic

OLD, NEW = b"old" * 1000, [b"head" * 100, b"", b"tail" * 5000]
WHOLE = b"".join(NEW)
CALLS = ["open", "stat", "access", "listdir", "write", "fchmod", "fsync", "replace", "close"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(OLD)
    return path


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_replaces_and_creates(target: Path) -> None:
    atomic.replace(target, NEW)
    atomic.replace(str(target) + "2", NEW)
    atomic.replace(os.fsencode(target) + b"3", [])
    assert [p.read_bytes() for p in sorted(target.parent.iterdir())] == [WHOLE, WHOLE, b""]


def test_a_relative_path_is_relative_to_the_working_directory(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(target.parent)
    atomic.replace(target.name, NEW)
    assert target.read_bytes() == WHOLE and names(target) == [target.name]


def test_permissions_are_kept_or_those_of_the_umask(target: Path) -> None:
    target.chmod(0o642)
    before = os.umask(0o027)
    try:
        atomic.replace(target, NEW)
        atomic.replace(target.with_suffix(".b"), NEW)
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o7777 == 0o642
    assert target.with_suffix(".b").stat().st_mode & 0o7777 == 0o640


def test_a_second_name_of_the_old_file_keeps_the_old_bytes(target: Path) -> None:
    other = target.with_suffix(".kept")
    other.hardlink_to(target)
    atomic.replace(target, NEW)
    assert (target.read_bytes(), other.read_bytes()) == (WHOLE, OLD)


# --------------------------------------------------------------------------- faults
class Fault:
    """Makes the n-th call of some function of `os` fail, and for ever after if asked."""

    def __init__(
        self, patch: pytest.MonkeyPatch, name: str, nth: int, code: int, ever: bool
    ) -> None:
        self.count, self.hit = 0, False
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == nth or (ever and self.count > nth):
                self.hit = True
                if name == "close":
                    real(*args)  # a failing close closes all the same
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        patch.setattr(os, name, call)


@pytest.mark.parametrize("ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize("name", CALLS)
def test_a_failing_call_leaves_the_old_file_or_the_new(
    target: Path, name: str, code: int, ever: bool
) -> None:
    for nth in range(1, 20):
        target.write_bytes(OLD)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, name, nth, code, ever)
            try:
                atomic.replace(target, NEW)
                failed = None
            except StorageError as error:
                failed = error
        assert names(target) == [target.name]
        if failed is None:
            assert target.read_bytes() == WHOLE
        else:
            assert failed.errno == code and failed.filename == str(target)
            assert target.read_bytes() in ([OLD] if "as before" in str(failed) else [WHOLE])
            assert f"{len(WHOLE)} bytes" in str(failed) or "in place" in str(failed)
        if not fault.hit:
            return
    pytest.fail(f"{name} is called again and again")


def test_short_writes_are_continued(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, view: real(file, view[:777]))
    atomic.replace(target, NEW)
    assert target.read_bytes() == WHOLE


def test_an_interrupt_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.replace(target, NEW)
    assert target.read_bytes() == OLD and names(target) == [target.name]


def test_a_file_system_that_cannot_sync_directories_is_no_error(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fault(monkeypatch, "fsync", 2, errno.EINVAL, ever=True)
    atomic.replace(target, NEW)
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_any_other_fault_of_that_sync_is_told(
    target: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    Fault(monkeypatch, "fsync", 2, code, ever=True)
    with pytest.raises(StorageError, match="in place, but may be lost if power fails"):
        atomic.replace(target, NEW)
    assert target.read_bytes() == WHOLE


def test_a_real_limit_on_file_size_leaves_the_old_file(target: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    code = "import sys; from rtlstm.files import atomic"
    code += "; atomic.replace(sys.argv[1], [bytes(10_000)])"
    done = subprocess.run(
        [sys.executable, "-c", code, target], cwd=ROOT, preexec_fn=limit, stderr=subprocess.PIPE
    )
    assert b"StorageError" in done.stderr and b"10000 bytes needed" in done.stderr
    assert target.read_bytes() == OLD and names(target) == [target.name]


# --------------------------------------------------------------------------- power loss
def test_power_loss_at_any_moment_leaves_the_old_file_or_the_new(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that keeps, of what was not synced, whatever hurts most."""
    log: list[Any] = []

    def note(name: str, entry: Callable[..., Any]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            log.append(entry(*args))
            return result

        monkeypatch.setattr(os, name, call)

    note("write", lambda file, view: bytes(view))
    note("fsync", lambda file: "folder" if os.path.isdir(f"/proc/self/fd/{file}") else "file")
    note("replace", lambda *args: "replace")
    atomic.replace(target, NEW)
    for moment in range(len(log) + 1):
        synced, written, old, new = b"", b"", True, False
        for event in log[:moment]:
            if isinstance(event, bytes):
                written += event
            elif event == "file":
                synced = written
            elif event == "replace":
                new = True
            else:
                old = not new
        half = (len(synced) + len(written)) // 2
        after = {OLD} if old else set()
        after |= {synced, written[:half], written} if new else set()
        assert after <= {OLD, WHOLE}
    assert after == {WHOLE}


@pytest.mark.parametrize("seed", [0])
def test_kill_9_leaves_the_old_file_or_the_new(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, ROOT / "tools/kill_test", "--kills", "30", "--seed", str(seed)]
    done = subprocess.run([*command, "--folder", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 kills" in done.stdout and "0 broken" in done.stdout


# --------------------------------------------------------------------------- leftovers
def test_what_dead_writers_left_is_swept_and_nothing_else(target: Path) -> None:
    folder, name = target.parent, target.name
    dead, alive = folder / f".{name}.01234567.tmp", folder / f".{name}.89abcdef.tmp"
    others = [".other.01234567.tmp", f".{name}.0123456.tmp", f".{name}.0123456x.tmp", f"{name}.tmp"]
    for path in [dead, alive, *(folder / other for other in others)]:
        path.write_bytes(b"x")
    with alive.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        atomic.replace(target, NEW)
    assert names(target) == sorted([name, alive.name, *others])


def test_planted_links_and_pipes_are_not_followed(target: Path) -> None:
    victim = target.parent / "victim"
    victim.write_bytes(OLD)
    (target.parent / f".{target.name}.01234567.tmp").symlink_to(victim)
    os.mkfifo(target.parent / f".{target.name}.11111111.tmp")
    (target.parent / f".{target.name}.22222222.tmp").mkdir()
    atomic.replace(target, NEW)
    assert (target.read_bytes(), victim.read_bytes()) == (WHOLE, OLD)


def test_a_temporary_that_exists_is_never_used(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = target.parent / "victim"
    victim.write_bytes(OLD)
    (target.parent / f".{target.name}.01234567.tmp").symlink_to(victim)
    monkeypatch.setattr(atomic.os, "urandom", lambda n: bytes.fromhex("01234567"))
    with pytest.raises(StorageError, match="File exists"):
        atomic.replace(target, NEW)
    assert (target.read_bytes(), victim.read_bytes()) == (OLD, OLD)


def test_a_temporary_swept_before_it_was_locked_is_made_again(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, swept = fcntl.flock, []

    def sweep_first(file: int, how: int) -> None:
        if not swept:
            swept.extend(target.parent.glob(".*.tmp"))
            swept[0].unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    atomic.replace(target, NEW)
    assert target.read_bytes() == WHOLE and names(target) == [target.name]


def test_without_locks_it_writes_and_sweeps_nothing(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target.parent / f".{target.name}.01234567.tmp").write_bytes(b"x")

    def unsupported(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    atomic.replace(target, NEW)
    assert target.read_bytes() == WHOLE and len(names(target)) == 2


def test_writers_of_one_file_do_not_sweep_each_other(target: Path) -> None:
    wholes = [bytes([writer]) * 20_000 for writer in range(4)]

    def write(whole: bytes) -> None:
        for _ in range(50):
            atomic.replace(target, [whole])
            assert target.read_bytes() in wholes

    with ThreadPoolExecutor(4) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)  # to meet more often
        list(pool.map(write, wholes))
    assert names(target) == [target.name]


# --------------------------------------------------------------------------- paths
def test_only_a_plain_file_is_replaced(target: Path) -> None:
    folder = target.parent
    (folder / "link").symlink_to(target.name)
    (folder / "loop").symlink_to("loop")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    before = names(target)
    wrong = [
        "link", "loop", "loop/x", "folder", "folder/", "folder/.", "folder/..", ".", "..", "pipe",
        "none/x", "none/", f"{target.name}/x", f"{target.name}/", "n" * 300, "a\0b", "\ud800",
    ]  # fmt: skip
    for path in [*(f"{folder}/{name}" for name in wrong), "", ".", "/", "/dev/null", "/dev/full"]:
        with pytest.raises(StorageError) as caught:
            atomic.replace(path, NEW)
        assert caught.value.errno and isinstance(caught.value, OSError)
        str(caught.value).encode()  # can be printed
    assert names(target) == before and target.read_bytes() == OLD
    assert (folder / "link").is_symlink() and not any((folder / "folder").iterdir())


AS_NOBODY = """
import os, sys
from rtlstm.files import atomic
from rtlstm.errors import StorageError
os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for name in ("open/file", "closed/file", "closed/new"):
    try:
        atomic.replace(name, [b"new"])
    except StorageError as error:
        print(name, error.strerror)
"""


def test_what_is_read_only_stays(tmp_path: Path) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(OLD)
    (tmp_path / "open/file").chmod(0o444)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "closed").chmod(0o555)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):  # the user nobody may pass through
        folder.chmod(folder.stat().st_mode | 0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["open/file", "closed/file", "closed/new"], done
    assert "read-only" in lines[0] and "Permission denied" in lines[2]
    assert (tmp_path / "open/file").read_bytes() == (tmp_path / "closed/file").read_bytes() == OLD
    (tmp_path / "closed").chmod(0o755)


@pytest.mark.parametrize("missing", ["locks", "open folders", "both", "both and modes"])
def test_systems_that_lack_something(
    missing: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows has neither; a file is replaced all the same, and a failure leaves the old one."""
    if missing != "open folders":
        monkeypatch.setattr(atomic, "fcntl", None)
    if missing != "locks":
        monkeypatch.setattr(atomic, "_FOLDERS_OPEN", False)
    if "modes" in missing:
        monkeypatch.delattr(os, "fchmod")
    left = target.parent / f".{target.name}.01234567.tmp"
    left.write_bytes(b"of a writer that may be alive")
    target.chmod(0o640)
    atomic.replace(target, NEW)
    atomic.replace(target.with_name("new"), NEW)
    assert target.read_bytes() == target.with_name("new").read_bytes() == WHOLE
    assert "modes" in missing or target.stat().st_mode & 0o777 == 0o640
    assert left.exists() or missing == "locks" or missing == "open folders"

    opened: list[int] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.EACCES, "in use by another process")

    before = names(target)
    for call in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            with pytest.raises(StorageError, match="in use by another process; what was at"):
                atomic.replace(target, [b"never"])
        assert names(target) == before and target.read_bytes() == WHOLE
    for file in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


@pytest.mark.parametrize("known", [True, False])
def test_a_drive_is_told_to_empty_its_cache_where_that_can_be(
    known: bool, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def full_sync(file: int, what: int) -> None:
        asked.append(what)
        if not known:
            raise OSError(errno.ENOTSUP, "not on this file system")

    monkeypatch.setattr(atomic, "_FULL_SYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", full_sync)
    atomic.replace(target, NEW)
    assert asked == [51] and target.read_bytes() == WHOLE


def test_it_is_imported_where_there_are_no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    spec = importlib.util.spec_from_file_location("a_copy_of_atomic", atomic.__file__)
    assert spec and spec.loader
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert copy.fcntl is None and copy._FULL_SYNC is None


def test_a_file_that_may_not_be_written_is_not_replaced(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root may write anything, the system's answer is imitated."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(StorageError, match="the file there is read-only") as refused:
        atomic.replace(target, NEW)
    assert refused.value.errno == errno.EACCES
    assert target.read_bytes() == OLD and names(target) == [target.name]
