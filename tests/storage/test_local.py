"""The local tier: fetched once, mapped by all, whole or not there."""

import errno
import fcntl
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

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
    file_of(tmp_path).chmod(0o600)
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


def test_the_directory_is_its_users_alone_and_nobody_writes_to_its_files(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        tier = LocalTier(tmp_path / "local", 1 << 20)
        tier.open(artifact(), Fetch())
    finally:
        os.umask(mask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "local").rglob("*")}
    assert (tmp_path / "local").stat().st_mode & 0o777 == modes["shards"] == modes["current"] == 0o700
    assert (modes["ab12"], modes["lock"]) == (0o400, 0o600)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
@pytest.mark.parametrize("part", ["", "shards", "current"])
def test_a_directory_others_may_write_to_is_refused(mode: int, part: str, tmp_path: Path) -> None:
    LocalTier(tmp_path, 1 << 20)
    (tmp_path / part).chmod(mode)
    with pytest.raises(Unavailable, match=f"others may write to the local directory: chmod 0700 {tmp_path / part}"):
        LocalTier(tmp_path, 1 << 20)
    (tmp_path / part).chmod(0o755)
    LocalTier(tmp_path, 1 << 20)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(Unavailable, match=f"chown -R {os.geteuid()} {tmp_path}"):
        LocalTier(tmp_path, 1 << 20)


def test_a_lock_says_whether_the_directory_is_in_use(tmp_path: Path) -> None:
    LocalTier(tmp_path, 1 << 20)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(Unavailable, match="wait until he is done"):
            LocalTier(tmp_path, 1 << 20)
        fcntl.flock(lock, fcntl.LOCK_UN)
        tiers = [LocalTier(tmp_path, 1 << 20) for _ in range(2)]
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert len(tiers) == 2


@pytest.mark.parametrize(
    "harm", ["os.truncate(path, 10)", "open(path, 'r+b').write(b'?' * 999)", "open(path, 'wb')"], ids=["cut", "in", "w"]
)
def test_who_changes_a_mapped_file_waits_until_it_is_mapped_no_more(harm: str, tier: LocalTier, tmp_path: Path) -> None:
    mapped, other, fetch = tier.open(artifact(), Fetch()), tier.open(artifact("cd34"), Fetch()), Fetch()
    assert tier.changed() == set()
    path = file_of(tmp_path)
    path.chmod(0o600)
    assert tier.changed() == set()
    with subprocess.Popen([sys.executable, "-c", f"import os\npath = {str(path)!r}\n{harm}"]) as harming:
        until(lambda: tier.changed() == {"ab12"})
        time.sleep(0.2)
        assert harming.poll() is None
        assert bytes(mapped) == RAW
        meanwhile = tier.open(artifact(), fetch)
        assert (bytes(meanwhile), fetch.times) == (RAW, 0)
        del mapped
        assert harming.wait(5) == 0
    assert tier.changed() == set()
    assert bytes(meanwhile) == RAW, "what was opened while somebody wanted to write is a copy"
    assert bytes(tier.open(artifact(), fetch)) == RAW
    assert fetch.times == 1
    assert tier.holds(artifact())
    assert bytes(other) == RAW


def test_a_file_somebody_has_open_for_writing_is_copied(tier: LocalTier, tmp_path: Path) -> None:
    tier.open(artifact(), Fetch())
    file_of(tmp_path).chmod(0o600)
    with file_of(tmp_path).open("r+b") as file:
        fetch = Fetch()
        copied = tier.open(artifact(), fetch)
        file.truncate(3)
        assert bytes(copied) == RAW
    assert fetch.times == 0


def test_a_file_changed_while_nobody_maps_it_is_verified_again(tier: LocalTier, tmp_path: Path) -> None:
    tier.open(artifact(), Fetch())
    path, fetch = file_of(tmp_path), Fetch()
    path.chmod(0o600)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert bytes(tier.open(artifact(), fetch)) == RAW
    assert fetch.times == 1


def test_a_mapping_that_ended_leaves_no_open_file(tier: LocalTier) -> None:
    before = descriptors()
    opened = [tier.open(artifact(), Fetch()) for _ in range(10)]
    assert descriptors() > before
    opened.clear()
    assert descriptors() == before


def test_where_descriptors_are_few_files_are_copied(tier: LocalTier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 16))
    before, fetch = descriptors(), Fetch()
    opened = [tier.open(artifact(), fetch) for _ in range(20)]
    assert descriptors() - before == 12
    assert {bytes(one) for one in opened} == {RAW}
    assert fetch.times == 1


def test_a_bad_file_that_cannot_be_replaced_is_got_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    LocalTier(tmp_path, 1 << 20).open(artifact(), Fetch())
    file_of(tmp_path).chmod(0o600)
    file_of(tmp_path).write_bytes(b"bad")
    for name in ("unlink", "utime", "mkdir"):
        monkeypatch.setattr(os, name, read_only)
    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    monkeypatch.setattr(Path, "open", read_only)
    tier, fetch = LocalTier(tmp_path, 1 << 20), Fetch()
    assert bytes(tier.open(artifact(), fetch)) == RAW
    assert fetch.times == 1
    assert file_of(tmp_path).stat().st_size == 3


@pytest.mark.parametrize("make", [lambda p: (p / "x").mkdir(parents=True), os.mkfifo, lambda p: p.symlink_to(p)])
def test_what_is_no_file_is_got_around(make: Callable[[Path], object], tier: LocalTier, tmp_path: Path) -> None:
    make(file_of(tmp_path))
    fetch = Fetch()
    assert bytes(tier.open(artifact(), fetch)) == RAW
    assert fetch.times == 1


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
