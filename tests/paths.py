"""Where the checkout's parts lie, for tests that read or run them."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
TOOLS = ROOT / "tools"
