"""The job file: what `myriad train fleet.yaml` reads, fits and publishes, and where it stops."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from myriad.formats.columns.timestamps import time_zone
from myriad.formats.layout import Layout
from myriad.formats.left_out import DEFAULT_SHARE
from myriad.models.calibration import DEFAULT_RATE, HOLDOUT
from myriad.models.ensemble import DEFAULT_WEIGHTS, MAX_WINDOWS
from myriad.models.errors import InvalidJob
from myriad.models.key import ANY, telemetry_label
from myriad.models.windows import MIN_COVERAGE, Window
from myriad.storage.clocks import RegionClock
from myriad.training.job.candidate import DEFAULT_ADAPTER, Candidate, only
from myriad.training.job.clocks import FreeDays, FreeDaysByRegion, HolidaysByRegion, ZoneByRegion, clock
from myriad.training.job.document import Document
from myriad.training.job.fields import (
    Duration,
    Flag,
    Glob,
    NotEmpty,
    Number,
    Part,
    Text,
    Url,
    Whole,
    allowed_env,
    directory,
    explained,
    wrong,
)
from myriad.training.job.maintenance import Maintenance, calendar

T = TypeVar("T")
ENV_PREFIX = "MYRIAD_"
DEFAULT_FREE_DAYS: FreeDays = "saturday-sunday"
Level = Literal["region", "global"]
Weight = Annotated[Number, Field(gt=0)]


def _known_zone(given: str) -> str:
    return time_zone(given).key


class Columns(Part):
    """What the columns of the files are called, where not by their own names."""

    region: Text | None = None
    host: Text | None = None
    metric: Text | None = None
    timestamp: Text | None = None
    value: Text | None = None


class Constants(Part):
    """Labels that are the same in every row."""

    region: Text | None = None
    host: Text | None = None
    metric: Text | None = None


class Prometheus(Part):
    """What to ask a server that speaks Prometheus' HTTP API: a query for each metric.

    Attributes:
        region_label: the label that names the region; `region` where there is none, or a series lacks it.
        allow_partial: whether an answer may be a part of the whole, as its `warnings` or `isPartial` say.
        headers_env: for each header to send, the environment variable its value is in: one whose name starts with
            `MYRIAD_`, or that whoever runs the job allows. A file from elsewhere must not send other secrets away.
    """

    url: Text
    queries: Annotated[dict[Text, Text], NotEmpty]
    region_label: Text | None = None
    host_label: Text = "instance"
    region: Text | None = None
    step: Duration = Window(60)
    allow_partial: Flag = False
    headers_env: dict[Text, Text] = Field(default_factory=dict)

    @field_validator("headers_env")
    @classmethod
    def _allowed(cls, given: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for header, variable in given.items():
            if not variable.startswith(ENV_PREFIX) and variable not in allowed_env(info):
                raise wrong(f"{variable} does not start with {ENV_PREFIX}, and --allow-env does not name it", header)
        return given

    @field_validator("url")
    @classmethod
    def _of_http(cls, given: str) -> str:
        if not given.startswith(("http://", "https://")):
            raise wrong("must be the URL of a server, http://... or https://...")
        return given.rstrip("/")

    @model_validator(mode="after")
    def _some_region(self) -> Self:
        if self.region_label is None and self.region is None:
            raise wrong("is missing; a series' region is that label's value, or `region`", "region_label")
        return self


class History(Part):
    """Where the telemetry comes from: one of `files`, `dataset` and `prometheus`.

    Attributes:
        files: globs of files; how their names end says their format.
        dataset: a directory of Parquet files, also ones like `region=eu/date=2026-01-01/x.parquet`.
        days: only the latest so many are read.
        columns: their names in files and dataset.
        constants: labels that these have no column of.
        wide: "host" where they have a column of values for each host, "metric" for each metric.
        timezone: an IANA name, for times without an offset.
        left_out: the largest share of rows that may be left out because they cannot be read.
    """

    files: Annotated[tuple[Glob, ...], NotEmpty] | None = None
    dataset: Url | None = None
    prometheus: Prometheus | None = None
    days: Annotated[Number, Field(gt=0)] | None = None
    columns: Columns = Columns()
    constants: Constants = Constants()
    wide: Literal["host", "metric"] | None = None
    timezone: Annotated[Text, AfterValidator(_known_zone)] | None = None
    left_out: Annotated[Number, Field(ge=0, le=1)] = DEFAULT_SHARE

    @property
    def layout(self) -> Layout:
        """Where files and dataset have what a row of telemetry needs."""
        columns, constants = (part.model_dump(exclude_none=True) for part in (self.columns, self.constants))
        return Layout(columns, constants, self.wide, self.timezone)

    @model_validator(mode="after")
    def _each_label_once(self) -> Self:
        """A label is a column, the same in every row, or what the columns of a wide file are named for."""
        constants = self.constants.model_dump(exclude_none=True)
        columns = self.columns.model_dump(exclude_none=True)
        for label in (*constants, *([self.wide] if self.wide else ())):
            if label in columns or (label == self.wide and label in constants):
                raise wrong("is given by constants or wide already", "columns" if label in columns else "wide", label)
        for label, text in constants.items():
            telemetry_label(label, text)
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = ("files", "dataset", "prometheus")
        given = [name for name in sources if getattr(self, name) is not None]
        if len(given) != 1:
            raise wrong(f"needs exactly one of {', '.join(sources)}", *given[1:2])
        of_files = ("columns", "constants", "wide", "timezone")
        if self.prometheus and (other := [name for name in of_files if name in self.model_fields_set]):
            raise wrong("is about files and datasets, and not about Prometheus", other[0])
        if self.prometheus and self.days is None:
            raise wrong("is missing: Prometheus has to be asked for a stretch of time", "days")
        return self


Windows = Annotated[tuple[Duration, ...], NotEmpty, AfterValidator(lambda given: tuple(sorted(set(given))))]


def _rising(given: tuple[float, float]) -> tuple[float, float]:
    if given[0] >= given[1]:
        raise ValueError("must be the least and the most, in this order")
    return given


class Rule(Part):
    """For the metrics that match the glob: which models are tried, at which windows; at all where that is None.

    Attributes:
        rate: whether they are counters, of which the rate a second is modelled and scored.
        direction: of the deviations that matter.
        floor: the smallest deviation that may score 1, in the metrics' unit.
        range: the least and the most that a value may be; outside of it the score is above 1.
    """

    match: Text
    rate: Flag = False
    direction: Literal["up", "down", "both"] = "both"
    floor: Annotated[Number, Field(ge=0)] = 0.0
    range: Annotated[tuple[Number, Number], AfterValidator(_rising)] | None = None
    windows: Windows | None = None
    candidates: Annotated[tuple[Candidate, ...], NotEmpty] = only(DEFAULT_ADAPTER)[0]


class Calibration(Part):
    """False alarms a point, and the last share of a history that is not fitted to but calibrated on."""

    rate: Annotated[Number, Field(gt=0, lt=0.5)] = DEFAULT_RATE
    holdout: Annotated[Number, Field(gt=0, lt=1)] = HOLDOUT


class Selection(Part):
    """How candidates are compared: over so many folds, and a kilobyte of model costs that share of the error."""

    folds: Annotated[Whole, Field(ge=1)] = 3
    cost_per_kilobyte: Annotated[Number, Field(ge=0)] = 0.01


class Gates(Part):
    """What keeps a release from becoming current, each where given.

    Attributes:
        failed: the largest share of series without a model.
        calibration_factor: how many times more held-out scores above 1 than the rate says.
        bytes: a model's, on average.
    """

    failed: Annotated[Number, Field(ge=0, le=1)] | None = None
    calibration_factor: Annotated[Number, Field(ge=1)] | None = None
    bytes: Annotated[Number, Field(gt=0)] | None = None


def _shards(given: Any) -> Any:
    return {"*": given} if isinstance(given, int) else given


class JobFile(Part):
    """A training job.

    Attributes:
        job: its name; the file's without one.
        metrics: the first rule that matches a metric is its.
        windows: of the release, each with its weight, shortest first.
        power: of the weighted mean over the windows: 4, or 1 for a plain mean.
        coverage: the least share of a window's points.
        time_zone: of a region, by globs of its name; UTC where none matches.
        holidays: of a region likewise: local days since the epoch that are free.
        free_days: of each week in a region likewise; Saturday and Sunday where none matches.
        shards: of a region, by globs of its name; as many as its size asks for where none matches.
        workers: processes; one a core where None.
    """

    job: Text = "job"
    history: History
    metrics: Annotated[tuple[Rule, ...], NotEmpty] = (Rule(match="*"),)
    windows: Annotated[dict[Duration, Weight], NotEmpty] = Field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    power: Literal[1, 4] = 4
    calibration: Calibration = Calibration()
    coverage: Annotated[Number, Field(ge=0, le=1)] = MIN_COVERAGE
    selection: Selection = Selection()
    fallback: tuple[Level, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    time_zone: ZoneByRegion = Field(default_factory=dict)
    holidays: HolidaysByRegion = Field(default_factory=dict)
    free_days: FreeDaysByRegion = Field(default_factory=dict)
    store: Url
    shards: Annotated[dict[Text, Annotated[Whole, Field(ge=1)]], BeforeValidator(_shards)] = Field(default_factory=dict)
    engine: Literal["local", "ray"] = "local"
    workers: Annotated[Whole, Field(ge=1)] | None = None
    gates: Gates = Gates()

    @classmethod
    def load(cls, path: str | Path, allow_env: Sequence[str] = ()) -> Self:
        """The job a YAML file describes.

        Args:
            path: of the file.
            allow_env: environment variables it may name beside those that start with `MYRIAD_`.

        Raises:
            InvalidJob: with a line for each thing that is wrong, which names the file, the line and the field.
        """
        document = Document(Path(path))
        value = document.value
        if isinstance(value, dict):
            value = {"job": Path(path).stem, **value}
        try:
            return cls.model_validate(value, context={"directory": Path(path).parent, "allow_env": allow_env})
        except ValidationError as exc:
            raise InvalidJob("\n".join(document.complaint(*explained(error)) for error in exc.errors())) from exc

    def rule(self, metric: str) -> Rule | None:
        """What is fitted to a metric; None where no rule matches it."""
        return next((rule for rule in self.metrics if fnmatchcase(metric, rule.match)), None)

    @property
    def rates(self) -> dict[str, bool]:
        """Which metrics are counters, by the rules' globs, of which the first that matches decides; {} if none are."""
        rates: dict[str, bool] = {}
        for rule in self.metrics:
            rates.setdefault(rule.match, rule.rate)
        return rates if any(rates.values()) else {}

    def shards_of(self, region: str) -> int | None:
        """How many shards a region is to have; None where the file does not say."""
        return next((count for glob, count in self.shards.items() if fnmatchcase(region, glob)), None)

    def clock(self, region: str) -> RegionClock | None:
        """What tells local time in a region, that of `*` in one that is not known; None where that is UTC."""
        zone, holidays = _of_region(self.time_zone, region), _of_region(self.holidays, region)
        return clock(zone, holidays or (), _of_region(self.free_days, region) or DEFAULT_FREE_DAYS)

    @field_validator("windows", mode="wrap")
    @classmethod
    def _different(cls, given: Any, validated: ValidatorFunctionWrapHandler) -> dict[Window, float]:
        """Two names may be the same window: 60s and 1m."""
        windows: dict[Window, float] = validated(given)
        if len(windows) < len(given) or len(windows) > MAX_WINDOWS:
            raise wrong(f"must be up to {MAX_WINDOWS} different windows")
        return dict(sorted(windows.items()))

    @field_validator("maintenance", mode="before")
    @classmethod
    def _from_calendar(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, dict):
            return given
        if list(given) != ["calendar"] or not isinstance(given["calendar"], str):
            raise wrong("must be a list, or `calendar` and a CSV file")
        try:
            return tuple(calendar(directory(info) / given["calendar"]))
        except ValueError as exc:
            raise wrong(str(exc), "calendar") from exc

    @model_validator(mode="after")
    def _windows_of_the_release(self) -> Self:
        for i, rule in enumerate(self.metrics):
            several = [rule.windows or (), *(one.windows or () for one in rule.candidates)]
            if other := [window for some in several for window in some if window not in self.windows]:
                raise wrong(f"{other[0]} is none of the release's windows", "metrics", i, "windows")
        return self


def _of_region(given: Mapping[str, T], region: str) -> T | None:
    """What is given for a region by the first glob that matches it; for `*` by that very glob."""
    return next(
        (one for glob, one in given.items() if glob == region or (region != ANY and fnmatchcase(region, glob))), None
    )
