"""Settings: everything that can be set from outside, as data with help."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `MYRIAD_*` environment variables; `myriad serve` has a flag for each.

    S3's credentials are no settings, as they are secret: boto3 finds them in the usual AWS ways.
    """

    model_config = SettingsConfigDict(env_prefix="MYRIAD_", extra="forbid", frozen=True)

    store: str = Field("file:///var/lib/myriad", description="Releases: file:///directory or s3://bucket/prefix")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on")
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
    max_points: int = Field(1_000_000, ge=1, description="Most datapoints in a request")
    max_series: int = Field(100_000, ge=1, description="Most series in a request")
    max_requests: int = Field(256, ge=1, description="Requests a worker has in hand; more are refused")
    inline_bytes: int = Field(256 << 10, ge=0, description="Larger bodies are scored in a thread of their own")
    body_seconds: float = Field(30.0, gt=0, description="How long a client may take to send a body")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged")
    shutdown_seconds: int = Field(20, ge=0, description="How long a stopping worker may finish requests")
