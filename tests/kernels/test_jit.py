"""The cache of compiled kernels: it serves later processes, and no fault in it stops a call.

Every case runs a small kernel in processes of its own and looks at its answer, its warnings, and
whether it was compiled or loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import compiling
import numpy as np
import pytest

numba = pytest.importorskip("numba", reason=compiling.REASON)

from rtlstm.kernels.compiler import cache, directory, jit  # noqa: E402

pytestmark = compiling.jit

HELPER = """
from rtlstm.kernels.compiler.jit import kernel
@kernel
def factor(x):
    return 3.0 * x
"""
PROBE = """
from helper import factor
from rtlstm.kernels import vector
from rtlstm.kernels.compiler.jit import kernel
@kernel
def probe(f):
    vector.scale(f, 0, factor(1.0), 8)
    return f[0]
"""
# `{before}` is what goes wrong in the process itself.
PROGRAM = """
import json, sys, warnings
from pathlib import Path
import numpy as np
from rtlstm.kernels.compiler import cache, directory, sources
import numba
sources.ROOT = Path(sys.argv[1])
sources.SOURCES = sources.hash_sources()
sys.path.insert(0, sys.argv[1])
{before}
from probe import probe
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    answer = float(probe(np.ones(8)))
print(json.dumps({{
    "answer": answer,
    "loaded": sum(probe.stats.cache_hits.values()),
    "warnings": [w.category.__name__ for w in seen],
    "setting": numba.config.CACHE_DIR,
}}))
"""


class Case:
    """A source tree of kernels, a cache directory, and processes that use both."""

    def __init__(self, base: Path) -> None:
        self.sources = base / "kernels"
        self.cache = base / "cache"

    def write(self, module: str, source: str) -> None:
        self.sources.mkdir(parents=True, exist_ok=True)
        (self.sources / f"{module}.py").write_text(source)

    def start(self, before: str = "", **environment: str | None) -> subprocess.Popen[str]:
        wanted = {**os.environ, "RTLSTM_CACHE_DIR": str(self.cache), **environment}
        wanted["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [sys.executable, "-c", PROGRAM.format(before=before), str(self.sources)]
        given = {name: value for name, value in wanted.items() if value is not None}
        return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True)

    def run(self, before: str = "", **environment: str | None) -> dict:
        return self.finish(self.start(before, **environment))

    def finish(self, process: subprocess.Popen[str]) -> dict:
        """What the process said; numba's own setting is as it was."""
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        said = json.loads(output)
        assert said["setting"] == ""
        return said

    def files(self) -> list[Path]:
        return sorted(self.cache.rglob("*.kernel"))


@pytest.fixture
def cold(tmp_path: Path) -> Case:
    """Kernels that were never compiled."""
    case = Case(tmp_path)
    case.write("helper", HELPER)
    case.write("probe", PROBE)
    return case


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Kernels that one process has compiled; for copying."""
    case = Case(tmp_path_factory.mktemp("first"))
    case.write("helper", HELPER)
    case.write("probe", PROBE)
    assert_right(case.run(), loaded=0)
    return case


@pytest.fixture
def warm(first: Case, tmp_path: Path) -> Case:
    """Kernels with a cache of their own, as another process left it."""
    shutil.copytree(first.cache.parent, tmp_path / "warm")
    return Case(tmp_path / "warm")


def assert_right(said: dict, loaded: int, warnings: int = 0) -> None:
    assert said["warnings"] == ["CacheWarning"] * warnings
    assert said["answer"] == 3.0
    assert said["loaded"] == loaded


def test_a_second_process_loads_what_the_first_compiled(warm: Case) -> None:
    (directory,) = warm.cache.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert_right(warm.run(), loaded=1)


def test_an_edited_helper_in_another_file_is_noticed(warm: Case) -> None:
    warm.write("helper", HELPER.replace("3.0", "5.0"))
    said = warm.run()
    assert said["answer"] == 5.0 and said["loaded"] == 0


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "foreign"])
def test_damaged_files_are_rebuilt_with_one_warning(warm: Case, damage: str) -> None:
    for path in warm.files():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        texts = {"empty": b"", "half": data[: len(data) // 2], "flipped": data}
        path.write_bytes(texts.get(damage, sealed(path, b"not a kernel")))
    damaged = {path: path.read_bytes() for path in warm.files()}
    assert_right(warm.run(), loaded=0, warnings=1)
    for path, before in damaged.items():
        after = path.read_bytes()
        assert after != before and after == sealed(path, after[cache.DIGEST_BYTES :])


def sealed(path: Path, payload: bytes) -> bytes:
    """A file of the cache that is whole."""
    place = f"{path.parent.name}/{path.name}\0"
    return hashlib.sha256(place.encode() + payload).digest() + payload


def test_a_file_under_the_name_of_another_is_not_taken_for_it(warm: Case) -> None:
    warm.write("probe", PROBE.replace("f[0]", "f[0] + 1.0"))
    assert warm.run()["answer"] == 4.0
    one, other = warm.files()
    swap = one.with_name("swap")
    one.rename(swap), other.rename(one), swap.rename(other)
    said = warm.run()
    assert (said["answer"], said["loaded"], said["warnings"]) == (4.0, 0, ["CacheWarning"])


@pytest.mark.parametrize(
    ("mode", "folder", "file", "loaded", "warnings"),
    [
        (0o755, 0, 0, 1, 0),
        (0o777, 0, 0, 0, 1),
        (0o775, 0, 0, 0, 1),
        (0o755, 1000, 1000, 0, 1),
        (0o755, 0, 1000, 0, 1),
    ],
    ids=["root's", "open to all", "open to a group", "another's", "another's file in root's"],
)
def test_a_cache_of_root_s_is_read_and_never_written(
    warm: Case, mode: int, folder: int, file: int, loaded: int, warnings: int
) -> None:
    (directory,) = warm.cache.iterdir()
    directory.chmod(mode)
    before = {path: path.read_bytes() for path in warm.files()}
    assert_right(warm.run(OF_ROOT.format(folder=folder, file=file)), loaded, warnings)
    assert directory.stat().st_mode & 0o777 == mode
    if folder:
        return
    assert {path: path.read_bytes() for path in warm.files()} == before


def test_what_a_cache_of_root_s_lacks_is_compiled_in_silence(warm: Case) -> None:
    (directory,) = warm.cache.iterdir()
    directory.chmod(0o755)
    for path in warm.files():
        path.unlink()
    assert_right(warm.run(OF_ROOT.format(folder=0, file=0)), loaded=0)
    assert not warm.files()


FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
NO_HOME = "Path.home = lambda: (_ for _ in ()).throw(RuntimeError('no home'))"
READ_ONLY = "Path.mkdir = lambda *_, **__: (_ for _ in ()).throw(OSError(30, 'Read-only'))"
# Another user than the one who compiled; what is whose, as the stranger sees it.
OF_ROOT = """
import os
real = os.getuid()
os.getuid = lambda: 4242
def root(found):
    owner = {file} if found[0] & 0o100000 else {folder}
    return os.stat_result((*found[:4], owner, *found[5:10]))
