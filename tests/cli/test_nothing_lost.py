"""Whatever goes wrong, no model and no output is lost that was there before."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.running import GOOD, MORE, ROWS, contents, run

import rtlstm

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
def test_a_bad_file_leaves_what_was_there(text: str, resume: bool, folder: Path) -> None:
    (folder / "bad.csv").write_text(text)
    before = contents(folder)
    more = (
        ["--resume", folder / "m", "--save", folder / "n"] if resume else ["--save", folder / "m"]
    )
    done = run(folder / "bad.csv", *more, "--out", folder / "o")
    if "x,y" in text and not resume:
        assert done.returncode == 0  # a good file of its own
        return
    assert done.returncode != 0
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert "Traceback" not in done.stderr.decode()


def test_paths_that_are_the_same_are_refused(folder: Path) -> None:
    before = contents(folder)
    (folder / "link").symlink_to(folder / "good.csv")
    source = folder / "good.csv"
    for words in (
        ["--out", source],
        ["--save", folder / "link"],
        ["--save", folder / "x", "--out", folder / "x"],
        ["--save", folder / "x", "--report", f"{folder}/./x"],
        ["--onnx", folder / "x.onnx", "--plot", folder / "x.init.onnx"],
    ):
        done = run(source, *words)
        assert done.returncode == 2
        assert b"is the same file as" in done.stderr
        assert done.stderr.count(b"\n") == 1
    (folder / "link").unlink()
    assert contents(folder) == before


OTHERS = {  # beside `stream`: a command's words behind the source, and the outputs that it takes
    "detect": (["--label", "b"], ["--out", "--save", "--plot"]),
    "classify": (["--label", "b", "--classes", "0,1,2,3,4,5,6"], ["--out", "--save"]),
    "regress": (["--label", "b"], ["--out", "--save"]),
    "compare": (["--methods", "last-value", "--season", "0"], ["--json", "--plot"]),
}


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_leave_what_was_there(command: str, folder: Path) -> None:
    """Bad sources, and paths that are the source's or one another's."""
    words, options = OTHERS[command]
    paths = [folder / f"kept{number}.png" for number in range(len(options))]
    for path in paths:
        path.write_text("of old")
    outputs = [word for pair in zip(options, paths) for word in pair]
    texts = {name: text for name, text in BAD.items() if name != "other columns"}
    for number, text in enumerate(texts.values()):
        (folder / f"bad{number}.csv").write_text(text)
    before = contents(folder)
    for number, name in enumerate(texts):
        done = run(folder / f"bad{number}.csv", *words, *outputs, command=command)
        assert done.returncode != 0, name
        assert b"Traceback" not in done.stderr
    same = [(option, folder / "good.csv") for option in options]
    same += [(options[0], paths[0], options[1], paths[0])]
    for outputs in same:
        done = run(folder / "good.csv", *words, *outputs, command=command)
        assert done.returncode == 2 and b"is the same file as" in done.stderr
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"kept0.png.part"}  # the rows before the fault


@pytest.mark.parametrize("command", ["detect", "classify", "regress"])
def test_other_commands_replace_when_they_went_well(command: str, folder: Path) -> None:
    words, _ = OTHERS[command]
    out, save = folder / "o", folder / "n"
    for _ in range(2):
        outputs = ("--out", out, "--save", save)
        assert run(folder / "good.csv", *words, *outputs, command=command).returncode == 0
        assert out.read_bytes().count(b"\n") == ROWS + 1
        assert rtlstm.load(save).rows == ROWS
    assert not (folder / "o.part").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_first_row(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "m")
    before = contents(folder)
    for words, said in (
        (["--save", folder / "link"], b"is a link, pipe or device"),
        (["--save", "/dev/null"], b"is a link, pipe or device"),
        (["--onnx", folder / "link"], b"is a link, pipe or device"),
        (["--plot", folder / "p.xyz"], b".png, .svg or .pdf"),
        (["--plot", folder / "p"], b".png, .svg or .pdf"),
        (["--report", folder], b"is a directory"),
    ):
        done = run(folder / "good.csv", *words)
        assert done.returncode == 2 and said in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert contents(folder) == before


def test_links_to_texts_and_pictures_are_followed(folder: Path) -> None:
    (folder / "far").mkdir()
    names = {"--out": "o.csv", "--report": "r.json", "--plot": "p.png"}
    for name in names.values():
        (folder / "far" / name).write_text("of old")
        (folder / name).symlink_to(folder / "far" / name)
    words = [word for option, name in names.items() for word in (option, folder / name)]
    assert run(folder / "good.csv", *words).returncode == 0
    assert all((folder / name).is_symlink() for name in names.values())
    assert len(list((folder / "far").iterdir())) == 3
    assert json.loads((folder / "far" / "r.json").read_text())["rows"] == ROWS
    assert (folder / "far" / "o.csv").read_bytes().count(b"\n") == ROWS + 1


def test_outputs_are_replaced_when_the_run_went_well(folder: Path) -> None:
    old = contents(folder)
    (folder / "more.csv").write_text(MORE)
    done = run(folder / "more.csv", "--save", folder / "m", "--out", folder / "o", "--truth")
    assert done.returncode == 0
    new = contents(folder)
    assert new["m"] != old["m"]
    assert new["o"].startswith(b"time,a,b,anomaly,a+1,")
    assert not (folder / "o.part").exists()
    assert rtlstm.load(folder / "m").rows == ROWS


def test_appending_goes_on(folder: Path) -> None:
    (folder / "more.csv").write_text(MORE)
    words = ("--resume", folder / "m", "--save", folder / "m", "--out", folder / "o", "--append")
    assert run(folder / "more.csv", *words).returncode == 0
    assert (folder / "o").read_bytes().count(b"\n") == 2 * ROWS + 1
    assert rtlstm.load(folder / "m").rows == 2 * ROWS


def test_a_service_resumes_or_starts(tmp_path: Path) -> None:
    words = ("--resume-or-start", tmp_path / "m", "--out", tmp_path / "o")
    for text in (GOOD, MORE):
        (tmp_path / "day.csv").write_text(text)
        assert run(tmp_path / "day.csv", *words).returncode == 0
    assert rtlstm.load(tmp_path / "m").rows == 2 * ROWS
    assert (tmp_path / "o").read_bytes().count(b"\n") == 2 * ROWS + 1


def test_what_a_resume_may_say(folder: Path) -> None:
    source, model = folder / "good.csv", folder / "m"
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
    gone = run(source, "--resume", folder / "none")
    assert gone.returncode == 2
    assert b"--resume-or-start" in gone.stderr


def test_a_rotated_file_is_told(folder: Path) -> None:
    (folder / "short.csv").write_text("".join(GOOD.splitlines(keepends=True)[:11]))
    before = contents(folder)
    words = (
        "--resume",
        folder / "m",
        "--save",
        folder / "m",
        "--continue",
        "--out",
        folder / "o",
    )
    done = run(folder / "short.csv", *words)
    assert done.returncode == 1
    assert b"ended after 10 of the 40 rows" in done.stderr
    assert contents(folder) == before


def test_a_full_disk_and_a_closed_pipe(folder: Path) -> None:
    before = contents(folder)
    full = run(folder / "good.csv", "--out", "/dev/full", "--save", folder / "m")
    assert full.returncode == 1
    closed = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m rtlstm stream good.csv --out - --save m | head -1'],
        cwd=folder, capture_output=True,
    )  # fmt: skip
    assert closed.stdout.count(b"\n") == 1
    assert b"Traceback" not in closed.stderr
    assert contents(folder)["o"] == before["o"]
    assert rtlstm.load(folder / "m").rows == ROWS


def test_a_kill_leaves_the_old_files(folder: Path) -> None:
    before = contents(folder)
    command = [sys.executable, "-m", "rtlstm", "stream", "-", "--save", "m", "--out", "o"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=folder, stderr=-1) as process:
        assert process.stdin
        process.stdin.write(MORE.encode())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not (folder / "o.part").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    after = contents(folder)
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


def test_a_far_horizon_is_refused_in_a_line(folder: Path) -> None:
    done = run(folder / "good.csv", "--horizon", 20_000)
    assert done.returncode == 1
    assert len(done.stderr) < 200
    assert b"from 1 to 10000, got 20000" in done.stderr


def test_a_file_of_samples_is_inspected(folder: Path) -> None:
    page = run(folder / "good.csv", command="inspect").stdout
    for part in ("separator commas", "time: time, epoch s", "40 rows", "every 60 s"):
        assert part in page
    facts = json.loads(run(folder / "good.csv", "--json", command="inspect").stdout)
    assert facts["columns"] == ["a", "b"]
    assert facts["time"] == ["1970-01-01T00:00:00Z", "1970-01-01T00:39:00Z"]
    assert (facts["rows"], facts["missing"]) == (ROWS, 0)
    assert facts["values"]["b"]["max"] == 6
