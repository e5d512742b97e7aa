"""A real S3 server to measure against: SeaweedFS on loopback, with credentials, in a directory of its own."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "bench"
KEYS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "NO_PROXY")
UNWANTED = ("AWS_PROFILE", "AWS_SESSION_TOKEN")
GRPC = 10_000
"""SeaweedFS listens with gRPC this far above each of its ports."""
START_SECONDS = 60


class Weed:
    """One `weed server`; `stop` ends it for good."""

    def __init__(self, directory: Path) -> None:
        """Start it.

        Args:
            directory: for its files and its log.
        """
        ports = free_ports(4)
        self.environment = dict(
            zip(KEYS, (f"http://127.0.0.1:{ports[3]}", "bench", "bench-secret", "us-east-1", "127.0.0.1"), strict=True)
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
        """Return when there is a bucket to use.

        Raises:
            RuntimeError: it ended, or did not get there in time.
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
        """End the process and wait until it has; asked to end, it would take half a minute to save what goes anyway."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def weed(directory: Path) -> Iterator[Weed]:
    """A running server; this process and its children find it in their environment as long as it is there."""
    server = Weed(directory)
    try:
        with _environment(server.environment):
            server.wait()
            yield server
    finally:
        server.stop()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, each free at +10000 as well."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 30_000)
        if port not in found and _free(port) and _free(port + GRPC):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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
    before = {name: os.environ.pop(name, None) for name in (*variables, *UNWANTED)}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
