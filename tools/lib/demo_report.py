"""Tells in a few lines what tools/demo left behind. Usage: demo_report.py DIRECTORY"""

import json
import sys
from pathlib import Path

FILES = {
    "forecasts.csv": "after each row of the recording, the forecast of the next, with bounds",
    "live.csv": "the same for this machine",
    "model.safetensors": "the learner, to go on from with --resume",
    "model.onnx": "the forecaster for a stock onnxruntime",
    "run.png": "truth, forecasts and errors of the recording",
    "report.json": "the figures above",
}


def compared(difference: float | None) -> str:
    """What running the exported file beside the model showed, or why nothing did."""
    if difference is None:
        return "ONNX: exported, and not compared, for there is no onnxruntime on this Python."
    return f"ONNX, last 1,000 rows: differs by {difference:.1e} at most."


def main() -> None:
    """Print the report and the files' sizes."""
    folder = Path(sys.argv[1])
    report = json.loads((folder / "report.json").read_text())
    print("{rows:,} rows learned in {seconds:.1f} s, with all that was written.".format(**report))
    print("Skill against the last value repeated: {skill:+.1%}, mean of targets.".format(**report))
    print(compared(report["onnx_difference"]))
    print()
    for name, meaning in FILES.items():
        path = folder / name
        print(f"  {path!s:<30}{path.stat().st_size:>10,} bytes   {meaning}")


if __name__ == "__main__":
    main()
