"""Settings: everything that can be set from outside, as data with help."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `MYRIAD_*` environment variables; `myriad serve` has a flag for each.

    S3's credentials are no settings, as they are secret: boto3 finds them in the usual AWS ways.
    """

    model_config = SettingsConfigDict(env_prefix="MYRIAD_", extra="forbid", frozen=True)

    store: str = Field(
        "file:///var/lib/myriad", description="Releases: a directory, file:///directory or s3://bucket/prefix"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on")
    health_port: int = Field(0, ge=0, le=65535, description="Port for health checks alone; none where 0")
    workers: int = Field(1, ge=1, le=256, description="Processes serving the port")
    local_directory: str = Field("~/.cache/myriad", description="Where artifacts are kept decompressed")
    local_bytes: int = Field(20 << 30, ge=1, description="Bytes the local directory may take")
    warm: bool = Field(False, description="Bring the whole release into the local directory at the start")
    cache_bytes: int = Field(1 << 30, ge=1, description="Bytes of open shards each worker keeps")
    loads_at_once: int = Field(8, ge=1, le=256, description="Shards a worker loads at the same time")
    failure_seconds: float = Field(5.0, ge=0, description="How long a failed load is not tried again")
    load_seconds: float = Field(10.0, gt=0, description="How long a request waits for a load, which goes on without it")
    poll_seconds: float = Field(10.0, gt=0, description="How often the store is asked which release is current")
    max_body_bytes: int = Field(32 << 20, ge=1, description="Largest request body")
    max_bodies_bytes: int = Field(256 << 20, ge=1, description="Bytes of all bodies a worker is receiving, together")
    min_body_rate: float = Field(1024, ge=0, description="Least bytes a second of a body, after five seconds")
    max_answer_bytes: int = Field(128 << 20, ge=1, description="Largest answer")
    max_header_bytes: int = Field(32 << 10, ge=1, description="Largest request line and headers")
    max_connections: int = Field(4096, ge=1, description="Open connections a worker has at most")
    header_seconds: float = Field(10.0, gt=0, description="How long a client may take to send headers")
    keep_alive_seconds: int = Field(15, ge=0, description="How long a connection without a request stays open")
    send_seconds: float = Field(60.0, gt=0, description="How long a client may read nothing of what is sent to it")
    max_points: int = Field(1_000_000, ge=1, description="Most datapoints in a request")
    max_series: int = Field(100_000, ge=1, description="Most series in a request")
    max_requests: int = Field(128, ge=1, description="Requests a worker has in hand; more are refused")
    worker_bytes: int = Field(4 << 30, ge=1, description="Memory of a worker, open shards included")
    inline_bytes: int = Field(256 << 10, ge=0, description="Larger bodies are scored in a thread of their own")
    body_seconds: float = Field(30.0, gt=0, description="How long a client may take to send a body")
    tokens_file: str = Field("", description="Who may do what: a file of myriad token lines; everybody where empty")
    jwks_url: str = Field("", description="Where the keys of JSON Web Tokens are; none are taken where empty")
    jwt_algorithms: str = Field("RS256,ES256,EdDSA", description="Signature algorithms of JSON Web Tokens")
    jwt_issuer: str = Field("", description="Their iss; any where empty")
    jwt_audience: str = Field("", description="Their aud; any where empty")
    open_metrics: bool = Field(False, description="Whether /metrics needs no token")
    open_docs: bool = Field(False, description="Whether /docs and /openapi.json need no token")
    tls_cert: str = Field("", description="PEM file of the certificate chain; plain HTTP where empty")
    tls_key: str = Field("", description="PEM file of its private key")
    tls_client_ca: str = Field("", description="PEM file of the authorities a client's certificate has to be of")
    trust: str = Field("", description="PEM file of public keys; a release has to be signed by one of them")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged")
    shutdown_seconds: int = Field(20, ge=0, description="How long a stopping worker may finish requests")

    @property
    def open_paths(self) -> frozenset[str]:
        """First parts of paths that need no token."""
        docs = {"docs", "openapi.json"} if self.open_docs else set()
        return frozenset({"health", *docs, *({"metrics"} if self.open_metrics else set())})
