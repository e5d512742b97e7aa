"""Data sets: labelled telemetry of hosts, each split into a train part and a test part."""

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

MINUTE, DAY = 60, 86_400
DEFAULT_FOLDER = Path(__file__).parents[3] / "shared" / "data"
BLAME_COLUMNS = ("region", "host", "metric", "start_timestamp", "end_timestamp")


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a data set, named without their suffix.

    Attributes:
        title: for people.
        train: file of the train part, or of both parts if `test` is empty.
        test: file of the test part, or empty.
        share: of the points of each series that is the train part, if both are in one file.
        blame: file that names the metrics in which an incident of a host shows, or empty.
        shared: whether labels are those of the host, the same for all of its metrics.
        days: of each part around the border that are taken, of series at one-minute steps; all where 0.
    """

    title: str
    train: str
    test: str = ""
    share: float = 0.5
    blame: str = ""
    shared: bool = False
    days: int = 0

    @property
    def is_labelled(self) -> bool:
        """Whether labels say in which metric an incident shows."""
        return bool(self.blame) or not self.shared


SOURCES = {
    "smd": Source("Server Machine Dataset", "smd_train", "smd_test", blame="smd_test_interpretation", shared=True),
    "jumpstarter": Source("JumpStarter D2", "jumpstarter_d2_train", "jumpstarter_d2_test", shared=True),
    "kpi": Source("KPI (AIOps 2018)", "kpi", days=42),
    "nab": Source("NAB CloudWatch", "nab_realAWSCloudwatch", share=0.25),
    "microsoft": Source("Microsoft cloud monitoring", "ms_cloud"),
}


@dataclass(frozen=True, slots=True)
class Host:
    """The telemetry of one host.

    Attributes:
        data_set: name of its data set.
        series: one for each metric.
        train: points of the train part, finite, sorted and without duplicates.
        test: points of the test part, sorted and without duplicates; NaN where the source has no value.
        labels: whether the series has an event at each test point, bool (n,).
        blamed: whether the host has an event at each test point, bool (n,); a superset of `labels`.
    """

    data_set: str
    series: list[Series]
    train: Points
    test: Points
    labels: NDArray[np.bool_]
    blamed: NDArray[np.bool_]

    @property
    def is_labelled(self) -> bool:
        """Whether labels say in which metric an incident shows, and not only in which host."""
        return SOURCES[self.data_set].is_labelled


@dataclass(frozen=True, slots=True)
class HostFile:
    """A host in the files of a data set, not yet read, and its number of points."""

    folder: Path
    data_set: str
    host: str
    points: int

    def read(self) -> Host:
        """Read the telemetry."""
        source = SOURCES[self.data_set]
        first = _read_labelled(self.folder / f"{source.train}.parquet", self.host)
        if source.test:
            train, test = first, _read_labelled(self.folder / f"{source.test}.parquet", self.host)
        else:
            train, test = first.split(source.share)
        if source.days:
            train, test = train.near_border(source.days, last=True), test.near_border(source.days, last=False)
        host_labels = test.labels
        labels = _blamed(self.folder / f"{source.blame}.parquet", test) if source.blame else host_labels
        history = train.points.where(np.isfinite(train.points.values))
        return Host(self.data_set, test.series, history, test.points, labels, labels | host_labels)


def folder() -> Path:
    """The folder of the data sets: `MYRIAD_DATA`, or one next to the repository."""
    return Path(os.environ.get("MYRIAD_DATA") or DEFAULT_FOLDER)


def is_present(data: Path, name: str) -> bool:
    """Whether all files of a data set are in a folder."""
    source = SOURCES[name]
    return all((data / f"{file}.parquet").exists() for file in (source.train, source.test, source.blame) if file)


def hosts(data: Path, name: str, limit: int | None = None) -> list[HostFile]:
    """The hosts of a data set; with `limit` only so many, evenly spaced in the sorted list."""
    source = SOURCES[name]
    column = pq.read_table(data / f"{source.test or source.train}.parquet", columns=["host"])["host"]
    counted = sorted((pair["values"], pair["counts"]) for pair in column.combine_chunks().value_counts().to_pylist())
    if limit is not None and limit < len(counted):
        counted = [counted[i] for i in np.linspace(0, len(counted) - 1, limit).astype(int)]
    return [HostFile(data, name, host, points) for host, points in counted]


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

    def near_border(self, days: int, *, last: bool) -> "_Labelled":
        """The last or the first days of each series at one-minute steps, all of the others."""
        points, keep = self.points, np.ones(len(self.labels), np.bool_)
        for i in range(len(points)):
            times, span = points.series(i)[0], slice(points.offsets[i], points.offsets[i + 1])
            if np.median(np.diff(times)) <= MINUTE:
                keep[span] = times > times[-1] - days * DAY if last else times <= times[0] + days * DAY
        return _Labelled(self.series, points.where(keep), self.labels[keep])


def _read_labelled(path: Path, host: str) -> _Labelled:
    table = pq.read_table(path, filters=[("host", "==", host)])
    rows = grouped(table)
    tidied = rows.points.tidied()
    labels = np.zeros(len(tidied.points.values), bool)
    # A duplicate timestamp is labelled if either row is.
    np.logical_or.at(labels, tidied.place, _flags(table, rows.grouping))
    return _Labelled(list(rows.grouping.names.series), tidied.points, labels)


def _flags(table: pa.Table, grouping: Grouping) -> NDArray[np.bool_]:
    labels = np.asarray(table["label"].fill_null(0)) > 0
    return np.asarray(labels[grouping.order])


def _blamed(path: Path, test: _Labelled) -> NDArray[np.bool_]:
    """Whether the file says, at each test point, that an incident of the host shows in its metric, bool (n,)."""
    labels = np.zeros(len(test.labels), bool)
    for series, start, end in _incidents(path, test.series[0].host):
        if series in test.series:
            i = test.series.index(series)
            times, first = test.points.series(i)[0], int(test.points.offsets[i])
            labels[first + np.searchsorted(times, start) : first + np.searchsorted(times, end)] = True
    return labels


def _incidents(path: Path, host: str) -> Iterator[tuple[Series, int, int]]:
    table = pq.read_table(path, columns=list(BLAME_COLUMNS), filters=[("host", "==", host)])
    for row in table.to_pylist():
        yield Series(row["region"], row["host"], row["metric"]), row["start_timestamp"], row["end_timestamp"]
