"""Problems: every error of the service as an RFC 9457 problem document, from one table."""

import json
from typing import Any

from starlette.responses import Response

from myriad.models.errors import (
    BadRequest,
    InvalidKey,
    InvalidPoints,
    LoadFailed,
    Malformed,
    NoRelease,
    StoreError,
    TooLarge,
)

MAX_DETAIL = 500
"""Characters: whatever was sent, little of it is repeated."""

_FIELD_OF_PART = {"window": "windows"}
"""The request's field for a part of a key, where the two have different names."""


class Problem(Exception):
    """What kept a request from being answered."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        retry_after: int | None = None,
        close: bool = False,
        **more: Any,
    ) -> None:
        """A problem.

        Args:
            status: of the response.
            kind: in the problem's type and, counted, in the metrics.
            detail: a sentence for whoever sent the request.
            retry_after: seconds after which it may work.
            close: whether to close the connection, as there may be more of the body to come.
            more: further fields of the document.
        """
        if len(detail) > MAX_DETAIL:
            detail = f"{detail[:MAX_DETAIL]}..."
        super().__init__(detail)
        self.status, self.kind, self.detail, self.retry_after, self.more = status, kind, detail, retry_after, more
        self.close = close

    def response(self) -> Response:
        """The problem document, `application/problem+json`."""
        body = {
            "type": f"urn:myriad:problem:{self.kind}",
            "title": self.kind.replace("-", " "),
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.close:
            headers["Connection"] = "close"
        if self.status == 405:
            headers["Allow"] = str(self.more.get("allow", "GET"))
        return Response(json.dumps(body), self.status, headers, "application/problem+json")


def problem_of(error: Exception) -> Problem:
    """The problem document for an exception; an unforeseen one is a 500 that does not reveal its message."""
    match error:
        case Problem():
            return error
        case Malformed():
            return Problem(400, "malformed-json", str(error))
        case BadRequest():
            return Problem(422, "bad-request", str(error), field=error.field)
        case InvalidKey():
            return Problem(422, "invalid-key", str(error), field=f"$.{_FIELD_OF_PART.get(error.part, error.part)}")
        case InvalidPoints():
            return Problem(422, "invalid-points", str(error))
        case TooLarge():
            return Problem(413, "too-large", str(error))
        case LoadFailed() | StoreError():
            return Problem(503, "store-unavailable", str(error), retry_after=5)
        case NoRelease():
            return Problem(503, "no-release", "no release has been loaded yet", retry_after=5)
        case _:
            return Problem(500, "internal-error", "something went wrong here; the log says what")
