"""TLS, and clients that have to show a certificate."""

import contextlib
import datetime
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import Published, free_port


def certificate(folder: Path, name: str, issuer: "tuple[Path, Path] | None" = None) -> tuple[Path, Path]:
    """The files of a new certificate and its key, signed by another's or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, by = key, subject
    if issuer:
        by = x509.load_pem_x509_certificate(issuer[0].read_bytes()).subject
        loaded = serialization.load_pem_private_key(issuer[1].read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return paths


def eventually(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is answered, within forty seconds."""
    deadline = time.monotonic() + 40
    while True:
        try:
            return ask()
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_it_speaks_tls_to_clients_of_an_authority_and_to_no_others(published: Published, tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    server, client = (certificate(tmp_path, name, authority) for name in ("server", "client"))
    port = free_port()
    command = [
        *(sys.executable, "-m", "myriad", "serve", "--store", published.url, "--port", str(port)),
        *("--tls-cert", str(server[0]), "--tls-key", str(server[1]), "--tls-client-ca", str(authority[0])),
        *("--local-directory", str(tmp_path / "local"), "--max-connections", "20", "--header-seconds", "2"),
    ]
    trusting = ssl.create_default_context(cafile=str(authority[0]))
    shown = ssl.create_default_context(cafile=str(authority[0]))
    shown.load_cert_chain(*map(str, client))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"https://127.0.0.1:{port}/health/ready"
            assert eventually(lambda: httpx.get(url, verify=shown, trust_env=False).json())["status"] == "ready"
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (150, 150))
            with contextlib.ExitStack() as silent:  # none of whom begins a handshake
                for _ in range(200):
                    silent.enter_context(socket.create_connection(("127.0.0.1", port)))
                assert eventually(lambda: httpx.get(url, verify=shown, trust_env=False).json())["status"] == "ready"
            with pytest.raises(httpx.TransportError):
                httpx.get(url, verify=trusting, trust_env=False)
            with pytest.raises(httpx.TransportError):
                httpx.get(url.replace("https", "http"), trust_env=False)
        finally:
            process.terminate()
