"""What the documents name is there."""

import ast
import re

import pytest
from paths import ROOT, TESTS

FAULTS = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", FAULTS)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: str(part))
def test_a_test_that_holds_a_fault_is_there(file: str, name: str) -> None:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_its_row_and_its_tests_or_what_is_missing() -> None:
    rows = [line for line in FAULTS.splitlines() if re.match(r"\| F\d\d ", line)]
    assert [line[2:5] for line in rows] == [f"F{number:02}" for number in range(1, 39)]
    for line in rows:
        assert "::" in line or "partly:" in line, line


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link
