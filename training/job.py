"""A training job: from a table of telemetry to the fitted fleet, on several cores."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np
import pyarrow as pa

from models.errors import HistoryUnusable
from models.key import Series
from models.points import Points
from models.table import grouped
from storage.shard import concatenated
from training import records
from training.fit import Fitted, Plan, Refusal, fit, fit_pooled
from training.hierarchy import pools
from training.hosts import with_hosts

SERIES_AT_ONCE = 80

_Work = tuple[Callable[..., Fitted], tuple[object, ...], int]
"""What to call, with what, and how many series that is."""


def train(
    plan: Plan, table: pa.Table, levels: Sequence[str], *, workers: int, progress: Callable[[int], object]
) -> Fitted:
    """Fit every series of a table, and the fallback models of the levels ("region", "global").

    Args:
        plan: what to fit.
        table: see `models.table`.
        levels: of fallback models.
        workers: processes; 1 fits in this one.
        progress: called with the number of series done since the last call.

    Raises:
        InvalidPoints: the table is not one.
        HistoryUnusable: nothing in it can be fitted.
    """
    rows = grouped(table)
    names = rows.grouping.names
    refusals = [Refusal("/".join(names[i]), None, str(why)) for i, why in sorted(rows.bad.items())]
    good = [i for i in range(len(names)) if i not in rows.bad]
    series = [names[i] for i in good]
    points = rows.points.take(good)
    points = points.where(np.isfinite(points.values)).tidied().points
    done = list(_done(list(_work(plan, series, points, levels)), workers, progress))
    refusals += [refusal for fitted in done for refusal in fitted.refusals]
    if not any(fitted.entries.series for fitted in done):
        raise HistoryUnusable(refusals[0].why if refusals else "there are no datapoints")
    done = with_hosts(plan, done)
    told = records.merge([fitted.records for fitted in done])
    return Fitted(concatenated([fitted.entries for fitted in done]), refusals, told)


def _work(plan: Plan, series: list[Series], points: Points, levels: Sequence[str]) -> Iterator[_Work]:
    for first in range(0, len(series), SERIES_AT_ONCE):
        some = range(first, min(first + SERIES_AT_ONCE, len(series)))
        yield fit, (plan, [series[i] for i in some], points.take(some)), len(some)
    for pooled, members in pools(series, levels).items():
        yield fit_pooled, (plan, pooled, points.take(members)), 1


def _done(work: list[_Work], workers: int, progress: Callable[[int], object]) -> Iterator[Fitted]:
    if workers == 1:
        for call, arguments, size in work:
            yield call(*arguments)
            progress(size)
        return
    # Threads of Arrow's may hold locks at a fork: the workers start afresh.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(call, *arguments): size for call, arguments, size in work}
        for future in as_completed(futures):
            yield future.result()
            progress(futures[future])
