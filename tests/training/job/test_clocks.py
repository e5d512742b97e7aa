"""Time zones and holidays in a job file: for all regions or some, and what is said of those that are none."""

import builtins
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myriad.models.errors import InvalidJob
from myriad.training.job.config import JobFile

LEAST = "history: {files: [a.parquet]}\nstore: s3://b/p\n"
EPOCH = date(1970, 1, 1)
CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
SUMMARY:Labour
  Day
DTSTART;VALUE=DATE:20260501
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
END:VEVENT
BEGIN:VEVENT
DTSTART:20260701T090000Z
END:VEVENT
END:VCALENDAR
"""


def load(directory: Path, text: str) -> JobFile:
    """The job of a file with this text below the least."""
    path = directory / "fleet.yaml"
    path.write_text(LEAST + text)
    return JobFile.load(path)


def refused(directory: Path, text: str) -> str:
    """What is said of it, without the directory."""
    with pytest.raises(InvalidJob) as error:
        load(directory, text)
    return str(error.value).replace(f"{directory}/", "")


def told(job: JobFile, region: str, *times: str) -> list[str]:
    """The local days of the week and times of day in a region."""
    clock = job.clock(region)
    at = np.array([int(datetime.fromisoformat(one).replace(tzinfo=UTC).timestamp()) for one in times])
    local = at if clock is None else clock.clock.local(at)
    return [datetime.fromtimestamp(one, UTC).strftime("%a %H:%M") for one in local.tolist()]


def dates(job: JobFile, glob: str = "*") -> list[str]:
    """The holidays of a glob."""
    return [str(date.fromordinal(EPOCH.toordinal() + day)) for day in job.holidays[glob]]


def test_without_a_zone_or_holidays_there_is_no_clock(tmp_path: Path) -> None:
    job = load(tmp_path, "")
    assert job.clock("eu") is None
    assert job.clock("*") is None
    assert load(tmp_path, "free_days: friday-saturday\n").clock("eu") is None


def test_one_zone_is_that_of_all_regions_known_or_not(tmp_path: Path) -> None:
    job = load(tmp_path, "time_zone: Europe/Berlin\n")
    for region in ("eu", "*"):
        assert told(job, region, "2026-03-29T00:59", "2026-03-29T01:00") == ["Sun 01:59", "Sun 03:00"]
    assert job.clock("eu") is job.clock("*")


def test_the_first_glob_that_matches_decides_and_only_a_star_stands_for_regions_not_known(
    tmp_path: Path,
) -> None:
    zones = "time_zone: {eu-*: Europe/Berlin, 'us-?': America/New_York"
    job = load(tmp_path, zones + ', "?": Asia/Tokyo}\n')
    assert told(job, "eu-1", "2026-01-01T12:00") == ["Thu 13:00"]
    assert told(job, "us-1", "2026-01-01T12:00") == ["Thu 07:00"]
    assert told(job, "x", "2026-01-01T12:00") == ["Thu 21:00"]
    assert (job.clock("ap-1"), job.clock("*")) == (None, None)
    everywhere = load(tmp_path, zones + ', "*": UTC}\n')
    assert [clock and clock.time_zone for clock in map(everywhere.clock, ("eu-1", "ap-1", "*"))] == [
        "Europe/Berlin", "UTC", "UTC",
    ]  # fmt: skip


def test_zones_are_known_for_ten_years(tmp_path: Path) -> None:
    year = datetime.now(UTC).year + 10
    told_then = told(load(tmp_path, "time_zone: Europe/Berlin\n"), "eu", f"{year}-07-01T12:00", f"{year}-12-31T12:00")
    assert [one[4:] for one in told_then] == ["14:00", "13:00"]


def test_holidays_are_free_days_with_and_without_a_zone(tmp_path: Path) -> None:
    job = load(tmp_path, "holidays: [2026-05-01, 2026-05-25]\n")
    times = ("2026-04-30T23:59", "2026-05-01T00:00", "2026-05-02T12:00", "2026-05-25T12:00", "2026-05-26T12:00")
    assert told(job, "eu", *times) == ["Thu 23:59", "Sat 00:00", "Sun 12:00", "Sun 12:00", "Mon 12:00"]
    arabic = load(tmp_path, "holidays: [2026-05-25]\nfree_days: friday-saturday\ntime_zone: Asia/Riyadh\n")
    assert told(arabic, "me", "2026-05-25T00:00", "2026-05-26T00:00") == ["Fri 03:00", "Sun 03:00"]


def test_regions_have_holidays_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("2026-05-01\n")
    job = load(tmp_path, "holidays:\n  eu-*: de.txt\n  us-*: [2026-07-03]\ntime_zone: {eu-*: Europe/Berlin}\n")
    noon = ("2026-05-01T12:00", "2026-07-03T12:00")
    assert told(job, "eu-1", *noon) == ["Sat 14:00", "Fri 14:00"]
    assert told(job, "us-1", *noon) == ["Fri 12:00", "Sat 12:00"]
    assert job.clock("ap-1") is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "2026-12-25\n\n# a comment\n2026-05-01\n", ["2026-05-01", "2026-12-25"]),
        ("a.csv", "date,name\r\n2026-05-01,Labour Day\r\n2026-12-25,Christmas\r\n", ["2026-05-01", "2026-12-25"]),
        ("a.csv", '\ufeff"2026-05-01";x\n', ["2026-05-01"]),
        ("a.txt", "", []),
        ("a.ics", CALENDAR, ["2026-05-01", "2026-12-24", "2026-12-25", "2026-12-26"]),
        ("a.ics", CALENDAR.replace("\n", "\r\n"), ["2026-05-01", "2026-12-24", "2026-12-25", "2026-12-26"]),
    ],
)
def test_holidays_are_read_from_files_beside_the_job(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert dates(load(tmp_path, f"holidays: {name}\n")) == expected


def test_holidays_of_a_country_or_a_part_of_it_are_those_of_the_library(tmp_path: Path) -> None:
    pytest.importorskip("holidays")
    job = load(tmp_path, "holidays: {de-by: DE-BY, '*': DE}\n")
    assert "2026-01-06" in dates(job, "de-by")
    assert "2026-01-06" not in dates(job)
    assert "2026-10-03" in dates(job)


def test_without_the_library_a_country_is_refused_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "holidays":
            raise ImportError(name)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    said = "fleet.yaml:3: holidays: holidays of a country need the library holidays; the extra [holidays] installs it"
    assert refused(tmp_path, "holidays: DE\n") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_zone: Europe/Berlim\n", "3: time_zone: there is no time zone 'Europe/Berlim'; name one as in "),
        ("time_zone: ../../etc/passwd\n", "3: time_zone: there is no time zone"),
        ("time_zone:\n  eu: UTC\n  us: EDT5\n", "5: time_zone.us: there is no time zone 'EDT5'"),
        ("time_zone: 1\n", "3: time_zone: must be an IANA name such as Europe/Berlin, or a mapping"),
        ("time_zone: {eu: [UTC]}\n", "3: time_zone.eu: must be an IANA name"),
        ("holidays: 2026\n", "3: holidays: must be a list of dates, a file of them, a country such as DE, or globs"),
        (
            "holidays:\n  - 2026-05-01\n  - 01.05.2026\n",
            "5: holidays[1]: '01.05.2026' is not a date such as",
        ),
        ("holidays:\n  eu:\n    - 2026-02-30\n", "5: holidays.eu[0]: '2026-02-30' is not a date"),
        ("holidays: [1969-12-31]\n", "3: holidays[0]: 1969-12-31 is not between 1970 and 2200"),
        ("holidays: [[1]]\n", "3: holidays[0]: '[1]' is not a date"),
        ("holidays: none.txt\n", "3: holidays: none.txt: cannot be read: "),
        ("holidays: {eu: bad.txt}\n", "3: holidays.eu: bad.txt:3: '1 May' is not a date such as 2026-12-25"),
        ("holidays: bad.ics\n", "3: holidays: bad.ics:3: '20261301' is not a date"),
        (
            "holidays: repeats.ics\n",
            "3: holidays: repeats.ics:4: an event that repeats is not read",
        ),
        ("holidays: XX\n", "3: holidays: the library holidays does not know XX"),
        ("holidays: DE-XX\n", "3: holidays: the library holidays does not know DE-XX"),
        ("holidays: many.txt\n", "3: holidays: has 1001 days; 1000 are the most"),
        ("free_days: sunday\n", "3: free_days: must be saturday-sunday or friday-saturday"),
        ("free_days: {eu: []}\n", "3: free_days.eu: must be saturday-sunday or friday-saturday"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    if "XX" in text:
        pytest.importorskip("holidays")
    (tmp_path / "bad.txt").write_text("date\n2026-01-01\n1 May\n")
    (tmp_path / "bad.ics").write_text("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261301\nEND:VEVENT\n")
    repeating = CALENDAR.replace("SUMMARY:Labour", "UID:1\nRRULE:FREQ=YEARLY")
    (tmp_path / "repeats.ics").write_text(repeating)
    (tmp_path / "many.txt").write_text("".join(f"{date.fromordinal(EPOCH.toordinal() + i)}\n" for i in range(1001)))
    assert refused(tmp_path, text).startswith(f"fleet.yaml:{said}")
