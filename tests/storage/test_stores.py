"""The stores: each keeps the contract, and what each is to do beside it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from myriad.models.errors import Conflict, NotFound, StoreError, Unavailable
from myriad.storage.base import ObjectStore
from myriad.storage.file import FileStore, written_aside
from myriad.storage.memory import MemoryStore
from myriad.storage.s3 import S3Store
from myriad.storage.url import open_store
from tests.conftest import S3_PAGE, refusing_port
from tests.storage.contract import LIMIT, Contract

BUCKET = "contract"


class TestMemory(Contract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()


class TestFile(Contract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return FileStore(tmp_path / "store")

    def test_nothing_is_written_outside_the_directory(self, store: ObjectStore, tmp_path: Path) -> None:
        store.create("a/b", b"data")
        store.swap("CURRENT", b"one", None)
        assert [path.name for path in tmp_path.iterdir()] == ["store"]

    def test_what_is_left_aside_and_locks_are_never_listed(self, store: ObjectStore, tmp_path: Path) -> None:
        store.swap("a/CURRENT", b"one", None)
        for left in (".aside-0123", "a/.aside-4567"):
            (tmp_path / "store" / left).write_bytes(b"half")
        assert [stored.name for stored in store.list("")] == ["a/CURRENT"]

    def test_nothing_is_left_aside(self, store: ObjectStore, tmp_path: Path) -> None:
        store.create("object", b"one")
        store.create("object", b"two")
        store.swap("CURRENT", b"one", None)
        with pytest.raises(Conflict):
            store.swap("CURRENT", b"two", None)
        assert list(tmp_path.rglob(".aside*")) == []

    def test_a_kill_in_mid_write_leaves_the_old_object_whole(self, store: ObjectStore, tmp_path: Path) -> None:
        tag = store.swap("CURRENT", b"old", None)
        with writing(tmp_path / "store" / "CURRENT") as writer:
            writer.send_signal(signal.SIGKILL)
            assert writer.wait(10) == -signal.SIGKILL
        assert list(tmp_path.rglob(".aside*")) != []
        assert store.get("CURRENT", LIMIT) == (b"old", tag)
        assert [stored.name for stored in store.list("")] == ["CURRENT"]
        assert store.swap("CURRENT", b"new", tag)

    def test_of_two_processes_that_swap_one_wins(self, store: ObjectStore, tmp_path: Path) -> None:
        code = (
            "import sys; from myriad.storage.file import FileStore; from myriad.models.errors import Conflict\n"
            "store, won = FileStore(sys.argv[1]), 0\n"
            "while (count := int((blob := store.get('COUNT', 99)).data)) < 200:\n"
            "    try: store.swap('COUNT', b'%d' % (count + 1), blob.tag); won += 1\n"
            "    except Conflict: pass\n"
            "print(won)\n"
        )
        store.swap("COUNT", b"0", None)
        command = [sys.executable, "-c", code, str(tmp_path / "store")]
        racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        won = [int(process.communicate(timeout=60)[0]) for process in racing]
        assert sum(won) == 200 == int(store.get("COUNT", LIMIT).data)

    def test_a_directory_that_cannot_be_written_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        store = FileStore(tmp_path / "file")
        with pytest.raises(Unavailable, match="/file/object: "):
            store.create("object", b"data")

    def test_others_may_read_what_was_written_as_far_as_the_umask_allows(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        before = os.umask(0o022)
        try:
            store.create("object", b"data")
            store.swap("CURRENT", b"one", None)
        finally:
            os.umask(before)
        modes = {name: (tmp_path / "store" / name).stat().st_mode & 0o777 for name in ("object", "CURRENT")}
        assert modes == {"object": 0o644, "CURRENT": 0o644}


class TestS3(Contract):
    @pytest.fixture
    def store(self, s3: str) -> Iterator[ObjectStore]:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield S3Store(BUCKET, "some/prefix")
        boto3.resource("s3").Bucket(BUCKET).objects.delete()

    def test_objects_lie_under_the_prefix(self, store: ObjectStore) -> None:
        store.create("a/b", b"data")
        (entry,) = boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
        assert entry["Key"] == "some/prefix/a/b"

    def test_a_prefix_does_not_see_its_neighbours(self, store: ObjectStore) -> None:
        S3Store(BUCKET, "some/prefix-2").create("a", b"data")
        S3Store(BUCKET).create("a", b"data")
        assert list(store.list("")) == []
        with pytest.raises(NotFound):
            store.get("a", LIMIT)

    def test_more_objects_than_a_page_are_listed(self, store: ObjectStore) -> None:
        names = [f"a/{i:04d}" for i in range(2 * S3_PAGE + 1)]
        for name in names:
            store.create(name, b"")
        assert [stored.name for stored in store.list("a/")] == names

    def test_a_bucket_that_is_not_there_is_unavailable(self, s3: str) -> None:
        store = S3Store("no-such-bucket")
        uses = (lambda: store.get("a", 1), lambda: store.create("a", b""), lambda: list(store.list("")))
        for use in uses:
            with pytest.raises(Unavailable, match=r"s3://no-such-bucket.*NoSuchBucket"):
                use()

    def test_a_server_out_of_reach_is_unavailable_before_long(self, monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
        with refusing_port() as port:
            address = f"http://127.0.0.1:{port}"
            monkeypatch.setenv("AWS_ENDPOINT_URL", address)
            started = time.monotonic()
            with pytest.raises(Unavailable, match=f"s3://bucket/fleet/CURRENT: .*{address}"):
                S3Store("bucket", "fleet").get("CURRENT", LIMIT)
        assert time.monotonic() - started < 15

    def test_credentials_that_are_not_there_are_said_to_be(self, monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        with pytest.raises(Unavailable, match="credentials"):
            S3Store(BUCKET).get("CURRENT", LIMIT)


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        ("file:///some/where", FileStore, "file:///some/where"),
        ("/some/where", FileStore, "file:///some/where"),
        ("s3://bucket", S3Store, "s3://bucket"),
        ("s3://bucket/", S3Store, "s3://bucket"),
        ("s3://bucket/a/b/", S3Store, "s3://bucket/a/b"),
    ],
)
def test_a_url_opens_its_store(s3: str, url: str, kind: type[ObjectStore], shown: str) -> None:
    store = open_store(url)
    assert (type(store), store.url) == (kind, shown)


def test_a_path_opens_the_store_in_that_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("here").url == f"file://{tmp_path / 'here'}"


@pytest.mark.parametrize(
    "url",
    ["", "file://here", "file:/here", "s3://", "s3:///prefix", "http://host/x", "memory://"],
)
def test_a_url_of_another_kind_is_refused_naming_those_that_are_not(url: str) -> None:
    with pytest.raises(StoreError, match="file:///directory or s3://bucket/prefix"):
        open_store(url)


@contextlib.contextmanager
def writing(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has written a file aside and waits before it moves it into place."""
    code = (
        "import sys, time; from pathlib import Path; from myriad.storage.file import written_aside\n"
        "with written_aside(Path(sys.argv[1]), b'new' * 1000) as aside:\n"
        "    print('written', flush=True); time.sleep(60); aside.replace(sys.argv[1])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_file_written_aside_is_gone_whatever_happens_to_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), written_aside(tmp_path / "object", b"data"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
