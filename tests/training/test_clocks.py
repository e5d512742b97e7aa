"""Jobs with a time zone and holidays: what lives by local time is scored as usual across both."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from myriad.models.errors import InvalidJob
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.serving.predictor import Predictor
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from myriad.training.job.config import JobFile
from myriad.training.run import Released, run

STEP, DAY = 300, 86_400
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
HOST = Series("eu", "a", "logins")
History = tuple[NDArray[np.int64], NDArray[np.float64]]


def epoch(text: str) -> int:
    """Epoch seconds of a day's start in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def stretch(first: str, end: str) -> NDArray[np.int64]:
    """A time each five minutes."""
    return np.arange(epoch(first), epoch(end), STEP)


def working_days(times: NDArray[np.int64], zone: ZoneInfo, *free: str, seed: int = 0) -> NDArray[np.float64]:
    """Office hours, five days a week but for the days that are free."""
    local = [datetime.fromtimestamp(one, zone) for one in times.tolist()]
    hour = np.array([one.hour + one.minute / 60 for one in local])
    works = np.array([one.weekday() < 5 and str(one.date()) not in free for one in local])
    level = 20 + works * (60 * np.exp(-(((hour - 13) / 3) ** 2)) + 25 * ((hour >= 9) & (hour < 17)))
    return level + np.random.default_rng(seed).normal(0, 2, len(times))


def trained(directory: Path, series: Mapping[Series, History], **job: Any) -> Released:
    """The release of a job over these series."""
    directory.mkdir(exist_ok=True)
    rows = [
        pa.table({"timestamp": at, "value": new} | {part: [name] * len(at) for part, name in one._asdict().items()})
        for one, (at, new) in series.items()
    ]
    pq.write_table(pa.concat_tables(rows), directory / "h.parquet")
    given = {
        "history": {"files": [str(directory / "h.parquet")]},
        "windows": {"5m": 1, "15m": 2, "1h": 4},
        "store": f"file://{directory}/store",
        "workers": 1,
    }
    return run(JobFile.model_validate(given | job), directory / "jobs")


def scored(
    directory: Path, times: NDArray[np.int64], values: NDArray[np.float64], series: Series = HOST
) -> NDArray[np.float64]:
    """The scores of a series by the release that is current."""
    predictor = Predictor.open(f"file://{directory}/store")
    return predictor.score(Query(Names.of([series]), Points.of((times, values)))).block[0]


def above_by_day(times: NDArray[np.int64], scores: NDArray[np.float64]) -> list[int]:
    """How many points of each day score above 1."""
    day = (times - times[0]) // DAY
    return np.bincount(day[scores > 1], minlength=int(day[-1]) + 1).tolist()


@pytest.mark.parametrize("adapter", ["blend", "rhythm", "seasonal"])
def test_a_working_day_by_local_time_is_usual_after_clocks_change_where_the_zone_is_given(
    adapter: str, tmp_path: Path
) -> None:
    times, later = stretch("2025-03-02", "2025-03-29"), stretch("2025-03-29", "2025-04-05")
    past, new = (every_day(some, seed) for some, seed in ((times, 0), (later, 1)))
    above = {}
    for zone in (None, "Europe/Berlin"):
        here = tmp_path / str(zone is None)
        job = {"metrics": [{"match": "*", "candidates": [adapter]}], **({"time_zone": zone} if zone else {})}
        trained(here, {HOST: (times, past)}, **job)
        above[zone] = above_by_day(later, scored(here, later, new))
    assert max(above["Europe/Berlin"]) <= 1
    assert max(above[None]) > 10


