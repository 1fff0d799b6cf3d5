"""The page in tools/device/browser, in a browser without a screen: it learns there."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import TOOLS

from rtlstm.kernels.compiler import mode

sys.path.insert(0, str(TOOLS / "lib"))
from chip_machines import MACHINES

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


# A page around the page: it sends a frame what a hand or a sensor would, and tells what that says.
AROUND = """<!doctype html><iframe id="page" src="index.html" width="900" height="900"></iframe>
<dl id="told"></dl>
<script>
const page = document.getElementById("page"), told = document.getElementById("told");
let turn = 0;
const send = {
  pointer(inside, x, y) {
    const box = inside.document.getElementById("box"), frame = box.getBoundingClientRect();
    const scale = frame.width / box.width;
    const at = { clientX: frame.left + x * scale, clientY: frame.top + y * scale };
    box.dispatchEvent(new inside.PointerEvent("pointermove", at));
  },
  motion(inside, x, y) {
    const g = { x: (x - 400) / 25, y: (250 - y) / 25, z: 9.8 };
    inside.dispatchEvent(new inside.DeviceMotionEvent("devicemotion",
      { accelerationIncludingGravity: g, interval: 50 }));
  },
};
page.onload = () => {
  const inside = page.contentWindow, kind = location.search.slice(1);
  setInterval(() => {
    if (!inside.document.body.dataset.ready) return;
    if (!turn && kind === "motion") inside.document.getElementById("motion").click();
    turn += 1;
    send[kind](inside, 400 + 260 * Math.sin(turn / 6), 250 + 160 * Math.sin(turn / 4));
    told.innerHTML = inside.document.querySelector("dl").innerHTML;
  }, 50);
};
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that tells nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served, on this machine alone."""
    if not mode.COMPILES or not BROWSER or MACHINES["wasm32"].missing:
        pytest.skip("needs numba, chromium and wasm-ld")
    room = tmp_path_factory.mktemp("page")
    build = TOOLS / "device" / "browser" / "build"
    subprocess.run([sys.executable, str(build), str(room)], check=True, capture_output=True)
    (room / "around.html").write_text(AROUND)
    Quiet.extensions_map |= {".mjs": "text/javascript", ".wasm": "application/wasm"}
    handler = functools.partial(Quiet, directory=str(room))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def says(address: str, room: Path, milliseconds: int) -> dict[str, str]:
    """What the page tells after so much virtual time, by the names that it has there."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu",
               f"--user-data-dir={room}", f"--virtual-time-budget={milliseconds}",
               "--dump-dom", address]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = dict(re.findall(r'<dd id="(\w+)">([^<]*)</dd>', done.stdout))
    assert "steps" in said, done.stderr[-2000:]
    return said


def error_and_naive(said: dict[str, str]) -> tuple[float, float]:
    """The pixels that the network is off, and that going on as before would be."""
    error, naive = (float(said[key].split()[0]) for key in ("error", "naive"))
    return error, naive


def test_it_learns_in_a_browser(address: str, tmp_path: Path) -> None:
    said = says(f"{address}index.html?demo=3001", tmp_path, 2000)
    assert int(said["steps"]) >= 3000  # the first sample has none before it to move from
    error, naive = error_and_naive(said)
    assert error < 0.5 * naive
    assert said["time"] != "0 µs"  # virtual time stands still


@pytest.mark.parametrize("kind", ["pointer", "motion"])
def test_it_learns_from_a_hand_and_from_a_sensor(kind: str, address: str, tmp_path: Path) -> None:
    said = says(f"{address}around.html?{kind}", tmp_path, 150_000)
    assert int(said["steps"]) > 2000
    error, naive = error_and_naive(said)
    assert error < 0.7 * naive  # 3.0 to 5.4 pixels by when the events come, 8.3; 40 at first
