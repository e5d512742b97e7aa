"""Local files harmed under a running service: it lives, waits for nobody and scores right."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Published, Server
from tests.serving.bodies import answered, frame, many

HARMS = {
    "cut short": "os.truncate(path, 10)",
    "emptied": "os.truncate(path, 0)",
    "written over in place": "open(path, 'r+b').write(b'?' * (os.path.getsize(path) - 8))",
    "opened for writing and kept so": "os.open(path, os.O_RDWR) and time.sleep(3)",
    "replaced by another": "os.replace(shutil.copy(path, path + '-'), path); os.truncate(path, 99)",
}


HARM = """
import os, shutil, sys, threading, time

def harm(path):
    os.chmod(path, 0o600)
    {harm}

for path in sys.argv[1:]:
    threading.Thread(target=harm, args=[path]).start()
"""


def scored(server: Server, bodies: list[dict[str, Any]]) -> list[Any]:
    """What each of the bodies is answered."""
    return [answered(server.client, body)["series"] for body in bodies]


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_file_harmed_while_it_is_mapped_is_fetched_again_and_no_answer_is_wrong(
    harm: str, published: Published, serve: Callable[..., Server]
) -> None:
    points = frame(published.fleet, *published.fleet.series)
    strangers = [points[points.host == "web-000"].assign(host=f"unknown-{i}") for i in range(17)]
    asked = [many(part) for part in (points, *strangers[:1])]
    asked.append({"series": [one for part in (points, *strangers) for one in many(part)["series"]]})
    server = serve(published.url)
    before = scored(server, asked)
    assert {series["status"] for series in before[0]} == {"ok"}
    local = server.log.with_suffix(".local")
    whole = {path: path.read_bytes() for path in (local / "shards").iterdir() if path.name[0] != "."}
    assert len(whole) >= 2
    with subprocess.Popen([sys.executable, "-c", HARM.format(harm=harm), *map(str, whole)]) as harming:
        deadline, settled = time.monotonic() + 20, 0
        while settled < 20:
            settled += harming.poll() is not None
            assert time.monotonic() < deadline, "who does harm waits too long"
            assert scored(server, asked) == before
    assert harming.returncode == 0
    assert server.process.poll() is None
    again = serve(published.url, MYRIAD_LOCAL_DIRECTORY=str(local))
    assert scored(again, asked) == before
    assert {path: path.read_bytes() for path in whole} == whole


def test_a_directory_others_may_write_to_is_said_and_not_served_from(published: Published, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    command = [sys.executable, "-m", "myriad", "warm", "--store", published.url, "--local-directory", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert f"chmod 0700 {tmp_path}" in run.stderr
