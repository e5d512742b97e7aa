"""SeaweedFS: a real S3 server on loopback, with credentials, in a directory of its own."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from bench.shared.ports import free_ports

BUCKET = "bench"
ENVIRONMENT = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "NO_PROXY")
CLEARED = ("AWS_PROFILE", "AWS_SESSION_TOKEN")
"""Environment variables that would override the credentials."""
START_SECONDS = 60


class SeaweedFS:
    """One `weed server`; it cannot be started again after `stop`."""

    def __init__(self, directory: Path) -> None:
        """Start the server.

        Args:
            directory: for its files and its log.
        """
        ports = free_ports(4)
        self.environment = dict(
            zip(
                ENVIRONMENT,
                (f"http://127.0.0.1:{ports[3]}", "bench", "bench-secret", "us-east-1", "127.0.0.1"),
                strict=True,
            )
        )
        config = directory / "s3.json"
        credentials = {"accessKey": "bench", "secretKey": "bench-secret"}
        actions = ["Admin", "Read", "Write", "List"]
        config.write_text(
            json.dumps({"identities": [{"name": "bench", "credentials": [credentials], "actions": actions}]})
        )
        self._log = directory / "weed.log"
        with self._log.open("wb") as log:
            command = _command(directory, config, ports)
            self._process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        """Wait until the bucket can be written.

        Raises:
            RuntimeError: the process ended, or was not ready within `START_SECONDS`.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(BotoCoreError, ClientError):
                client = boto3.client("s3")
                with contextlib.suppress(client.exceptions.BucketAlreadyExists):
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
                return
            time.sleep(0.2)
        raise RuntimeError(f"weed did not start:\n{self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Kill the process: on SIGTERM it would take half a minute to save data that is deleted anyway."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def seaweedfs(directory: Path) -> Iterator[SeaweedFS]:
    """A running server, with the environment of this process and its children set up to use it."""
    server = SeaweedFS(directory)
    try:
        with _environment(server.environment):
            server.wait()
            yield server
    finally:
        server.stop()


def _command(directory: Path, config: Path, ports: list[int]) -> list[str]:
    master, volume, filer, s3 = ports
    flags = {
        "dir": directory,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": master,
        "master.volumeSizeLimitMB": 256,
        "master.telemetry": "false",
        "volume.port": volume,
        "volume.max": 200,
        "filer.port": filer,
        "s3.port": s3,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.config": config,
        "iam": "false",
    }
    program = str(Path(sys.executable).with_name("weed"))
    return [
        program,
        f"-logdir={directory}",
        "server",
        "-filer",
        "-s3",
        *(f"-{name}={value}" for name, value in flags.items()),
    ]


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in (*variables, *CLEARED)}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
