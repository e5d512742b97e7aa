"""Bare: the least any server under uvicorn does - reads a body and answers a constant; the ceiling to be near to."""

import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.service import Service, running
from bench.weed import free_ports

TYPE = (b"content-type", b"application/json")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request for `/N` with N bytes."""
    if scope["type"] != "http":  # uvicorn asks for a lifespan and goes on without
        raise NotImplementedError
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    _ = chunks[0] if len(chunks) == 1 else b"".join(chunks)  # who uses a body needs it in one piece
    body, headers = _constant(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def bare(log: Path, core: int | None = None) -> Iterator[Service]:
    """The bare server, running as `myriad serve` does."""
    (port,) = free_ports(1)
    with running([sys.executable, "-m", "bench.bare", str(port)], port, log, core) as service:
        yield service


@functools.lru_cache(maxsize=64)
def _constant(path: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    size = int(path[1:]) if path[1:].isdigit() else 0
    return b"1" * size, [TYPE, (b"content-length", str(size).encode())]


def _main() -> None:
    import uvicorn

    uvicorn.run(
        "bench.bare:app",
        port=int(sys.argv[1]),
        access_log=False,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    _main()
