"""Damaged files, many of them: refused as such, or read as what was written."""

from collections import Counter
from pathlib import Path

import numpy as np
from attacks import damaged


def test_damage_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    """`tools/soak --decoder` tries a million."""
    rng = np.random.default_rng(8)
    ends = Counter(damaged.survive(tmp_path / "m", *damaged.case(rng)) for _ in range(1000))
    assert len(ends) >= 4
