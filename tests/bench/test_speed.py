"""The speed benchmark: that it measures everything, finds every answer right, and leaves nothing behind."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.speed.bare_asgi import app
from bench.speed.cpu_by_stage import STAGES, Timers, resolve
from bench.speed.tick_formats import AGGREGATED_FORMATS, FORMATS
from bench.speed.wrk import missing

SERIES = 500
KINDS = ("mix", "seasonal", "rhythm")
WRK_FIGURES = ("requests_a_second", "p50_ms", "p99_ms")
TICK = ("first_seconds", "second_seconds", "following_seconds", "following_cpu_seconds", "first_series_a_second",
        "following_series_a_second", "bare_seconds", "over_bare", "share_of_in_process", "share_of_kernel",
        "bytes_in", "bytes_out", "wrong", "unscored")  # fmt: skip
IN_PROCESS = ("first_seconds", "following_seconds", "kernel_seconds")
DURING_TICKS = tuple(f"{kind}_{figure}_ms" for kind in ("health", "single") for figure in ("p50", "p99", "max"))
STAGE_NAMES = ("at_once", "decode", "resolve", "score", "encode", "app", "http")
TICKS = (*FORMATS, *(f"{name}_windows" for name in AGGREGATED_FORMATS))
REQUESTS = ("single", "arrow_points", "arrow_windows")
FIGURES = {
    "single": (*(f"{kind}_in_process_a_second" for kind in KINDS), "mix_cpu_ms", "bare_cpu_ms", "body_bytes",
               "answer_bytes", "wrong"),
    "workers": ("1_pss_bytes", "2_pss_bytes", "1_rss_bytes", "2_rss_bytes", "pss_ratio"),
    **{f"tick_{SERIES}_{name}": TICK for name in TICKS},
    f"tick_{SERIES}_in_process": IN_PROCESS,
    f"tick_{SERIES}_in_process_windows": IN_PROCESS,
    "beside_calm": DURING_TICKS,
    **{f"beside_{name}": (*DURING_TICKS, "ticks", "tick_seconds", "failed") for name in FORMATS},
    **{f"stages_{name}": (*(f"{stage}_share" for stage in STAGE_NAMES), "server_cpu_ms") for name in REQUESTS},
}  # fmt: skip
BY_WRK = {
    "single": (*(f"{kind}_{n}_{figure}" for kind in ("bare", *KINDS) for n in (1, 16) for figure in WRK_FIGURES),
               *(f"{kind}_{n}_share_of_bare" for kind in KINDS for n in (1, 16)), "failed"),
    "workers": ("1_requests_a_second", "2_requests_a_second", "requests_ratio", "2_busiest_share_of_cpu"),
}  # fmt: skip

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short run wrote, all its temporary files in `temporary`."""
    output: Path = tmp_path_factory.mktemp("speed")
    (output / "temporary").mkdir()
    command = [sys.executable, "-m", "bench.speed", "--quick", "--series", str(SERIES), "--output", str(output)]
    environment = os.environ | {"TMPDIR": str(output / "temporary")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return output


@pytest.fixture(scope="module")
def results(directory: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((directory / "speed-quick.json").read_text(), parse_constant=_refuse)
    return document


@pytest.fixture(scope="module")
def groups(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    by_group: dict[str, dict[str, Any]] = results["sizes"][str(SERIES)]
    return by_group


@pytest.mark.parametrize("group", FIGURES)
def test_every_figure_is_measured(groups: dict[str, dict[str, Any]], group: str) -> None:
    assert [name for name in FIGURES[group] if not isinstance(groups[group].get(name), int | float)] == []


@pytest.mark.parametrize("group", BY_WRK)
def test_wrk_measures_its_figures_or_is_reported_missing(groups: dict[str, dict[str, Any]], group: str) -> None:
    if missing():
        assert "wrk is not installed" in groups[group]["skipped"]
    else:
        assert [name for name in BY_WRK[group] if not isinstance(groups[group].get(name), int | float)] == []


def test_every_answer_is_right(groups: dict[str, dict[str, Any]]) -> None:
    assert groups["single"]["answers_checked"] >= 3 * 50
    counted = [group[trouble] for group in groups.values() for trouble in ("wrong", "failed") if trouble in group]
    assert len(counted) > len(TICKS) + len(FORMATS)
    assert not any(counted)


@pytest.mark.parametrize("name", TICKS)
def test_every_series_of_a_tick_is_scored(groups: dict[str, dict[str, Any]], name: str) -> None:
    assert groups[f"tick_{SERIES}_{name}"]["unscored"] == 0


def test_compressed_ticks_are_smaller(groups: dict[str, dict[str, Any]]) -> None:
    plain, compressed = (groups[f"tick_{SERIES}_{name}"]["bytes_in"] for name in ("arrow", "arrow_zstd"))
    assert compressed < plain


@pytest.mark.parametrize("name", REQUESTS)
def test_the_shares_of_the_stages_are_all_there_is(groups: dict[str, dict[str, Any]], name: str) -> None:
    shares = [groups[f"stages_{name}"][f"{stage}_share"] for stage in STAGE_NAMES]
    assert sum(shares) == pytest.approx(1, abs=0.01)
    assert all(share >= 0 for share in shares)
    assert all("/" in function for function in groups[f"profile_{name}"])


def test_the_results_name_no_machine(results: dict[str, Any], directory: Path) -> None:
    assert results["machine"].keys() >= {"cores", "python", "numpy", "pyarrow", "uvloop"}
    text = (directory / "speed-quick.json").read_text()
    assert not [name for name in (os.uname().nodename, "/tmp", str(Path.home()), str(directory)) if name in text]


def test_there_is_a_picture(directory: Path) -> None:
    assert (directory / "speed-quick.svg").read_text().count("<text") > 20


def test_nothing_is_left_behind(directory: Path) -> None:
    assert not list((directory / "temporary").iterdir())


def test_the_bare_server_reads_a_body_in_pieces_and_answers_as_many_bytes_as_asked() -> None:
    pieces: list[dict[str, Any]] = [{"body": b"a", "more_body": True}, {"body": b"b"}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "path": "/1234"}, receive, send))
    assert not pieces
    assert len(sent[1]["body"]) == 1234
    assert (b"content-length", b"1234") in sent[0]["headers"]


@pytest.mark.parametrize("target", [target for targets in STAGES.values() for target in targets])
def test_every_timed_function_exists(target: str) -> None:
    owner, name = resolve(target)
    assert callable(getattr(owner, name))


def test_timers_charge_the_innermost_stage_and_generators_only_while_they_run() -> None:
    timers = Timers()
    inner = timers.timed("inner", lambda: _busy(0.02))

    def outer() -> Any:
        inner()
        sent = yield 1
        _busy(0.01)
        return sent

    with timers.running():
        steps = timers.timed("outer", outer)()
        assert next(steps) == 1
        _busy(0.03)
        with pytest.raises(StopIteration) as done:
            steps.send("back")
    assert done.value.value == "back"
    assert timers.seconds["inner"] >= 0.02
    assert timers.seconds["app"] >= 0.03
    assert timers.seconds["outer"] >= 0.01
    assert timers.seconds["outer"] < timers.seconds["inner"]


def _busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no figure")
