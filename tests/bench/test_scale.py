"""The scale benchmark: that it measures everything, leaves nothing behind, and what it finds at any speed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.models.base import Model
from myriad.models.key import Series, part_hash, series_hash
from myriad.models.names import Names
from myriad.storage.artifact import pack
from myriad.storage.shard import Shard

SIZES = ("500", "1000")
QUANTILES = ("p50_ms", "p99_ms", "samples")
THROUGHPUT = ("requests_a_second", "sweep_by_host_series_a_second", "sweep_by_shard_series_a_second")
MEMORY = ("rss_bytes", "pss_bytes", "rss_bytes_a_model", "pss_bytes_a_model")
SWAP = ("seconds", "before_p99_ms", "during_p99_ms", "requests", "failed", "mixed", "artifacts")
CACHE = (
    *(f"{traffic}_{cache}_series_a_second" for traffic in ("sweep", "zipf", "mixed") for cache in ("ours", "lru")),
    *(f"{traffic}_{cache}_sweeping_hit_rate" for traffic in ("sweep", "mixed") for cache in ("ours", "lru")),
    *(f"{traffic}_{cache}_steady_hit_rate" for traffic in ("zipf", "mixed") for cache in ("ours", "lru")),
)
STORED = ("seasonal", "index", "pickle", "zstd_pickle")
FIGURES = {
    "publish": ("seconds", "puts", "bytes", "bytes_a_model", "raw_bytes_a_model", "manifest_bytes"),
    "warm_up": ("seconds", "bytes"),
    "stored": (*(f"{kind}_bytes_a_model" for kind in STORED), "ratio_to_pickles", "ratio_to_zstd_pickles"),
    "cold": (*QUANTILES, "get_object_p50_ms", "get_object_p99_ms", "start_to_ready_seconds"),
    "warm": (*QUANTILES, "reopen_p50_ms", "reopen_p99_ms", "start_to_ready_seconds"),
    "hot": QUANTILES,
    "memory_1_worker": MEMORY,
    "memory_2_workers": MEMORY,
    "throughput_1_worker": THROUGHPUT,
    "throughput_2_workers": THROUGHPUT,
    "cache_of_50%": CACHE,
    "cache_of_80%": CACHE,
    "swap_1%": SWAP,
    "swap_100%": SWAP,
    "s3_stopped": ("start_to_ready_seconds", "answers"),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short run wrote, all its temporary files in `temporary`."""
    output: Path = tmp_path_factory.mktemp("scale")
    (output / "temporary").mkdir()
    command = [sys.executable, "-m", "bench.scale", "--quick", "--sizes", ",".join(SIZES), "--output", str(output)]
    environment = os.environ | {"TMPDIR": str(output / "temporary")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return output


@pytest.fixture(scope="module")
def results(directory: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((directory / "scale-quick.json").read_text(), parse_constant=_refuse)
    return document


pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("group", FIGURES)
@pytest.mark.parametrize("size", SIZES)
def test_every_figure_is_measured(results: dict[str, Any], size: str, group: str) -> None:
    figures = results["sizes"][size][group]
    missing = [name for name in FIGURES[group] if not isinstance(figures.get(name), int | float)]
    assert not missing


def test_goals_that_hold_on_any_machine_are_met(results: dict[str, Any]) -> None:
    goals = [goal for goal in results["goals"] if goal["portable"]]
    assert len(goals) == 7 * len(SIZES)
    assert not [goal for goal in goals if not goal["met"]]


@pytest.mark.parametrize("size", SIZES)
def test_a_release_is_small(results: dict[str, Any], size: str) -> None:
    publish = results["sizes"][size]["publish"]
    assert publish["bytes_a_model"] <= 300
    assert publish["manifest_bytes"] <= 1_000_000
    assert publish["puts"] <= 10_000


@pytest.mark.parametrize("swap", ["swap_1%", "swap_100%"])
@pytest.mark.parametrize("size", SIZES)
def test_no_request_fails_or_mixes_releases_in_a_hot_swap(results: dict[str, Any], size: str, swap: str) -> None:
    figures = results["sizes"][size][swap]
    assert figures["requests"] > 50
    assert (figures["failed"], figures["mixed"]) == (0, 0)


@pytest.mark.parametrize("size", SIZES)
def test_the_warm_directory_answers_without_s3(results: dict[str, Any], size: str) -> None:
    assert results["sizes"][size]["s3_stopped"]["answers"] is True


@pytest.mark.parametrize("share", ["50%", "80%"])
def test_a_sweep_larger_than_a_plain_lru_finds_nothing_in_it_but_something_in_ours(
    results: dict[str, Any], share: str
) -> None:
    cache = results["sizes"][SIZES[-1]][f"cache_of_{share}"]
    assert cache["sweep_lru_sweeping_hit_rate"] == 0
    assert cache["sweep_ours_sweeping_hit_rate"] > 0


def test_the_results_name_the_machine_by_what_it_is_only(results: dict[str, Any], directory: Path) -> None:
    assert results["machine"].keys() >= {"cores", "python", "numpy", "zstandard"}
    text = (directory / "scale-quick.json").read_text()
    assert not [name for name in (os.uname().nodename, "/tmp", str(Path.home()), str(directory)) if name in text]


def test_there_is_a_picture(directory: Path) -> None:
    assert (directory / "scale-quick.svg").read_text().count("<text") > 20


def test_nothing_is_left_behind(directory: Path) -> None:
    assert not list((directory / "temporary").iterdir())
    assert not [line for line in _command_lines() if str(directory) in line]


def test_an_index_of_a_million_series_finds_those_in_it_and_no_others() -> None:
    metrics = [f"metric_{i}" for i in range(10)]
    names = [Series("region", f"host-{i:06d}", metric) for i in range(100_000) for metric in metrics]
    shard, position = _index(names, metrics)
    sample = np.random.default_rng(0).integers(0, len(names), 2000).tolist()
    absent = [Series("region", f"host-{i:06d}", "metric_10") for i in range(1000)]
    absent += [Series("elsewhere", f"host-{i:06d}", "metric_1") for i in range(1000)]

    found = shard.find(Names.of([names[i] for i in sample]))
    assert found.tolist() == position[sample].tolist()
    assert [shard.name_of(at) for at in found.tolist()] == [names[i] for i in sample]
    assert set(shard.find(Names.of(absent)).tolist()) == {-1}


def _index(names: list[Series], metrics: list[str]) -> tuple[Shard, NDArray[np.int64]]:
    """A shard with an index only, made directly as arrays, and the position of each name in it."""
    hosts = np.array([names[i].host_hash for i in range(0, len(names), len(metrics))], np.uint64)
    of_metric = np.array([part_hash(metric) for metric in metrics], np.uint64)
    hashes = series_hash(np.repeat(hosts, len(metrics)), np.tile(of_metric, len(hosts)))
    assert int(hashes[1234]) == names[1234].hash
    order = np.argsort(hashes, kind="stable")
    texts, n = [str(names[i]).encode() for i in order.tolist()], len(names)
    index: dict[str, NDArray[Any]] = {
        "hash": hashes[order],
        "names": np.frombuffer(b"".join(texts), np.uint8),
        "name_offsets": np.cumsum([0, *map(len, texts)]).astype("<u4"),
        "step": np.full(n, 60, "<u4"),
        "history": np.zeros((n, 2), "<i8"),
        "points": np.zeros(n, "<u4"),
        "fitted_at": np.zeros(n, "<i8"),
        "adapter": np.full((n, 1), 255, np.uint8),
        "row": np.zeros((n, 1), "<u4"),
        "combined": np.ones((n, 3, 2), "<f2"),
    }
    metadata = {"format": "1", "windows": '["1m"]', "adapters": "[]"}
    raw = pack({f"index/{name}": array for name, array in index.items()}, metadata)
    return Shard("a million", raw, _no_adapter), np.argsort(order)


def _no_adapter(name: str) -> type[Model]:
    raise AssertionError(f"there is no model of {name}")


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return lines


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no figure")
