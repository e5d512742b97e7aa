"""The benches of training and of scoring files run, and say what their goals are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("name", "goals"), [("train", 5), ("predict", 2)])
def test_a_short_run_measures_every_goal(name: str, goals: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"bench.{name}", "--hosts", "2", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / f"{name}-quick.json").read_text())
    assert len(results["goals"]) == goals
    assert all(goal["value"] > 0 for goal in results["goals"])
    assert done.stdout.count(">=") == goals
