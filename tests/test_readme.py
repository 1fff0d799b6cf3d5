"""The README's example is a program that runs."""

import io
import re
import shlex
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from paths import ROOT

import rtlstm.cli

README = ROOT / "README.md"


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(example, str(README), "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("next: ")
    assert (tmp_path / "model.safetensors").exists()


def test_the_file_is_read_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = re.findall(r"```sh\n\$ head(.*?)```", README.read_text(), re.DOTALL)
    _, header, *first = shown.splitlines()
    rows, command, told = first[:2], first[2].removeprefix("$ rtlstm "), first[3]
    more = [
        f"29.03.2024;{h:02}:{m:02}:00;20,{m // 10};5{h % 10},1" for h in range(3) for m in (0, 30)
    ]
    (tmp_path / "keller.csv").write_text("\n".join([header, *rows, *more, ""]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rtlstm", *shlex.split(command)])
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as ended:
        rtlstm.cli.main()
    assert not ended.value.code, said.getvalue()
    assert said.getvalue().splitlines()[0] == told
    assert (tmp_path / "forecasts.csv").read_text().count("\n") == len(rows) + len(more) + 1


def test_every_picture_is_there() -> None:
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README.read_text()):
        assert (README.parent / picture).is_file(), picture