def every_day(times: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A day by Berlin time, the same on each day of the week."""
    hour = np.array([one.hour + one.minute / 60 for one in (datetime.fromtimestamp(t, BERLIN) for t in times.tolist())])
    level = 20 + 60 * np.exp(-(((hour - 13) / 3) ** 2)) + 25 * ((hour >= 9) & (hour < 17))
    return level + np.random.default_rng(seed).normal(0, 2, len(times))


@pytest.mark.parametrize("adapter", ["blend", "seasonal"])
def test_a_holiday_that_is_as_a_sunday_is_usual_where_it_is_listed(adapter: str, tmp_path: Path) -> None:
    """Good Friday and Easter Monday, the second and the fifth day of those that are scored."""
    times, later = stretch("2025-03-17", "2025-04-17"), stretch("2025-04-17", "2025-04-24")
    easter = ("2025-04-18", "2025-04-21")
    past, new = working_days(times, BERLIN), working_days(later, BERLIN, *easter, seed=1)
    days = tmp_path / "days.txt"
    days.write_text("\n".join(easter))
    job = {"metrics": [{"match": "*", "candidates": [adapter]}], "time_zone": "Europe/Berlin"}
    above = []
    for more in ({}, {"holidays": str(days)}):
        trained(tmp_path / str(len(more)), {HOST: (times, past)}, **job, **more)
        above.append(above_by_day(later, scored(tmp_path / str(len(more)), later, new)))
    assert min(above[0][1], above[0][4]) > 10
    assert max(above[1]) <= 1


def test_fallback_models_are_of_local_time_and_regions_have_the_clock_of_theirs(tmp_path: Path) -> None:
    """The same working day by the time of each region; a host that is new to its region, and one of no known region."""
    times = stretch("2025-03-02", "2025-03-29")
    zones = {"eu": BERLIN, "us": NEW_YORK}
    series = {
        Series(region, f"h{i}", "logins"): (times, working_days(times, zone, seed=i))
        for region, zone in zones.items()
        for i in range(2)
    }
    job = {"metrics": [{"match": "*", "candidates": ["seasonal"]}], "fallback": ["region", "global"]}
    by_region = {"eu": "Europe/Berlin", "us": "America/New_York", "*": "Asia/Tokyo"}
    released = trained(tmp_path, series, **job, time_zone=by_region)
    manifest = Releases(open_store(f"file://{tmp_path}/store")).manifest(released.manifest.id)
    assert [manifest.clock_of(region) for region in ("eu", "us", "ap")] == [
        dict(manifest.clocks or {})[region] for region in ("eu", "us", "*")
    ]
    later = stretch("2025-03-31", "2025-04-02")
    for region, zone in (("eu", BERLIN), ("us", NEW_YORK), ("ap", ZoneInfo("Asia/Tokyo"))):
        new = working_days(later, zone, seed=9)
        assert max(above_by_day(later, scored(tmp_path, later, new, Series(region, "new", "logins")))) <= 2
        elsewhere = working_days(later, ZoneInfo("Pacific/Auckland"), seed=9)
        assert (scored(tmp_path, later, elsewhere, Series(region, "new", "logins")) > 1).sum() > 50


def test_a_short_history_is_filled_up_with_what_was_at_the_same_local_time(tmp_path: Path) -> None:
    times, new = stretch("2025-03-02", "2025-04-01"), stretch("2025-03-31", "2025-04-01")
    series = {Series("eu", f"h{i}", "logins"): (times, every_day(times, i)) for i in range(2)}
    series[Series("eu", "new", "logins")] = new, every_day(new, 5)
    job = {"metrics": [{"match": "*", "candidates": ["seasonal"]}], "fallback": ["region"]}
    trained(tmp_path, series, **job, time_zone="Europe/Berlin")
    later = stretch("2025-04-01", "2025-04-03")
    assert max(above_by_day(later, scored(tmp_path, later, every_day(later, 9), Series("eu", "new", "logins")))) <= 1


def test_a_release_keeps_clocks_from_its_history_on_and_none_where_none_is_given(tmp_path: Path) -> None:
    times = stretch("2025-03-25", "2025-04-03")
    series = {HOST: (times, every_day(times, 0))}
    released = trained(tmp_path / "with", series, time_zone="Europe/Berlin")
    (clock,) = dict(released.manifest.clocks or {}).values()
    (first, shift), (last, _), year = clock.changes[0], clock.changes[-1], datetime.now(UTC).year
    assert (clock.time_zone, clock.shift, first, shift) == ("Europe/Berlin", 3600, epoch("2025-03-30") + 3600, 7200)
    assert epoch(f"{year + 9}-12-31") < last < epoch(f"{year + 11}-01-01")
    assert not trained(tmp_path / "without", series).manifest.clocks


def test_an_update_has_to_have_the_time_zones_of_what_it_keeps(tmp_path: Path) -> None:
    times = stretch("2025-03-25", "2025-04-03")
    series = {HOST: (times, every_day(times, 0))}
    first = trained(tmp_path, series, time_zone="Europe/Berlin")
    job = {
        "history": {"files": [str(tmp_path / "h.parquet")]},
        "windows": {"5m": 1, "15m": 2, "1h": 4},
        "store": f"file://{tmp_path}/store",
        "workers": 1,
    }
    said = f"release {first.manifest.id} has the time zone Europe/Berlin in region eu, the job none"
    with pytest.raises(InvalidJob, match=said):
        run(JobFile.model_validate(job), tmp_path / "jobs", update=True)
    again = run(JobFile.model_validate(job | {"time_zone": "Europe/Berlin"}), tmp_path / "jobs", update=True)
    assert again.manifest.clocks == first.manifest.clocks
