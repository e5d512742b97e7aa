"""The local tier: fetched once, mapped by all, whole or not there."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from myriad.models.errors import ArtifactCorrupt, Unavailable
from myriad.storage.local import LocalTier
from myriad.storage.release import Artifact

RAW = bytes(range(256)) * 64


def artifact(name: str = "ab12", raw: bytes = RAW) -> Artifact:
    return Artifact(name, len(raw), len(raw), 1, 1)


class Fetch:
    """Gives the bytes and counts how often it was asked."""

    def __init__(self, raw: bytes = RAW, path: Path | None = None) -> None:
        self.raw, self.path, self.times = raw, path, 0

    def __call__(self) -> bytes:
        self.times += 1
        if self.path:
            with self.path.open("a") as file:
                file.write("x")
            time.sleep(0.2)
        return self.raw


@pytest.fixture
def tier(tmp_path: Path) -> LocalTier:
    return LocalTier(tmp_path, 1 << 20)


def file_of(tmp_path: Path, name: str = "ab12") -> Path:
    return tmp_path / "shards" / name


def test_an_artifact_is_fetched_once_and_mapped_after(tier: LocalTier) -> None:
    fetch = Fetch()
    assert not tier.holds(artifact())
    assert [bytes(tier.open(artifact(), fetch)) for _ in range(3)] == [RAW] * 3
    assert fetch.times == 1
    assert tier.holds(artifact())


def test_it_is_there_for_another_process_and_after_a_restart(tier: LocalTier, tmp_path: Path) -> None:
    tier.open(artifact(), Fetch())
    fetch = Fetch()
    assert bytes(LocalTier(tmp_path, 1 << 20).open(artifact(), fetch)) == RAW
    assert fetch.times == 0


@pytest.mark.parametrize("harm", [lambda b: b[:-1], lambda b: b"", lambda b: b[:9] + b"?" + b[10:], lambda b: b + b"!"])
def test_a_file_that_is_not_whole_is_fetched_again(
    harm: Callable[[bytes], bytes], tier: LocalTier, tmp_path: Path
) -> None:
    tier.open(artifact(), Fetch())
    file_of(tmp_path).write_bytes(harm(file_of(tmp_path).read_bytes()))
    restarted, fetch = LocalTier(tmp_path, 1 << 20), Fetch()
    assert bytes(restarted.open(artifact(), fetch)) == RAW
    assert fetch.times == 1
    assert bytes(restarted.open(artifact(), fetch)) == RAW
    assert fetch.times == 1


def test_what_is_fetched_has_to_be_of_the_stated_size(tier: LocalTier) -> None:
    with pytest.raises(ArtifactCorrupt, match="ab12"):
        tier.open(artifact(), Fetch(RAW[:-1]))
    assert not tier.holds(artifact())


def test_the_least_recently_opened_makes_room(tmp_path: Path) -> None:
    tier = LocalTier(tmp_path, 3 * (len(RAW) + 8))
    mapped = {}
    for age, name in enumerate(("aa", "bb", "cc")):
        mapped[name] = tier.open(artifact(name), Fetch())
        os.utime(file_of(tmp_path, name), (age, age))
    tier.open(artifact("aa"), Fetch())
    tier.open(artifact("dd"), Fetch())
    assert [name for name in ("aa", "bb", "cc", "dd") if tier.holds(artifact(name))] == ["aa", "cc", "dd"]
    assert bytes(mapped["bb"]) == RAW, "a mapping outlives its file"


def _open_in_a_process(tmp_path: Path, counter: Path) -> None:
    assert bytes(LocalTier(tmp_path, 1 << 20).open(artifact(), Fetch(path=counter))) == RAW


def test_processes_that_want_the_same_fetch_it_once(tmp_path: Path) -> None:
    context, counter = multiprocessing.get_context("spawn"), tmp_path / "counter"
    workers = [context.Process(target=_open_in_a_process, args=(tmp_path, counter)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert counter.read_text() == "x"


def _write_for_ever(tmp_path: Path) -> None:
    tier, number = LocalTier(tmp_path, 1 << 30), 0
    while True:
        number += 1
        tier.open(artifact(f"a{number:05x}"), Fetch())


def test_a_kill_leaves_whole_files_and_no_lock(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(tmp_path,))
    writer.start()
    while not file_of(tmp_path, "a00014").exists():
        time.sleep(0.01)
    assert writer.pid
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    tier, fetch = LocalTier(tmp_path, 1 << 30), Fetch()
    there = [path.name for path in file_of(tmp_path).parent.iterdir() if not path.name.startswith(".")]
    assert all(bytes(tier.open(artifact(name), fetch)) == RAW for name in there)
    assert fetch.times == 0
    assert bytes(tier.open(artifact("new"), fetch)) == RAW


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="local directory cannot be made"):
        LocalTier(tmp_path / "file" / "under", 1)
