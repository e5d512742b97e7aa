"""Problems: every error as a problem document."""

import json
from typing import Any

import pytest

from myriad.models.errors import (
    BadRequest,
    InvalidKey,
    InvalidPoints,
    LoadFailed,
    Malformed,
    NoRelease,
    TooLarge,
    Unavailable,
)
from myriad.serving.problems import Problem, problem_of

UNFORESEEN = ZeroDivisionError("a secret of the inside")


@pytest.mark.parametrize(
    ("error", "status", "kind", "more"),
    [
        (Malformed("no JSON"), 400, "malformed-json", {}),
        (BadRequest("no windows", "$.windows"), 422, "bad-request", {"field": "$.windows"}),
        (InvalidKey("host", "a/b", "has a slash"), 422, "invalid-key", {"field": "$.host"}),
        (InvalidKey("window", "7m", "is not one"), 422, "invalid-key", {"field": "$.windows"}),
        (InvalidPoints("no value"), 422, "invalid-points", {}),
        (TooLarge("too many"), 413, "too-large", {}),
        (LoadFailed("artifact", "gone"), 503, "store-unavailable", {}),
        (Unavailable("s3://bucket", "name", "out of reach"), 503, "store-unavailable", {}),
        (NoRelease("file:///store"), 503, "no-release", {}),
        (UNFORESEEN, 500, "internal-error", {}),
    ],
)  # fmt: skip
def test_each_error_has_a_status_and_a_kind(error: Exception, status: int, kind: str, more: dict[str, Any]) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.kind, problem.more) == (status, kind, more)
    assert (problem.retry_after is not None) == (status == 503)


def test_a_problem_is_itself() -> None:
    problem = Problem(408, "timeout", "too slow")
    assert problem_of(problem) is problem


def test_an_unforeseen_error_says_nothing_of_the_inside() -> None:
    assert b"secret" not in bytes(problem_of(UNFORESEEN).response().body)


def test_a_response_is_a_problem_document() -> None:
    response = Problem(503, "no-release", "none yet", retry_after=5, field="$.x").response()
    assert (response.status_code, response.media_type) == (503, "application/problem+json")
    assert response.headers["retry-after"] == "5"
    assert json.loads(bytes(response.body)) == {
        "type": "urn:myriad:problem:no-release",
        "title": "no release",
        "status": 503,
        "detail": "none yet",
        "field": "$.x",
    }


@pytest.mark.parametrize(("more", "allowed"), [({}, "GET"), ({"allow": "POST"}, "POST")])
def test_a_method_that_is_not_allowed_says_which_is(more: dict[str, Any], allowed: str) -> None:
    assert Problem(405, "method-not-allowed", "no", **more).response().headers["allow"] == allowed
