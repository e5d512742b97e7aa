"""Together: small requests that arrive in the same turn of the event loop are scored in one call.

Scoring one series costs mostly the calls into NumPy, and sixteen cost little more. So a request waits until all that
have arrived with it are parsed, and those that arrived meanwhile, which takes no time of its own: an idle service
answers each at once, and the busier it is the more are scored by one call. Only requests whose models are open are put
together: none waits for a load that another needs.
"""

import asyncio
from collections import defaultdict

from myriad.models.ensemble import Combine
from myriad.models.errors import BadRequest
from myriad.models.windows import Window
from myriad.serving.decode import Joined, Parsed, join
from myriad.serving.encode import encode
from myriad.serving.predictor import Predictor
from myriad.serving.scoring import FEW_SERIES, Scores

QUIET_TURNS = 2
Manner = tuple[tuple[Window, ...] | None, Combine]
"""The windows and combination asked for: requests are put together that have the same."""
Waiting = list[tuple[Parsed, "asyncio.Future[bytes]"]]


class Together:
    """Answers the small requests of one event loop."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: dict[Manner, Waiting] = defaultdict(list)
        self._tasks: set[asyncio.Future[None]] = set()

    async def answer(self, parsed: Parsed) -> bytes:
        """The answer to a request.

        Raises:
            BadRequest: the one series it is about is bad.
            InvalidKey: a window is not one of the release's.
        """
        if not self._predictor.at_hand(parsed.series.values()):
            return await self._alone(parsed)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._answer_when_all_are_there, 0, 0)
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting[parsed.windows, parsed.combine].append((parsed, answer))
        return await answer

    async def _alone(self, parsed: Parsed) -> bytes:
        joined = join([parsed])
        (answer,) = told(self._predictor, joined, await self._predictor.score_async(joined.query))
        if isinstance(answer, BadRequest):
            raise answer
        return answer

    def _answer_when_all_are_there(self, before: int, quiet: int) -> None:
        """Answer after two turns that brought no more: what the first finds on the sockets is parsed in the second."""
        count = sum(map(len, self._waiting.values()))
        quiet = quiet + 1 if count == before else 0
        if quiet < QUIET_TURNS and count < FEW_SERIES:
            asyncio.get_running_loop().call_soon(self._answer_when_all_are_there, count, quiet)
            return
        waiting, self._waiting = self._waiting, defaultdict(list)
        for alike in waiting.values():
            for some in _portions(alike):
                task = asyncio.ensure_future(self._answer_some(some))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer_some(self, waiting: Waiting) -> None:
        """Answer requests together; where that fails, each by itself, so that it fails for nobody else."""
        try:
            joined = join([parsed for parsed, _ in waiting])
            answers = told(self._predictor, joined, await self._predictor.score_async(joined.query))
        except Exception as exc:  # noqa: BLE001  it is raised where the answer is awaited
            if len(waiting) > 1:
                for one in waiting:
                    await self._answer_some([one])
            elif not waiting[0][1].done():
                waiting[0][1].set_exception(exc)
            return
        for (_, future), answer in zip(waiting, answers, strict=True):
            if future.done():  # who asked has gone
                continue
            if isinstance(answer, BadRequest):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def told(predictor: Predictor, joined: Joined, scores: Scores) -> "list[bytes | BadRequest]":
    """The answers to requests, counted."""
    good = [one for one in joined.posted if not isinstance(one, BadRequest)]
    predictor.metrics.scored(scores.tally(sum(len(one.bad) for one in good)), sum(one.posted for one in good))
    return encode(joined, scores, stale=predictor.stale)


def _portions(waiting: Waiting) -> list[Waiting]:
    """Requests, one after the other, in portions of as many as have few series between them."""
    portions, size = [list[tuple[Parsed, "asyncio.Future[bytes]"]]()], 0
    for one in waiting:
        size += len(one[0].series)
        if size > FEW_SERIES and portions[-1]:
            portions.append([])
            size = len(one[0].series)
        portions[-1].append(one)
    return portions
