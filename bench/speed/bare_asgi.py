"""Bare ASGI app under uvicorn: it reads a body and answers a constant.

No application under uvicorn can be faster, so its rate is the upper limit for the service.
"""

import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.shared.ports import free_ports
from bench.shared.service import Service, running

CONTENT_TYPE = (b"content-type", b"application/json")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request for the path `/N` with N bytes."""
    if scope["type"] != "http":  # uvicorn tries a lifespan scope and goes on without one
        raise NotImplementedError
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    _ = chunks[0] if len(chunks) == 1 else b"".join(chunks)  # an application needs the body in one piece
    body, headers = _response(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving_bare(log: Path, core: int | None = None) -> Iterator[Service]:
    """The bare app under uvicorn, in a process of its own as `myriad serve` is."""
    (port,) = free_ports(1)
    with running([sys.executable, "-m", "bench.speed.bare_asgi", str(port)], port, log, core) as service:
        yield service


@functools.lru_cache(maxsize=64)
def _response(path: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    size = int(path[1:]) if path[1:].isdigit() else 0
    return b"1" * size, [CONTENT_TYPE, (b"content-length", str(size).encode())]


def _main() -> None:
    import uvicorn

    uvicorn.run(
        "bench.speed.bare_asgi:app",
        port=int(sys.argv[1]),
        access_log=False,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    _main()
