"""Data sets: labelled telemetry, a host at a time, its first part to learn from and the rest to be scored."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from myriad.formats.columns.table import Grouping, grouped
from myriad.models.key import Series
from myriad.models.points import Points

BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "data"
BAND = ("region", "host", "metric", "start_timestamp", "end_timestamp")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set is.

    Attributes:
        title: for people.
        train: a file, without its ending; the first `share` of each series of it where `test` is none.
        test: another file, if there is one.
        share: of each series' points that is train, where both are in one file.
        blame: a file that says which metrics an incident of the host is to be seen in, if there is one.
        shared: whether the labels are the host's, the same for each of its metrics.
    """

    title: str
    train: str
    test: str = ""
    share: float = 0.5
    blame: str = ""
    shared: bool = False


SOURCES = {
    "smd": Source("Server Machine Dataset", "smd_train", "smd_test", blame="smd_test_interpretation", shared=True),
    "jumpstarter": Source("JumpStarter D2", "jumpstarter_d2_train", "jumpstarter_d2_test", shared=True),
    "kpi": Source("KPI (AIOps 2018)", "kpi"),
    "nab": Source("NAB CloudWatch", "nab_realAWSCloudwatch", share=0.15),
    "microsoft": Source("Microsoft cloud monitoring", "ms_cloud"),
}


@dataclass(frozen=True, slots=True)
class Host:
    """The telemetry of one host.

    Attributes:
        data_set: which it is of.
        series: one a metric.
        train: finite and tidied, nothing of it labelled.
        test: tidied, after the train part; NaN where the source has none.
        labels: where the series has an event, bool (n,), along the test points.
        blamed: where the host has one, bool (n,); a superset of `labels`.
    """

    data_set: str
    series: list[Series]
    train: Points
    test: Points
    labels: NDArray[np.bool_]
    blamed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Where:
    """One host of a data set in a folder, still to be read, and how many points it has."""

    folder: Path
    data_set: str
    host: str
    points: int

    def read(self) -> Host:
        """Its telemetry."""
        source = SOURCES[self.data_set]
        first = _labelled(self.folder / f"{source.train}.parquet", self.host)
        if source.test:
            train, rest = first, _labelled(self.folder / f"{source.test}.parquet", self.host)
        else:
            train, rest = first.split(source.share)
        host = rest.labels
        labels = _blamed(self.folder / f"{source.blame}.parquet", rest) if source.blame else host
        history = train.points.where(np.isfinite(train.points.values))
        return Host(self.data_set, rest.series, history, rest.points, labels, labels | host)


def folder() -> Path:
    """Where the data sets are: `MYRIAD_DATA`, or beside the repository."""
    return Path(os.environ.get("MYRIAD_DATA") or BESIDE_THE_REPOSITORY)


def there(data: Path, name: str) -> bool:
    """Whether a data set is in a folder."""
    source = SOURCES[name]
    return all((data / f"{file}.parquet").exists() for file in (source.train, source.test, source.blame) if file)


def hosts(data: Path, name: str, most: int | None = None) -> list[Where]:
    """The hosts of a data set; with `most`, only so many, evenly from the list of them."""
    source = SOURCES[name]
    column = pq.read_table(data / f"{source.test or source.train}.parquet", columns=["host"])["host"]
    counted = sorted((pair["values"], pair["counts"]) for pair in column.combine_chunks().value_counts().to_pylist())
    if most is not None and most < len(counted):
        counted = [counted[i] for i in np.linspace(0, len(counted) - 1, most).astype(int)]
    return [Where(data, name, host, points) for host, points in counted]


@dataclass(frozen=True, slots=True)
class _Labelled:
    series: list[Series]
    points: Points
    labels: NDArray[np.bool_]

    def split(self, share: float) -> "tuple[_Labelled, _Labelled]":
        """The first share of each series' points, and the rest."""
        position = np.arange(len(self.labels)) - self.points.offsets[:-1][self.points.owner]
        early = position < (self.points.lengths * share).astype(np.int64)[self.points.owner]
        first, rest = (_Labelled(self.series, self.points.where(part), self.labels[part]) for part in (early, ~early))
        return first, rest


def _labelled(path: Path, host: str) -> _Labelled:
    table = pq.read_table(path, filters=[("host", "==", host)])
    rows = grouped(table)
    tidied = rows.points.tidied()
    labels = np.zeros(len(tidied.points.values), bool)
    # A timestamp that is there twice is labelled if either is.
    np.logical_or.at(labels, tidied.place, _flags(table, rows.grouping))
    return _Labelled(list(rows.grouping.names.series), tidied.points, labels)


def _flags(table: pa.Table, grouping: Grouping) -> NDArray[np.bool_]:
    labels = np.asarray(table["label"].fill_null(0)) > 0
    return np.asarray(labels[grouping.order])


def _blamed(path: Path, rest: _Labelled) -> NDArray[np.bool_]:
    """Where each metric was named as having shown its host's incident."""
    labels = np.zeros(len(rest.labels), bool)
    for series, start, end in _stretches(path, rest.series[0].host):
        if series in rest.series:
            i = rest.series.index(series)
            times, first = rest.points.series(i)[0], int(rest.points.offsets[i])
            labels[first + np.searchsorted(times, start) : first + np.searchsorted(times, end)] = True
    return labels


def _stretches(path: Path, host: str) -> Iterator[tuple[Series, int, int]]:
    table = pq.read_table(path, columns=list(BAND), filters=[("host", "==", host)])
    for row in table.to_pylist():
        yield Series(row["region"], row["host"], row["metric"]), row["start_timestamp"], row["end_timestamp"]
