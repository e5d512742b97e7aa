"""Signed releases: what no trusted key has signed as it is, is not taken up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from myriad.models.errors import InvalidSigningKey, Untrusted
from myriad.serving.predictor import Predictor
from myriad.storage.local import LocalTier
from myriad.storage.memory import MemoryStore
from myriad.storage.release import CURRENT, Releases
from myriad.storage.signing import Signer, Trust, make_keys
from myriad.storage.url import open_store
from tests.conftest import Server
from tests.serving.test_app_s3_faults import until
from tests.training.small import fitted, released


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key's file and its public key's."""
    return tmp_path / "key", make_keys(tmp_path / "key")


def test_a_signed_release_is_trusted_with_its_key_and_no_other(keys: tuple[Path, Path], tmp_path: Path) -> None:
    store, other = MemoryStore(), make_keys(tmp_path / "other")
    manifest = released(Releases(store, signer=Signer.load(keys[0])), fitted())
    assert Releases(store, trust=Trust.load(keys[1])).manifest(manifest.id) == manifest
    with pytest.raises(Untrusted, match="none of the trusted keys"):
        Releases(store, trust=Trust.load(other)).manifest(manifest.id)
    both = tmp_path / "both.pub"
    both.write_text(other.read_text() + keys[1].read_text())
    assert Releases(store, trust=Trust.load(both)).manifest(manifest.id) == manifest


def test_an_unsigned_release_is_not_trusted(keys: tuple[Path, Path]) -> None:
    store = MemoryStore()
    manifest = released(Releases(store), fitted())
    with pytest.raises(Untrusted, match="it is not signed"):
        Releases(store, trust=Trust.load(keys[1])).manifest(manifest.id)


@pytest.mark.parametrize("signature", [b"", b"\xff\xfe", b"AAAA", b"A" * 88, b"A" * 1000])
def test_what_is_no_signature_is_not_trusted(keys: tuple[Path, Path], signature: bytes) -> None:
    store = MemoryStore()
    manifest = released(Releases(store), fitted())
    store.create(f"releases/{manifest.id}.sig", signature)
    with pytest.raises(Untrusted):
        Releases(store, trust=Trust.load(keys[1])).manifest(manifest.id)


def test_a_manifest_changed_in_any_byte_is_not_trusted(keys: tuple[Path, Path]) -> None:
    store = MemoryStore()
    manifest = released(Releases(store, signer=Signer.load(keys[0])), fitted())
    name, releases = f"releases/{manifest.id}.json", Releases(store, trust=Trust.load(keys[1]))
    whole = store.get(name, 1 << 20)
    for at in range(0, len(whole.data), 97):
        changed = whole.data[:at] + bytes([whole.data[at] ^ 1]) + whole.data[at + 1 :]
        tag = store.swap(name, changed, store.get(name, 1 << 20).tag)
        with pytest.raises(Untrusted):
            releases.manifest(manifest.id)
    store.swap(name, whole.data, tag)
    assert releases.manifest(manifest.id) == manifest


def test_the_signature_of_one_release_is_not_that_of_another(keys: tuple[Path, Path]) -> None:
    store = MemoryStore()
    signing = Releases(store, signer=Signer.load(keys[0]))
    first = released(signing, fitted())
    store.create("releases/20260101T000000Z-evil.json", store.get(f"releases/{first.id}.json", 1 << 20).data)
    store.create("releases/20260101T000000Z-evil.sig", store.get(f"releases/{first.id}.sig", 1 << 20).data)
    with pytest.raises(Exception, match="not the manifest of this release"):
        Releases(store, trust=Trust.load(keys[1])).manifest("20260101T000000Z-evil")


def test_nothing_is_built_upon_and_signed_that_somebody_else_published(keys: tuple[Path, Path], tmp_path: Path) -> None:
    store = MemoryStore()
    signing, careless = Releases(store, signer=Signer.load(keys[0])), Releases(store)
    released(signing, fitted())
    strange = released(careless, fitted(seed=1), careless.head())
    with pytest.raises(Untrusted, match="it is not signed"):
        signing.manifest(strange.id)
    released(signing, fitted(), signing.head())


def test_pruning_deletes_signatures_with_their_releases(keys: tuple[Path, Path]) -> None:
    store = MemoryStore()
    releases = Releases(store, signer=Signer.load(keys[0]))
    for seed in range(3):
        released(releases, fitted(seed=seed), releases.head_or_none())
    releases.prune(keep=1, grace_seconds=-60)
    names = {stored.name.rpartition(".")[0] for stored in store.list("releases/")}
    assert names == {f"releases/{manifest.id}" for manifest in releases.list()}


def test_the_old_release_stays_while_the_current_one_is_not_trusted(
    keys: tuple[Path, Path], tmp_path: Path, serve: Callable[..., Server]
) -> None:
    store = open_store(f"file://{tmp_path / 'store'}")
    signing, careless = Releases(store, signer=Signer.load(keys[0])), Releases(store)
    good = released(signing, fitted())
    server = serve(store.url, MYRIAD_TRUST=str(keys[1]), MYRIAD_POLL_SECONDS="0.2")
    bad = released(careless, fitted(seed=1), careless.head())
    until(lambda: "not trusted" in server.client.get("/health/ready").json()["problem"])
    ready = server.client.get("/health/ready").json()
    assert (ready["release"], ready["stale"]) == (good.id, True)
    assert f"release {bad.id} is not trusted: it is not signed" in ready["problem"]
    after = released(signing, fitted(seed=2), signing.head())
    until(lambda: server.client.get("/health/ready").json()["release"] == after.id)


def test_what_is_remembered_locally_is_trusted_no_more_than_the_store(keys: tuple[Path, Path], tmp_path: Path) -> None:
    store, tier = MemoryStore(), LocalTier(tmp_path / "local", 1 << 30)
    manifest = released(Releases(store), fitted())
    careless = Predictor(store, local=tier)
    careless.refresh()
    assert Predictor(store, local=tier).restore_last_release()
    strict = Predictor(store, local=tier, trust=Trust.load(keys[1]))
    assert not strict.restore_last_release()
    assert strict.current is None
    assert store.get(CURRENT, 100).data.decode().strip() == manifest.id


def test_a_private_key_is_its_owners_alone_and_never_overwritten(keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        make_keys(keys[0])


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_a_file_that_has_no_key_is_named(tmp_path: Path, keys: tuple[Path, Path], content: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    for load in (Signer.load, Trust.load):
        with pytest.raises(InvalidSigningKey, match=str(path)):
            load(path)
        with pytest.raises(InvalidSigningKey, match="nowhere"):
            load(tmp_path / "nowhere")
    with pytest.raises(InvalidSigningKey):
        Signer.load(keys[1])
    with pytest.raises(InvalidSigningKey):
        Trust.load(keys[0])
