"""Prints the dependencies of pyproject.toml, and those of its tests, at their lowest versions."""

import re
import tomllib
from pathlib import Path

EXTRAS = ("cli", "plot", "host", "verify", "dev")
TOOLS = ("mypy", "ruff", "import-linter")  # which check the sources, not what runs


def main() -> None:
    """Print one pinned requirement a line."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"].get(extra, [])
    for line in wanted:
        found = re.fullmatch(r"([\w.-]+)>=([\d.]+)(\s*;.*)?", line)
        if found and found[1] not in TOOLS:
            print(f"{found[1]}=={found[2]}{found[3] or ''}")


if __name__ == "__main__":
    main()
