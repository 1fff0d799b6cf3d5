"""tools/build_wheels: which libraries it compiles for which wheels, and what such a wheel says."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
from paths import TOOLS

from rtlstm.kernels.compiler import sources
from rtlstm.kernels.compiler.platforms import PLATFORMS

METADATA = """Metadata-Version: 2.4
Name: rtlstm
Version: 1
Requires-Dist: ml_dtypes>=0.5
Requires-Dist: numpy>=1.26
Requires-Dist: numba>=0.62.1
Requires-Dist: onnx>=1.21
Provides-Extra: jit
Requires-Dist: numba>=0.62.1; extra == "jit"
"""


@pytest.fixture(scope="module")
def tool() -> Any:
    loader = SourceFileLoader("build_wheels", str(TOOLS / "build_wheels"))
    spec = importlib.util.spec_from_loader("build_wheels", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_what_differs_in_the_linker_alone_is_compiled_once(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(tool, "compile_library", lambda room, n, _, names: made.append((n, names)))
    tool.compile_all(tmp_path, list(PLATFORMS), [], [])
    linux = ["manylinux-x86-64", "musllinux-x86-64"]
    assert made[:3] == [(f"x86-64-v{n}", linux) for n in (4, 3, 2)]
    assert made[3] == ("aarch64", ["manylinux-aarch64", "musllinux-aarch64"])
    others = [(n, "manylinux-armv7l") for n in ("armv7-vfpv4", "armv7")]
    others += [("aarch64", "macos-arm64"), ("x86-64-v2", "windows-x86-64")]
    assert made[4:] == [(n, [name]) for n, name in others]
    made.clear()
    tool.compile_all(tmp_path, [], ["x86-64-v2"], [])
    assert made == [("x86-64-v2", [])]


@pytest.mark.parametrize("name", ["musllinux-x86-64", "manylinux-aarch64"])
def test_a_wheel_says_where_it_runs_and_what_it_needs(tool: Any, name: str, tmp_path: Path) -> None:
    plain, made = tmp_path / "rtlstm-1-py3-none-any.whl", tmp_path / "libraries" / name
    with zipfile.ZipFile(plain, "w") as file:
        file.writestr("rtlstm-1.dist-info/METADATA", METADATA)
        file.writestr("rtlstm-1.dist-info/WHEEL", "Root-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("rtlstm-1.dist-info/RECORD", "")
    made.mkdir(parents=True)
    for level in PLATFORMS[name].libraries:
        (made / f"{level}.so").write_bytes(level.encode())
        (made / f"{level}.json").write_text(json.dumps({"sources": sources.SOURCES.hex()}))
    path = tool.wheel(name, plain, tmp_path / "libraries", [], tmp_path)
    assert path.name == f"rtlstm-1-py3-none-{PLATFORMS[name].wheel}.whl"
    with zipfile.ZipFile(path) as file:
        files = {n.removeprefix("rtlstm-1.dist-info/"): file.read(n) for n in file.namelist()}
    needed = [n for n in files["METADATA"].decode().splitlines() if n.startswith("Requires-Dist")]
    kept = [] if "musl" in name else ["Requires-Dist: ml_dtypes>=0.5"]
    assert needed[:-1] == [*kept, "Requires-Dist: numpy>=1.26"] and needed[-1].endswith('"jit"')
    said = files["WHEEL"].decode()
    assert "Purelib: false" in said and said.count("Tag: py3-none-") == len(
        PLATFORMS[name].wheel.split(".")
    )
    for level in PLATFORMS[name].libraries:
        inside = f"rtlstm/kernels/libraries/{level}.so"
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[inside]).digest()).rstrip(b"=")
        assert f"{inside},sha256={digest.decode()},{len(level)}" in files["RECORD"].decode()


def test_a_wheel_whose_library_would_not_be_loaded_is_not_made(tool: Any, tmp_path: Path) -> None:
    made = tmp_path / "manylinux-aarch64"
    made.mkdir()
    (made / "aarch64.json").write_text('{"sources": "those of an hour ago"}')
    with pytest.raises(SystemExit, match=r"changed while aarch64\.so was compiled"):
        tool.wheel("manylinux-aarch64", tmp_path / "none.whl", tmp_path, [], tmp_path)
