"""A training job: the same models however many processes fit them."""

import numpy as np
import pyarrow as pa
import pytest

from models.errors import HistoryUnusable, InvalidPoints
from storage.artifact import views
from storage.shard import Entries, pack_shard
from tests.conftest import END
from tests.training.fleets import PLAN
from training.job import train
from training.synthetic import DAY, fleet


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """A day of a fleet of 24 series."""
    return fleet(end=END, days=1, hosts=3, incidents=0).table(END - DAY, END)


def arrays(entries: Entries) -> dict[str, bytes]:
    """All that is fitted, but for when."""
    there, _ = views("x", pack_shard(entries))
    return {name: array.tobytes() for name, array in there.items() if name != "index/fitted_at"}


def test_two_processes_fit_what_one_does(table: pa.Table) -> None:
    done: dict[int, list[int]] = {1: [], 2: []}
    fitted = {
        workers: train(PLAN, table, ["region", "global"], workers=workers, progress=done[workers].append)
        for workers in done
    }
    assert arrays(fitted[1].entries) == arrays(fitted[2].entries)
    of_hosts = 6
    assert len(fitted[1].entries.series) == 24 + 2 * 4 + 4 + of_hosts
    assert sum(done[1]) == sum(done[2]) == 36


def test_rows_may_be_in_any_order_with_duplicates_and_gaps(table: pa.Table) -> None:
    order = np.random.default_rng(0).permutation(table.num_rows)
    first = table.slice(0, 100)
    spoilt = first.set_column(4, "value", pa.array([1e6] * 100))
    missing = first.set_column(4, "value", pa.array([float("nan")] * 100)).set_column(
        3, "timestamp", pa.array(first["timestamp"].to_numpy() + 7)
    )
    mixed = pa.concat_tables([spoilt, missing, table.take(order)])
    plain, other = (train(PLAN, one, [], workers=1, progress=int) for one in (table, mixed))
    assert arrays(plain.entries) == arrays(other.entries)


def test_series_that_cannot_be_are_refused_and_the_others_fitted(table: pa.Table) -> None:
    hosts = ["a/b" if host == "web-001" else host for host in table["host"].to_pylist()]
    fitted = train(PLAN, table.set_column(1, "host", pa.array(hosts)), [], workers=1, progress=int)
    of_hosts = 4
    assert len(fitted.entries.series) == 16 + of_hosts
    assert len(fitted.refusals) == 8
    assert all("'a/b'" in refusal.why and refusal.window is None for refusal in fitted.refusals)


def test_nothing_to_fit_is_an_error_that_says_why(table: pa.Table) -> None:
    with pytest.raises(HistoryUnusable, match="no datapoints"):
        train(PLAN, table.slice(0, 0), [], workers=1, progress=int)
    with pytest.raises(HistoryUnusable, match="30 are needed"):
        train(PLAN, table.slice(0, 10), [], workers=1, progress=int)


def test_a_table_that_lacks_a_column_is_refused(table: pa.Table) -> None:
    with pytest.raises(InvalidPoints, match="metric"):
        train(PLAN, table.drop_columns(["metric"]), [], workers=1, progress=int)
