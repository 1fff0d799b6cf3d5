"""A folder of chorales such as the experiments read, of three short pieces a part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtlstm.studies.literature import odyssey


def chorales(folder: Path) -> Path:
    """Write 60 random chords for each part into the folder, and return it."""
    draw = np.random.RandomState(0)
    held = {}
    for part in odyssey.PARTS:
        held[f"{part}_roll"] = (draw.random_sample((60, 88)) < 0.05).astype(np.uint8)
        held[f"{part}_lengths"] = np.array([20, 15, 25], np.int32)
    np.savez(folder / "jsb_chorales_quarter.npz", **held)
    return folder
