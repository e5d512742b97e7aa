"""The `myriad` command, run as a user runs it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.shared.fleet import LOCAL_BYTES
from myriad.storage.release import Releases
from myriad.storage.url import open_store

MYRIAD = str(Path(sys.executable).with_name("myriad"))


def synth(store: str, series: int, seed: int = 7) -> dict[str, Any]:
    """Publish a reference fleet with `myriad synth`; how long that took and how large the release is."""
    started = time.perf_counter()
    output = run("synth", "--series", str(series), "--seed", str(seed), "--store", store)
    seconds, releases = time.perf_counter() - started, Releases(open_store(store))
    manifest = msgspec.json.encode(releases.manifest(output["release"]))
    return {
        "seconds": seconds,
        "puts": output["artifacts"] + 2,  # the manifest and the pointer
        "series": output["series"],
        "models": output["models"],
        "bytes": output["bytes"],
        "bytes_a_model": output["bytes"] / output["models"],
        "raw_bytes_a_model": output["raw_bytes_a_model"],
        "manifest_bytes": len(manifest),
    }


def warm(store: str, directory: Path) -> dict[str, float]:
    """Download a fleet into a local directory with `myriad warm`; the seconds and bytes that took."""
    started = time.perf_counter()
    output = run("warm", "--store", store, "--local-directory", str(directory), MYRIAD_LOCAL_BYTES=str(LOCAL_BYTES))
    return {"seconds": time.perf_counter() - started, "bytes": output["bytes"]}


def run(*arguments: str, **environment: str) -> Mapping[str, Any]:
    """The JSON that a command prints.

    Raises:
        RuntimeError: the command failed; with the end of its stderr.
    """
    command = [MYRIAD, *arguments, "--json"]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if process.returncode:
        raise RuntimeError(f"myriad {arguments[0]} ended with {process.returncode}:\n{process.stderr[-2000:]}")
    output: Mapping[str, Any] = json.loads(process.stdout)
    return output
