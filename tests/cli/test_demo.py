"""`myriad demo`: the main job from nothing."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import ran
from tests.conftest import free_port


@dataclass(frozen=True)
class Shown:
    """What the demo printed while it serves, and its process."""

    text: str
    process: "subprocess.Popen[str]"
    data: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The demo, serving until Ctrl-C."""
    root = tmp_path_factory.mktemp("demo")
    flags = ["--directory", str(root / "data"), "--port", str(free_port())]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "myriad", "demo", *flags], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Serving on"):
            break
    yield Shown("".join(lines), process, root / "data")
    process.kill()
    process.wait()
    process.stdout.close()


def highest(shown: Shown, hour: str) -> dict[str, float]:
    """The highest score of each column of an hour."""
    part = shown.text[shown.text.index(f"\n{hour} hour") :].split("\n\n")[0]
    return {name: float(score) for name, score in re.findall(r"^ +(\w+) .*highest +([0-9.]+)", part, re.MULTILINE)}


def test_the_quiet_hour_stays_below_1_and_the_incident_goes_above(demo: Shown) -> None:
    quiet, incident = highest(demo, "quiet"), highest(demo, "incident")
    assert quiet.keys() == incident.keys() == {"score", "1m", "15m", "1h"}
    assert quiet["score"] < 1 < incident["score"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_lines_to_try_work_as_pasted(demo: Shown) -> None:
    commands = re.findall(r"^  (curl .*)$", demo.text, re.MULTILINE)
    answers = [json.loads(subprocess.check_output(f"{c} --noproxy '*'", shell=True, timeout=30)) for c in commands]
    scored, models, release = answers
    assert max(score for score in scored["anomaly_scores"]["score"] if score is not None) > 1
    assert models["windows"].keys() == {"1m", "15m", "1h"}
    assert release["id"] in demo.text


def test_ctrl_c_ends_it_with_0(demo: Shown) -> None:
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    refused = ran("demo", "--exit", "--directory", tmp_path)
    assert refused.exit_code == 2
    assert "--directory" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_port_that_is_taken_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = ran("demo", "--exit", "--directory", tmp_path / "data", "--port", port)
    assert refused.exit_code == 1
    assert f"port {port} is taken" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_the_report_works_on_the_demos_store(demo: Shown, tmp_path: Path) -> None:
    store = (demo.data / "store").as_uri()
    result = ran("report", "--store", store, "--output", tmp_path / "report.html")
    assert result.exit_code == 0, result.stderr
    assert "cpu_util" in (tmp_path / "report.html").read_text()


def test_with_exit_it_ends_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "myriad", "demo", "--exit", "--directory", str(tmp_path / "data")]
    ended = subprocess.run(
        [*command, "--port", str(free_port())], capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {"history.parquet", "store", "incident.json"}
