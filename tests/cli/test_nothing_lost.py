"""Whatever goes wrong, no model and no output is lost that was there before."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import rtlstm
import rtlstm.cli

ROWS = 40
GOOD = "time,a,b\n" + "".join(f"{60 * i},{i % 5},{i % 7}\n" for i in range(ROWS))
MORE = "time,a,b\n" + "".join(f"{60 * i},{i % 5},{i % 7}\n" for i in range(ROWS, 2 * ROWS))


class Done(NamedTuple):
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: bytes


def run(*words: object, command: str = "stream") -> Done:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["rtlstm", command, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            rtlstm.cli.main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue().encode())


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with a source, a trained model and its forecasts."""
    (tmp_path / "good.csv").write_text(GOOD)
    done = run(tmp_path / "good.csv", "--save", tmp_path / "m", "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


BAD = {
    "unreadable": "name,town\nann,rome\nbob,oslo\n",
    "an html page": "<html><body>Sign in</body></html>",
    "empty": "",
    "a header alone": "time,a,b\n",
    "broken at the first row": "time,a,b\n1,x,2\n2,3,4\n3,4,5\n",
    "broken later": GOOD + "soon,1,2\n",
    "other columns": "time,x,y\n1,2,3\n2,3,4\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
@pytest.mark.parametrize("resume", [False, True])
def test_a_bad_file_leaves_what_was_there(text: str, resume: bool, there: Path) -> None:
    (there / "bad.csv").write_text(text)
    before = contents(there)
    more = ["--resume", there / "m", "--save", there / "n"] if resume else ["--save", there / "m"]
    done = run(there / "bad.csv", *more, "--out", there / "o")
    if "x,y" in text and not resume:
        assert done.returncode == 0  # a good file of its own
        return
    assert done.returncode != 0
    after = contents(there)
    assert {name: after[name] for name in before} == before
    assert "Traceback" not in done.stderr.decode()


def test_paths_that_are_the_same_are_refused(there: Path) -> None:
    before = contents(there)
    (there / "link").symlink_to(there / "good.csv")
    source = there / "good.csv"
    for words in (
        ["--out", source],
        ["--save", there / "link"],
        ["--save", there / "x", "--out", there / "x"],
        ["--save", there / "x", "--report", f"{there}/./x"],
        ["--onnx", there / "x.onnx", "--plot", there / "x.init.onnx"],
    ):
        done = run(source, *words)
        assert done.returncode == 2
        assert b"is the same file as" in done.stderr
        assert done.stderr.count(b"\n") == 1
    (there / "link").unlink()
    assert contents(there) == before


OTHERS = {  # beside `stream`: a command's words behind the source, and the outputs that it takes
    "detect": (["--label", "b"], ["--out", "--save", "--plot"]),
    "classify": (["--label", "b", "--classes", "0,1,2,3,4,5,6"], ["--out", "--save"]),
    "regress": (["--label", "b"], ["--out", "--save"]),
    "compare": (["--methods", "last-value", "--season", "0"], ["--json", "--plot"]),
}


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_leave_what_was_there(command: str, there: Path) -> None:
    """Bad sources, and paths that are the source's or one another's."""
    words, options = OTHERS[command]
    paths = [there / f"kept{number}.png" for number in range(len(options))]
    for path in paths:
        path.write_text("of old")
    outputs = [word for pair in zip(options, paths) for word in pair]
    texts = {name: text for name, text in BAD.items() if name != "other columns"}
    for number, text in enumerate(texts.values()):
        (there / f"bad{number}.csv").write_text(text)
    before = contents(there)
    for number, name in enumerate(texts):
        done = run(there / f"bad{number}.csv", *words, *outputs, command=command)
        assert done.returncode != 0, name
        assert b"Traceback" not in done.stderr
    same = [(option, there / "good.csv") for option in options]
    same += [(options[0], paths[0], options[1], paths[0])]
    for outputs in same:
        done = run(there / "good.csv", *words, *outputs, command=command)
        assert done.returncode == 2 and b"is the same file as" in done.stderr
    after = contents(there)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"kept0.png.part"}  # the rows before the fault


@pytest.mark.parametrize("command", ["detect", "classify", "regress"])
def test_other_commands_replace_when_they_went_well(command: str, there: Path) -> None:
    words, _ = OTHERS[command]
    out, save = there / "o", there / "n"
    for _ in range(2):
        outputs = ("--out", out, "--save", save)
        assert run(there / "good.csv", *words, *outputs, command=command).returncode == 0
        assert out.read_bytes().count(b"\n") == ROWS + 1
        assert rtlstm.load(save).rows == ROWS
    assert not (there / "o.part").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_first_row(there: Path) -> None:
    (there / "link").symlink_to(there / "m")
    before = contents(there)
    for words, said in (
        (["--save", there / "link"], b"is a link, pipe or device"),
        (["--save", "/dev/null"], b"is a link, pipe or device"),
        (["--onnx", there / "link"], b"is a link, pipe or device"),
        (["--plot", there / "p.xyz"], b".png, .svg or .pdf"),
        (["--plot", there / "p"], b".png, .svg or .pdf"),
        (["--report", there], b"is a directory"),
    ):
        done = run(there / "good.csv", *words)
        assert done.returncode == 2 and said in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert contents(there) == before


def test_links_to_texts_and_pictures_are_followed(there: Path) -> None:
    (there / "far").mkdir()
    names = {"--out": "o.csv", "--report": "r.json", "--plot": "p.png"}
    for name in names.values():
        (there / "far" / name).write_text("of old")
        (there / name).symlink_to(there / "far" / name)
    words = [word for option, name in names.items() for word in (option, there / name)]
    assert run(there / "good.csv", *words).returncode == 0
    assert all((there / name).is_symlink() for name in names.values())
    assert len(list((there / "far").iterdir())) == 3
    assert json.loads((there / "far" / "r.json").read_text())["rows"] == ROWS
    assert (there / "far" / "o.csv").read_bytes().count(b"\n") == ROWS + 1


def test_outputs_are_replaced_when_the_run_went_well(there: Path) -> None:
    old = contents(there)
    (there / "more.csv").write_text(MORE)
    done = run(there / "more.csv", "--save", there / "m", "--out", there / "o", "--truth")
    assert done.returncode == 0
    new = contents(there)
    assert new["m"] != old["m"]
    assert new["o"].startswith(b"time,a,b,anomaly,a+1,")
    assert not (there / "o.part").exists()
    assert rtlstm.load(there / "m").rows == ROWS


def test_appending_goes_on(there: Path) -> None:
    (there / "more.csv").write_text(MORE)
    words = ("--resume", there / "m", "--save", there / "m", "--out", there / "o", "--append")
    assert run(there / "more.csv", *words).returncode == 0
    assert (there / "o").read_bytes().count(b"\n") == 2 * ROWS + 1
    assert rtlstm.load(there / "m").rows == 2 * ROWS


def test_a_service_resumes_or_starts(tmp_path: Path) -> None:
    words = ("--resume-or-start", tmp_path / "m", "--out", tmp_path / "o")
    for text in (GOOD, MORE):
        (tmp_path / "day.csv").write_text(text)
        assert run(tmp_path / "day.csv", *words).returncode == 0
    assert rtlstm.load(tmp_path / "m").rows == 2 * ROWS
    assert (tmp_path / "o").read_bytes().count(b"\n") == 2 * ROWS + 1


def test_what_a_resume_may_say(there: Path) -> None:
    source, model = there / "good.csv", there / "m"
    same = run(source, "--resume", model, "--lags", 29, "--columns", "a,b", "--hidden", 32)
    assert same.returncode == 0, same.stderr
    for words, name in (
        (["--lags", 3], b"--lags"),
        (["--target", "a"], b"--target"),
        (["--horizon", 2], b"--horizon"),
        (["--rule", "uoro"], b"--rule"),
    ):
        done = run(source, "--resume", model, *words)
        assert done.returncode == 2
        assert name in done.stderr and done.stderr.count(b"\n") == 1
    gone = run(source, "--resume", there / "none")
    assert gone.returncode == 2
    assert b"--resume-or-start" in gone.stderr


def test_a_rotated_file_is_told(there: Path) -> None:
    (there / "short.csv").write_text("".join(GOOD.splitlines(keepends=True)[:11]))
    before = contents(there)
    words = ("--resume", there / "m", "--save", there / "m", "--continue", "--out", there / "o")
    done = run(there / "short.csv", *words)
    assert done.returncode == 1
    assert b"ended after 10 of the 40 rows" in done.stderr
    assert contents(there) == before


def test_a_full_disk_and_a_closed_pipe(there: Path) -> None:
    before = contents(there)
    full = run(there / "good.csv", "--out", "/dev/full", "--save", there / "m")
    assert full.returncode == 1
    closed = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m rtlstm stream good.csv --out - --save m | head -1'],
        cwd=there, capture_output=True,
    )  # fmt: skip
    assert closed.stdout.count(b"\n") == 1
    assert b"Traceback" not in closed.stderr
    assert contents(there)["o"] == before["o"]
    assert rtlstm.load(there / "m").rows == ROWS