lstat, fstat = Path.lstat, os.fstat
Path.lstat = lambda path: root(lstat(path))
os.fstat = lambda file: root(fstat(file))
"""
STRANGER = OF_ROOT.format(folder=1000, file=1000)


@pytest.mark.parametrize(
    ("before", "environment"),
    [
        (FULL_DISK, {}),
        (NO_HOME, {"RTLSTM_CACHE_DIR": None, "XDG_CACHE_HOME": None}),
        (READ_ONLY, {}),
        (STRANGER, {}),
        ("", {"RTLSTM_CACHE_DIR": __file__}),
    ],
    ids=["full disk", "no home", "read-only", "another owner", "a file in the way"],
)
def test_without_a_cache_everything_runs_with_one_warning(
    cold: Case, before: str, environment: dict
) -> None:
    assert_right(cold.run(before, **environment), loaded=0, warnings=1)
    assert not cold.files()


def test_a_read_only_cache_serves_what_it_holds(warm: Case) -> None:
    refuse = "cache._Store.save = lambda *_: (_ for _ in ()).throw(OSError(30, 'Read-only'))"
    assert_right(warm.run(refuse), loaded=1)


def test_a_directory_open_to_others_is_closed(warm: Case) -> None:
    (directory,) = warm.cache.iterdir()
    directory.chmod(0o777)
    assert_right(warm.run(), loaded=1)
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_can_read_stays_so(warm: Case) -> None:
    (directory,) = warm.cache.iterdir()
    directory.chmod(0o755)
    assert_right(warm.run(), loaded=1)
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_link_in_place_of_the_directory_is_refused(warm: Case, tmp_path: Path) -> None:
    (directory,) = warm.cache.iterdir()
    directory.symlink_to(directory.rename(tmp_path / "elsewhere"))
    assert_right(warm.run(), loaded=0, warnings=1)


def test_processes_that_compile_at_once_leave_a_whole_cache(cold: Case) -> None:
    for process in [cold.start(), cold.start()]:
        said = cold.finish(process)
        assert said["answer"] == 3.0 and not said["warnings"]
    assert_right(cold.run(), loaded=1)
    assert not [p for p in cold.cache.rglob("*") if p.is_file() and p.suffix != ".kernel"]


def test_importing_compiles_nothing_and_touches_no_file(cold: Case) -> None:
    program = (
        "import sys\n"
        "from numba.core.event import install_recorder\n"
        "with install_recorder('numba:compile') as compiled:\n"
        "    import rtlstm.kernels.vector\n"
        "sys.exit(len(compiled.buffer))"
    )
    environment = {**os.environ, "RTLSTM_CACHE_DIR": str(cold.cache)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
    assert not cold.cache.exists()


def test_a_function_of_elsewhere_is_compiled_but_not_kept() -> None:
    @jit.kernel
    def double(x: float) -> float:
        return 2.0 * x

    assert double(4.0) == 8.0
    assert double.stats.cache_path is None


def test_entry_is_the_compiled_function() -> None:
    double = jit.kernel(lambda x: 2.0 * x)
    assert jit.entry(double, "(float64,)")(4.0) == 8.0
    assert len(double.signatures) == 1


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RTLSTM_CACHE_DIR", str(tmp_path / "own"))
    assert directory.cache_directory().parent == tmp_path / "own"
    monkeypatch.delenv("RTLSTM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert directory.cache_directory().parent == tmp_path / "xdg" / "rtlstm"
    for relative in ("", "here"):  # the XDG specification has relative paths ignored
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert directory.cache_directory().parent == Path.home() / ".cache" / "rtlstm"


def test_other_peoples_functions_still_count_from_the_end() -> None:
    """Kernels are compiled without; nobody else is, not even while one is."""
    last = numba.njit(lambda array: array[-1])
    array = np.arange(3.0)

    @jit.kernel
    def first(f: np.ndarray) -> float:
        return f[0]

    assert first(array) == 0.0
    assert last(array) == 2.0
    assert numba.njit(lambda array: array[-2:][0])(array) == 1.0
