"""examples/prometheus.yaml: the job is sound, and trains from a server that answers its queries."""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from myriad.serving.predictor import Predictor
from myriad.training.job.config import JobFile, Prometheus
from tests.examples.processes import EXAMPLES, output_of, run_python
from tests.training.promserver import PromServer, promserver

JOB = EXAMPLES / "prometheus.yaml"
DAY = 86400
HOSTS = {"eu-west-1": "10.0.0.1:9100", "us-east-1": "10.1.0.1:9100"}
AUTHORIZATION = "Bearer abc"


def queries() -> Prometheus:
    """What the job asks Prometheus for."""
    source = JobFile.load(JOB).history.prometheus
    assert source is not None
    return source


def telemetry(seed: int) -> Callable[[int], str]:
    """A daily rhythm with noise: a value for each minute, the same whenever it is asked for."""
    noise = np.random.default_rng(seed).normal(size=997).tolist()
    return lambda t: str(50 + 20 * math.sin(2 * math.pi * t / DAY) + noise[t // 60 % 997])


@pytest.fixture
def server() -> Iterator[PromServer]:
    """Prometheus with a host in each of two regions, which both have a series for each of the job's queries."""
    with promserver() as running:
        for number, query in enumerate(queries().queries.values()):
            running.series[query] = [
                ({"region": region, "instance": host}, telemetry(10 * number + i))
                for i, (region, host) in enumerate(HOSTS.items())
            ]
        yield running


@pytest.fixture
def job(server: PromServer, tmp_path: Path) -> Path:
    """The example with the URL of the server in place of its own."""
    text = JOB.read_text()
    assert text.count(queries().url) == 1
    copy = tmp_path / JOB.name
    copy.write_text(text.replace(queries().url, server.url))
    return copy


def test_the_job_asks_for_cpu_memory_disk_and_network_by_region_and_host() -> None:
    source = queries()
    assert {metric.partition("_")[0] for metric in source.queries} == {"cpu", "mem", "disk", "net"}
    labels = f"by ({source.region_label}, {source.host_label}) ("
    assert all(labels in query for query in source.queries.values())


def test_the_job_is_checked_without_prometheus(tmp_path: Path) -> None:
    result = json.loads(output_of("-m", "myriad", "train", JOB, "--check", "--json", cwd=tmp_path))
    job = JobFile.load(JOB)
    assert result == {"job": job.job, "store": job.store, "windows": "1m,15m,1h"}


def test_the_job_trains_from_prometheus_and_its_models_score(job: Path, server: PromServer, tmp_path: Path) -> None:
    url = (tmp_path / "store").as_uri()
    flags = ("--store", url, "--work", tmp_path / "work", "--processes", 1, "--json")
    printed = output_of(
        "-m", "myriad", "train", job, *flags, cwd=tmp_path, MYRIAD_PROMETHEUS_AUTHORIZATION=AUTHORIZATION
    )
    metrics = list(queries().queries)
    result = json.loads(printed)
    # A series for each metric and host, and the fallbacks of the two regions and of everything.
    assert result["series"] == len(metrics) * (len(HOSTS) + 2 + 1)
    assert result["lacking_a_model"] == 0
    assert server.headers["Authorization"] == AUTHORIZATION

    now = int(time.time()) // 60 * 60
    times = range(now - 3600, now, 60)
    usual = telemetry(0)
    values = [float(usual(t)) for t in times[:-1]] + [500.0]
    region, host = next(iter(HOSTS.items()))
    series = {"region": region, "host": host, "metric": metrics[0]}
    scores = Predictor.open(url).predict(pd.DataFrame({**series, "timestamp": times, "value": values}))
    assert set(scores["status"]) == {"ok"}
    assert scores["score"].iloc[-1] > 1 > scores["score"].iloc[-2]


def test_a_missing_variable_is_named(job: Path, tmp_path: Path) -> None:
    flags = ("--store", (tmp_path / "store").as_uri(), "--work", tmp_path / "work")
    done = run_python("-m", "myriad", "train", job, *flags, cwd=tmp_path)
    assert done.returncode != 0
    assert "MYRIAD_PROMETHEUS_AUTHORIZATION is not set" in done.stderr
