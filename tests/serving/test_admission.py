"""Admission: what is taken on, and what is told to come back."""

import asyncio

import pytest

from myriad.serving.admission import BASE_BYTES, Admission
from myriad.serving.problems import Problem

MB = 1 << 20


def admission(requests: int = 2, megabytes: int = 1000) -> Admission:
    """One with so much memory for large requests."""
    return Admission(requests, BASE_BYTES + megabytes * MB + 7, 7)


def test_no_more_are_taken_on_than_allowed_and_each_leaves_its_place() -> None:
    one = admission(requests=2)
    with one.request(), one.request():
        assert one.is_full
        with pytest.raises(Problem) as refused, one.request():
            pass
        assert (refused.value.status, refused.value.kind, refused.value.retry_after) == (503, "too-many-requests", 1)
    assert not one.is_full


def test_one_that_waits_for_models_keeps_no_place_but_only_so_many_may_wait() -> None:
    one = admission(requests=1)
    with one.request(), one.loading():
        assert not one.is_full
        with one.request(), pytest.raises(Problem, match="wait for models"), one.loading():
            pass
    assert not one.is_full


def test_what_arrives_in_a_turn_counts_until_the_next() -> None:
    async def turns() -> list[bool]:
        one, seen = admission(requests=2), list[bool]()
        for _ in range(2):
            one.arrived()
            one.arrived()
            seen.append(one.is_full)
            await asyncio.sleep(0)
            seen.append(one.is_full)
        return seen

    assert asyncio.run(turns()) == [True, False, True, False]


def test_large_requests_share_the_memory_there_is_and_one_alone_is_never_refused() -> None:
    one = admission(megabytes=1000)
    with one.memory(900 * MB) as more:
        with pytest.raises(Problem, match="no memory") as refused, one.memory(160 * MB):
            pass
        assert (refused.value.status, refused.value.kind) == (503, "too-many-bytes")
        with one.memory(90 * MB), pytest.raises(Problem, match="no memory"):
            more(20 * MB)
        more(10_000 * MB)
    with one.memory(10_000 * MB):
        pass