def test_a_kill_leaves_the_old_files(there: Path) -> None:
    before = contents(there)
    command = [sys.executable, "-m", "rtlstm", "stream", "-", "--save", "m", "--out", "o"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=there, stderr=-1) as process:
        assert process.stdin
        process.stdin.write(MORE.encode())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not (there / "o.part").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    after = contents(there)
    assert {name: after[name] for name in before} == before


def test_groups_have_a_model_each(tmp_path: Path) -> None:
    lines = [f"{60 * i},{'north/1' if i % 2 else 'south'},{i % 5}\n" for i in range(ROWS)]
    (tmp_path / "all.csv").write_text("time,gate,a\n" + "".join(lines))
    done = run(
        tmp_path / "all.csv", "--group", "gate", "--save", tmp_path / "g", "--out", tmp_path / "g"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == [
        "north%2F1.csv", "north%2F1.safetensors", "south.csv", "south.safetensors",
    ]  # fmt: skip
    assert rtlstm.load(tmp_path / "g" / "south.safetensors").rows == ROWS // 2
    assert b"gate south: 20 rows learned" in done.stderr


def test_help_without_a_word() -> None:
    done = subprocess.run([sys.executable, "-m", "rtlstm"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: rtlstm")


def test_a_far_horizon_is_refused_in_a_line(there: Path) -> None:
    done = run(there / "good.csv", "--horizon", 20_000)
    assert done.returncode == 1
    assert len(done.stderr) < 200
    assert b"from 1 to 10000, got 20000" in done.stderr


def test_a_file_of_samples_is_inspected(there: Path) -> None:
    page = run(there / "good.csv", command="inspect").stdout
    for part in ("separator commas", "time: time, epoch s", "40 rows", "every 60 s"):
        assert part in page
    facts = json.loads(run(there / "good.csv", "--json", command="inspect").stdout)
    assert facts["columns"] == ["a", "b"]
    assert facts["time"] == ["1970-01-01T00:00:00Z", "1970-01-01T00:39:00Z"]
    assert (facts["rows"], facts["missing"]) == (ROWS, 0)
    assert facts["values"]["b"]["max"] == 6
