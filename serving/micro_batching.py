"""Micro-batching: small requests that arrive within the same turns of the event loop are scored in one call.

Most of the cost of scoring a series is the number of calls into NumPy, so sixteen series cost little more than one.
A request waits until the event loop has had `IDLE_LOOP_TURNS` turns that brought no further request; there is no timer.
An idle service therefore answers at once, and the busier it is, the larger its batches become.

Requests are batched only if the shards with their models are open. A request that has to wait for a load is scored on
its own, so that it delays nobody else.
"""

import asyncio
from collections import defaultdict
from contextlib import nullcontext
from typing import NamedTuple

from myriad.models.ensemble import Combine
from myriad.models.errors import BadRequest
from myriad.models.windows import Window
from myriad.serving.decode import Batch, ParsedRequest, make_batch
from myriad.serving.encode import encode
from myriad.serving.predictor import Loading, Predictor
from myriad.serving.scoring import MAX_GATHERED_SERIES, Scores

IDLE_LOOP_TURNS = 2
"""Turns without a new request before a batch is scored: what one turn reads from the sockets, the next one parses."""
BatchKey = tuple[tuple[Window, ...] | None, Combine]
"""The windows and the combination asked for; requests are batched with those that have the same."""


class PendingRequest(NamedTuple):
    """A request that waits to be scored, and the future of its answer."""

    request: ParsedRequest
    answer: "asyncio.Future[bytes]"


class MicroBatcher:
    """Answers the small requests of one event loop."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._pending: dict[BatchKey, list[PendingRequest]] = defaultdict(list)
        self._tasks: set[asyncio.Future[None]] = set()

    async def answer(self, request: ParsedRequest, loading: Loading = nullcontext) -> bytes:
        """The answer to a request.

        Args:
            request: of few series.
            loading: entered while models have to be loaded for it.

        Raises:
            BadRequest: the request is about one series, and that series is bad.
            InvalidKey: a window is not one of the release's.
        """
        if not self._predictor.is_cached(request.series.values()):
            return await self._answer_alone(request, loading)
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._flush_when_idle, 0, 0)
        answer: asyncio.Future[bytes] = loop.create_future()
        self._pending[request.windows, request.combine].append(PendingRequest(request, answer))
        return await answer

    async def _answer_alone(self, request: ParsedRequest, loading: Loading) -> bytes:
        batch = make_batch([request])
        (answer,) = answers_of(self._predictor, batch, await self._predictor.score_async(batch.query, loading))
        if isinstance(answer, BadRequest):
            raise answer
        return answer

    def _flush_when_idle(self, previous_count: int, idle_turns: int) -> None:
        """Score what is pending once it is enough for a call or the loop is idle; else look again in the next turn."""
        count = sum(map(len, self._pending.values()))
        idle_turns = idle_turns + 1 if count == previous_count else 0
        if idle_turns < IDLE_LOOP_TURNS and count < MAX_GATHERED_SERIES:
            asyncio.get_running_loop().call_soon(self._flush_when_idle, count, idle_turns)
            return
        pending, self._pending = self._pending, defaultdict(list)
        for same_key in pending.values():
            for requests in _split(same_key):
                task = asyncio.ensure_future(self._answer_batch(requests))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer_batch(self, pending: list[PendingRequest]) -> None:
        """Answer requests in one call; if that fails, each on its own, so that one request fails no other."""
        try:
            batch = make_batch([one.request for one in pending])
            answers = answers_of(self._predictor, batch, await self._predictor.score_async(batch.query))
        except Exception as exc:  # noqa: BLE001  it is raised where the answer is awaited
            if len(pending) > 1:
                for one in pending:
                    await self._answer_batch([one])
            elif not pending[0].answer.done():
                pending[0].answer.set_exception(exc)
            return
        for (_, future), answer in zip(pending, answers, strict=True):
            if future.done():  # the client has gone
                continue
            if isinstance(answer, BadRequest):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def answers_of(predictor: Predictor, batch: Batch, scores: Scores) -> "list[bytes | BadRequest]":
    """The encoded answer to each request of a batch, or why there is none; counted in the predictor's metrics."""
    scored = [request for request in batch.requests if not isinstance(request, BadRequest)]
    tally = scores.tally(sum(len(request.bad) for request in scored))
    predictor.metrics.count_series(tally, sum(request.point_count for request in scored))
    return encode(batch, scores, stale=predictor.stale)


def _split(pending: list[PendingRequest]) -> list[list[PendingRequest]]:
    """Requests in their order, cut into batches of at most `MAX_GATHERED_SERIES` series, or of one larger request."""
    batches, size = [list[PendingRequest]()], 0
    for one in pending:
        size += len(one.request.series)
        if size > MAX_GATHERED_SERIES and batches[-1]:
            batches.append([])
            size = len(one.request.series)
        batches[-1].append(one)
    return batches
