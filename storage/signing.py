"""Signatures: Ed25519 over the bytes of a manifest, kept beside it in the store.

A manifest names its artifacts by the hash of their content, so a signature over it is one over the whole release. It
does not say when a release is to be served: whoever can write to the store can still move `CURRENT` to another signed
release.
"""

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from myriad.models.errors import InvalidSigningKey, Untrusted

MAX_SIGNATURE = 1024
_PEM_END = "-----END PUBLIC KEY-----"


class Signer:
    """Signs manifests with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """The signer whose private key is in a PEM file.

        Raises:
            InvalidSigningKey: it cannot be read, or holds another kind of key.
        """
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise InvalidSigningKey(path, f"cannot be read: {exc}") from exc
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidSigningKey(path, "is not an Ed25519 private key; `myriad keys` makes one")
        return cls(key)

    @property
    def trust(self) -> "Trust":
        """In what this signer signs."""
        return Trust([self._key.public_key()])

    def sign(self, data: bytes) -> bytes:
        """The signature of some bytes, as text."""
        return base64.b64encode(self._key.sign(data)) + b"\n"


class Trust:
    """The public keys whose signatures are believed."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def load(cls, path: Path) -> "Trust":
        """The public keys in a PEM file, one after the other.

        Raises:
            InvalidSigningKey: it cannot be read, has no key, or one of another kind.
        """
        try:
            parts = path.read_text().split(_PEM_END)[:-1]
            keys = [load_pem_public_key((part + _PEM_END).strip().encode()) for part in parts]
        except (OSError, ValueError, UnsupportedAlgorithm) as exc:
            raise InvalidSigningKey(path, f"cannot be read: {exc}") from exc
        ours = [key for key in keys if isinstance(key, Ed25519PublicKey)]
        if not ours or len(ours) < len(keys):
            raise InvalidSigningKey(path, "does not hold Ed25519 public keys alone; `myriad keys` makes one")
        return cls(ours)

    def check(self, name: str, data: bytes, signature: bytes | None) -> None:
        """Raise `Untrusted` unless one of the keys signed these bytes."""
        if not signature:
            raise Untrusted(name, "it is not signed")
        try:
            raw = base64.b64decode(signature.strip(), validate=True)
        except ValueError as exc:
            raise Untrusted(name, "its signature is not one") from exc
        if not any(_signed_by(key, raw, data) for key in self._keys):
            raise Untrusted(name, "none of the trusted keys signed it as it is")


def make_keys(path: Path) -> Path:
    """Write a new private key to a file that only its owner can read, and its public key beside it, as `path.pub`.

    Raises:
        FileExistsError: there is a file of one of these names.
    """
    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.name}.pub")
    if public.exists():
        raise FileExistsError(public)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def _signed_by(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
