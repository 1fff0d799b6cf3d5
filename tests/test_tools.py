"""The scripts that set everything up say what is missing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

NEEDED = ("bash", "sed", "dirname", "cat", "sha256sum", "tail")
OLD = """case "$*" in *exit*) exit 1;; *) echo 3.9.2;; esac"""
NO_VENV = """case "$*" in *ensurepip*) exit 1;; *exit*) exit 0;; *) echo 3.12;; esac"""


@pytest.mark.parametrize("script", ["demo", "test"])
@pytest.mark.parametrize(
    ("python", "parts"),
    [
        (None, ["Python 3.11 or newer is needed", "none is on PATH.", "apt install python3"]),
        (OLD, ["Python 3.11 or newer is needed", "there is 3.9.2"]),
        (NO_VENV, ["no venv or no ensurepip", "apt install python3-venv", "python3.12-venv"]),
    ],
    ids=["no python", "old python", "no venv"],
)
def test_a_machine_that_lacks_something_is_told(
    script: str, python: str | None, parts: list[str], tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED:
        (programs / name).symlink_to(shutil.which(name) or "")
    if python is not None:
        (programs / "python3").write_text(f"#!{shutil.which('bash')}\n{python}\n")
        (programs / "python3").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "tools" / script], env={"PATH": str(programs)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("difference", "words"), [(None, "no onnxruntime on this Python"), (6.7e-8, "6.7e-08 at most")]
)
def test_the_demo_reports_with_and_without_onnxruntime(
    difference: float | None, words: str, tmp_path: Path
) -> None:
    for name in ("forecasts.csv", "live.csv", "model.safetensors", "model.onnx", "run.png"):
        (tmp_path / name).touch()
    report = {"rows": 10, "seconds": 1.0, "skill": 0.1, "onnx_difference": difference}
    (tmp_path / "report.json").write_text(json.dumps(report))
    command = [sys.executable, ROOT / "tools/lib/demo_report.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert words in done.stdout
