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
    Quiet.extensions_map |= {".mjs": "text/javascript", ".wasm": "application/wasm"}
    handler = functools.partial(Quiet, directory=str(room))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()


def test_it_learns_in_a_browser(address: str, tmp_path: Path) -> None:
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu",
               f"--user-data-dir={tmp_path}", "--virtual-time-budget=2000",
               "--dump-dom", f"{address}?demo=3000"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = dict(re.findall(r'<dd id="(\w+)">([^<]*)</dd>', done.stdout))
    assert int(said["steps"]) >= 3000, done.stderr[-2000:]
    error, naive = (float(said[key].split()[0]) for key in ("error", "naive"))
    assert error < 0.5 * naive
    assert said["time"] != "0 µs"  # virtual time stands still
