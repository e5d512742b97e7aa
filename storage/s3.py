"""A store under a prefix of an S3 bucket, or of anything that speaks its API with conditional PUT."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from myriad.models.errors import Conflict, NotFound, StoreError, Unavailable
from myriad.storage.base import Blob, ObjectStore, Stored

CONNECTIONS = 32
CONNECT_SECONDS, READ_SECONDS = 3, 8
ATTEMPTS = 2
GET_SECONDS, LEAST_RATE = 20.0, 1 << 20
"""An object is given up after these seconds and one for each so many of its bytes, however steadily it trickles."""
CHUNK = 1 << 20

_MISSING = {"NoSuchKey", "404", "NotFound"}
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class S3Store(ObjectStore):
    """Objects in a bucket; endpoint, region and credentials come from the environment, as every AWS tool finds them."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.url = f"s3://{bucket}/{self._prefix}".rstrip("/")
        config = Config(
            retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=CONNECTIONS,
        )
        with self._mapped(""):
            self._client: Any = boto3.session.Session().client("s3", config=config)

    def get(self, name: str, limit: int) -> Blob:
        with self._mapped(name):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + self.checked(name))
            with contextlib.closing(answer["Body"]) as body:
                size = int(answer["ContentLength"])
                if size > limit:
                    raise StoreError(self.url, name, f"has {size} bytes, more than the {limit} allowed")
                return Blob(b"".join(self._chunks(name, body, size)), answer["ETag"])

    def _chunks(self, name: str, body: Any, size: int) -> Iterator[bytes]:
        deadline = time.monotonic() + GET_SECONDS + size / LEAST_RATE
        for chunk in body.iter_chunks(CHUNK):
            if time.monotonic() > deadline:
                raise Unavailable(self.url, name, f"its {size} bytes did not come in {GET_SECONDS:g} seconds and more")
            yield chunk

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._put(name, data, IfNoneMatch="*")
        except Conflict:
            return False
        return True

    def swap(self, name: str, data: bytes, tag: str | None) -> str:
        try:
            return self._put(name, data, **({"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}))
        except NotFound as exc:  # If-Match on an object that is gone
            raise Conflict(self.url, name) from exc
        except Conflict:
            there = self.get(name, len(data) + 1024)
            if there.data == data:  # ours was written, its answer lost, and the try after that refused
                return there.tag
            raise

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._mapped(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    name = entry["Key"].removeprefix(self._prefix)
                    yield Stored(name, entry["Size"], entry["LastModified"].timestamp())

    def delete(self, name: str) -> None:
        with self._mapped(name):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + self.checked(name))

    def _put(self, name: str, data: bytes, **condition: str) -> str:
        with self._mapped(name):
            key = self._prefix + self.checked(name)
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data, **condition)
            return str(answer["ETag"])

    @contextlib.contextmanager
    def _mapped(self, name: str) -> Iterator[None]:
        try:
            yield
        except ClientError as exc:
            code = str(exc.response.get("Error", {}).get("Code", ""))
            if code in _MISSING:
                raise NotFound(self.url, name) from exc
            if code in _CONFLICT:
                raise Conflict(self.url, name) from exc
            raise Unavailable(self.url, name, f"S3 answered {code or 'an error'}") from exc
        except (BotoCoreError, OSError) as exc:
            raise Unavailable(self.url, name, str(exc)) from exc
