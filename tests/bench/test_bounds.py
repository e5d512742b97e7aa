"""The bench of the bounds: what is at a bound is answered, what is beyond is refused."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_request_is_answered_as_promised(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.bounds", "--series", "1000", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "bounds-quick.json").read_text())
    assert {goal["name"]: goal["value"] for goal in results["goals"]}["answers of another status"] == 0, done.stdout
