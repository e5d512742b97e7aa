"""`myriad demo`: the main job from nothing, on a small synthetic fleet."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import pyarrow.parquet

from myriad import kernels
from myriad.cli.train import train
from myriad.models.key import Series
from myriad.serving.settings import Settings
from myriad.training.fleets.synthetic import DAY, Fleet, fleet

HISTORY_DAYS = 14
UNTIL = 1_767_571_200
"""2026-01-05T00:00Z: with the generator's seed it makes every demo the same."""
HOUR = 3600
STOP_SECONDS = 10
"""For the service to end when it is asked to."""
MARK = ".myriad-demo"
JOB, WORK = "fleet.yaml", "work"
BARS = "▁▂▃▄▅▆▇█"


@click.command()
@click.option("--exit", "exit_", is_flag=True, help="End when the answers have been shown.")
@click.option(
    "--port", default=Settings.model_fields["port"].default, show_default=True, help="Where to serve, on 127.0.0.1."
)
@click.option("--directory", default="demo-data", show_default=True, help="For telemetry and the store; replaced.")
def demo(*, exit_: bool, port: int, directory: str) -> None:
    """Make telemetry, fit and publish a fleet, serve it, and post a quiet hour and an incident to it."""
    _demand_free(port)
    root = Path(directory).absolute()
    if root.exists() and any(root.iterdir()) and not (root / MARK).exists():
        raise click.BadParameter(f"{root} holds something else than a demo's data", param_hint="--directory")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / MARK).touch()
    synthetic = fleet(end=UNTIL, days=HISTORY_DAYS + 1)
    if kernels.in_use() != "compiled":
        click.echo(f"kernels: {kernels.in_use()}; all works, fitting and scoring take longer")
    url = _published(synthetic, root)
    with _Served(url, port) as service:
        _show(synthetic, root, service.address)
        if not exit_:
            click.echo(f"\nServing on {service.address} (docs at {service.address}/docs) until Ctrl-C.")
            service.wait()


def _demand_free(port: int) -> None:
    """Whoever has the port already would answer in the demo's place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise click.ClickException(f"port {port} is taken; name another with --port") from exc


def _published(synthetic: Fleet, root: Path) -> str:
    """Train on all but the last day with a job file, and publish to a store in the directory."""
    last_day = int(synthetic.timestamps[-1]) + 60 - DAY
    history = synthetic.table(int(synthetic.timestamps[0]), last_day)
    pyarrow.parquet.write_table(history, root / "history.parquet")
    click.echo(f"wrote {history.num_rows:,} datapoints of {len(synthetic.series)} series to {root / 'history.parquet'}")
    (root / JOB).write_text("job: demo\nhistory:\n  files: [history.parquet]\nstore: store\n")
    click.echo(f"\nmyriad train {root / JOB}")
    train.main([str(root / JOB), "--work", str(root / WORK)], standalone_mode=False)
    shutil.rmtree(root / WORK)
    return (root / "store").as_uri()


class _Served:
    """The service in a process of its own."""

    def __init__(self, store: str, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "myriad", "serve", "--store", store, "--port", str(port)]
        self._process = subprocess.Popen([*command, "--log-level", "warning"])  # noqa: S603

    def __enter__(self) -> "_Served":
        for _ in range(300):
            if self._process.poll() is not None:
                raise click.ClickException(f"the service ended; is something else at {self.address}?")
            try:
                if httpx.get(f"{self.address}/health/ready", trust_env=False).is_success:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise click.ClickException("the service did not get ready in 30 seconds")

    def wait(self) -> None:
        # What a script starts in the background ignores interrupts; the demo ends with them all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self._process.wait()
        except KeyboardInterrupt:
            click.echo()

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _show(synthetic: Fleet, root: Path, address: str) -> None:
    incident = synthetic.incidents[0]
    quiet = next(s for s in synthetic.series if s not in {i.series for i in synthetic.incidents})
    for name, series, end in (("quiet", quiet, incident.end), ("incident", incident.series, incident.end)):
        body = _request(synthetic, series, end)
        (root / f"{name}.json").write_text(json.dumps(body))
        answer = httpx.post(f"{address}/predict", json=body, trust_env=False).raise_for_status().json()
        _print(name, series, answer)
    click.echo("\nTry it:")
    click.echo(f"  curl -s {address}/predict -H 'content-type: application/json' -d @{root / 'incident.json'}")
    click.echo(f"  curl -s {address}/models/{incident.series}")
    click.echo(f"  curl -s {address}/releases/current")


def _request(synthetic: Fleet, series: Series, end: int) -> dict[str, Any]:
    """The hour up to `end`, and the hour before it that its longest window looks back on."""
    chosen = (synthetic.timestamps >= end - 2 * HOUR) & (synthetic.timestamps < end)
    values = synthetic.values[synthetic.series.index(series)][chosen]
    pairs = zip(synthetic.timestamps[chosen].tolist(), values.tolist(), strict=True)
    return {**series._asdict(), "datapoints": [{"timestamp": t, "value": v} for t, v in pairs]}


def _print(name: str, series: Series, answer: dict[str, Any]) -> None:
    click.echo(f"\n{name} hour of {series}, a column a minute; a full bar is a score of 4 or more, ! is above 1")
    for column in ("score", "1m", "15m", "1h"):
        scores = np.array(answer["anomaly_scores"][column][-60:], float)
        bars = "".join(BARS[int(min(score, 3.99) / 4 * len(BARS))] if score == score else " " for score in scores)
        alarm = "!" if np.nanmax(scores) > 1 else " "
        click.echo(f"  {column:>5} {bars}  highest {np.nanmax(scores):5.2f} {alarm}")
