"""The job file: what it may say, and the file, line and field of what it may not."""

import contextlib
import inspect
import re
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myriad import adapters
from myriad.formats.layout import Layout
from myriad.models.base import Fit, Model, Prediction
from myriad.models.errors import InvalidJob
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.windows import DEFAULT_WINDOWS, Window
from myriad.training.job import candidate
from myriad.training.job.config import JobFile, Rule
from myriad.training.job.maintenance import Maintenance, left_out
from myriad.training.plan import plan_for

EXAMPLE = Path(__file__).parents[3] / "examples" / "fleet.yaml"
LEAST = "history: {files: [a.parquet]}\nstore: s3://b/p\n"
FILES = "store: s3://b/p\nhistory:\n  files: [a]\n"
PROMETHEUS = "store: s3://b/p\nhistory:\n  days: 1\n  prometheus:\n    url: http://p\n    region: eu\n"


def load(directory: Path, text: str) -> JobFile:
    """The job of a file with this text."""
    path = directory / "fleet.yaml"
    path.write_text(text)
    return JobFile.load(path)


def refused(directory: Path, text: str) -> str:
    """What is said of a file with this text, from its name on."""
    with pytest.raises(InvalidJob) as error:
        load(directory, text)
    return str(error.value).replace(f"{directory}/", "")


def test_the_example_loads_and_its_comments_name_what_there_is() -> None:
    job = JobFile.load(EXAMPLE)
    assert job.job == "fleet"
    assert job.windows == {Window(60): 1, Window(900): 2, Window(3600): 4}
    rule = job.rule("net_rx_mb")
    assert rule
    assert rule.windows == (900, 3600)
    assert [one.adapter for one in job.metrics[1].candidates] == ["seasonal", "ewma"]
    assert job.history.files == (str(EXAMPLE.parent / "demo-data" / "history.parquet"),)
    assert job.store == f"file://{EXAMPLE.parent}/demo-data/fleet"


def test_the_sources_commented_out_in_the_example_would_load_too(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    files = re.search(r"^  files: .*\n", text, re.MULTILINE)
    assert files
    text = text.replace(files.group(), "")
    for source in ("dataset", "prometheus"):
        (block,) = re.findall(rf"^  # {source}:.*\n(?:  #   .*\n)*", text, re.MULTILINE)
        job = load(tmp_path, text.replace(block, re.sub("^  # ", "  ", block, flags=re.MULTILINE)))
        assert getattr(job.history, source)


def test_a_file_of_two_lines_has_the_defaults_of_the_command(tmp_path: Path) -> None:
    job = load(tmp_path, LEAST)
    assert job.job == "fleet"
    assert tuple(job.windows) == DEFAULT_WINDOWS
    assert (job.calibration.rate, job.calibration.holdout, job.coverage) == (1e-4, 0.3, 0.5)
    assert (job.engine, job.workers, job.fallback, job.maintenance) == ("local", None, (), ())
    assert job.gates.model_dump() == {"failed": None, "calibration_factor": None, "bytes": None}
    rule = job.rule("any")
    assert rule
    assert rule.candidates == Rule(match="any").candidates


def test_the_first_rule_that_matches_a_metric_is_its(tmp_path: Path) -> None:
    job = load(
        tmp_path, LEAST + "metrics: [{match: cpu_*, candidates: [ewma]}, {match: 'c*', candidates: [seasonal]}]\n"
    )
    found = [job.rule(metric) for metric in ("cpu_util", "clock", "CPU_util", "mem")]
    assert [one and one.candidates[0].adapter for one in found] == ["ewma", "seasonal", None, None]


def test_a_rule_says_which_deviations_matter(tmp_path: Path) -> None:
    job = load(tmp_path, LEAST + "metrics: [{match: e*, direction: up, floor: 2, range: [0, 100]}, {match: '*'}]\n")
    errors, other = plan_for(job, "errors"), plan_for(job, "cpu")
    assert errors
    assert other
    assert (errors.direction, errors.floor, errors.range, errors.limits) == (1, 2.0, (0.0, 100.0), (1.0, 0.0, 100.0))
    assert (other.direction, other.floor, other.limits) == (0, 0.0, None)


def test_windows_are_put_in_order_shortest_first(tmp_path: Path) -> None:
    assert list(load(tmp_path, LEAST + "windows: {1h: 4, 60s: 1, 15m: 2}\n").windows) == [60, 900, 3600]


def test_shards_are_of_all_regions_or_of_those_that_match(tmp_path: Path) -> None:
    assert load(tmp_path, LEAST).shards_of("eu") is None
    assert load(tmp_path, LEAST + "shards: 8\n").shards_of("eu") == 8
    job = load(tmp_path, LEAST + "shards: {eu-*: 4, us: 2}\n")
    assert [job.shards_of(region) for region in ("eu-1", "us", "ap")] == [4, 2, None]


def test_paths_are_relative_to_the_file_whatever_its_directory_is_called(tmp_path: Path) -> None:
    directory = tmp_path / "a[b]*"
    directory.mkdir()
    job = load(directory, "history: {files: ['*.csv', /x/y.csv]}\nstore: st\n")
    assert job.history.files == (f"{tmp_path}/a[[]b][*]/*.csv", "/x/y.csv")
    assert job.store == f"file://{directory}/st"


def test_a_history_says_where_its_files_have_what(tmp_path: Path) -> None:
    text = """store: s3://b/p
history:
  files: [a.csv]
  columns: {timestamp: Time, value: v}
  constants: {region: eu, metric: ..}
  timezone: Europe/Berlin
  left_out: 0.25
"""
    history = load(tmp_path, text).history
    assert history.left_out == 0.25
    assert history.layout == Layout(
        {"timestamp": "Time", "value": "v"}, {"region": "eu", "metric": ".."}, None, "Europe/Berlin"
    )
    usual = load(tmp_path, LEAST).history
    assert (usual.left_out, usual.layout) == (0.05, Layout())
    wide = load(tmp_path, "store: s3://b/p\nhistory: {dataset: /d, wide: host, constants: {metric: cpu}}\n").history
    assert wide.layout == Layout(constants={"metric": "cpu"}, wide="host")


def test_which_metrics_are_counters_is_decided_by_the_first_rule_that_matches(tmp_path: Path) -> None:
    assert load(tmp_path, LEAST).rates == {}
    assert load(tmp_path, LEAST + "metrics: [{match: a, rate: false}, {match: b}]\n").rates == {}
    job = load(
        tmp_path,
        LEAST
        + "metrics: [{match: queue_total}, {match: '*_total', rate: true}, {match: '*'}, {match: z, rate: true}]\n",
    )
    assert list(job.rates.items()) == [("queue_total", False), ("*_total", True), ("*", False), ("z", True)]
    rules = [job.rule(metric) for metric in ("queue_total", "requests_total", "cpu", "z")]
    assert [rule and rule.rate for rule in rules] == [False, True, False, False]


def test_answers_in_part_are_taken_only_where_a_job_says_so(tmp_path: Path) -> None:
    for said, expected in (("", False), ("    allow_partial: true\n", True)):
        prometheus = load(tmp_path, f"{PROMETHEUS}    queries: {{a: up}}\n{said}").history.prometheus
        assert prometheus
        assert prometheus.allow_partial is expected


def test_text_that_an_older_yaml_would_take_for_something_else_is_text(tmp_path: Path) -> None:
    job = load(
        tmp_path,
        LEAST
        + "job: no\nmaintenance:\n  - {from: 2026-01-01T00:00:00Z, to: 2026-01-01T01:00:00+01:00, host: 010}\n"
        "  - {from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00Z, region: off}\n".replace(
            "01:00:00+01", "01:30:00+01"
        ),
    )
    assert (job.job, job.maintenance[0].host, job.maintenance[1].region) == ("no", "010", "off")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fleet.yaml:1: must be a mapping"),
        ("- a\n", "fleet.yaml:1: must be a mapping"),
        ("job: [\n", "fleet.yaml:2: is not YAML: "),
        ("job: a\n\tstore: b\n", "fleet.yaml:2: is not YAML: "),
        ("job: a\n---\njob: b\n", "fleet.yaml:2: is not YAML: "),
        ("job: a\nstore: \x07\n", "fleet.yaml:2: is not YAML: "),
        ("job: " + "[" * 5000, "fleet.yaml:1: is nested too deeply"),
        (LEAST + "job: a\njob: b\n", "fleet.yaml:4: job: is there twice"),
        (LEAST + "windows:\n  1m: 1\n  1m: 2\n", "fleet.yaml:5: windows.1m: is there twice"),
        (LEAST + "fallback: &a [*a]\n", "fleet.yaml:3: fallback[0]: is part of itself"),
        (LEAST + "workers: !!int x\n", "fleet.yaml:3: workers: 'x' is not a number"),
        (LEAST + "job: !!python/name:os.system x\n", "fleet.yaml:3: job: has the tag"),
        (LEAST + "? [a]\n: b\n", "fleet.yaml:3: has a key that is not text"),
        ("job: a\n", "fleet.yaml:1: history: is missing\nfleet.yaml:1: store: is missing"),
        (LEAST + "metric: a\n", "fleet.yaml:3: metric: is unknown; there are job, history, metrics, windows"),
        (LEAST + "job: 5\n", "fleet.yaml:3: job: must be text"),
        (LEAST + "job: ''\n", "fleet.yaml:3: job: must not be empty"),
        (LEAST + "windows:\n  1m: 1\n  15m: 0\n", "fleet.yaml:5: windows.15m: must be positive"),
        (LEAST + "windows:\n  1m: 1\n  15m: much\n", "fleet.yaml:5: windows.15m: must be a number"),
        (LEAST + "windows:\n  1m: 1\n  15x: 1\n", "fleet.yaml:5: windows.15x: window '15x' is not"),
        (LEAST + "windows: {1m: 1, 60s: 1}\n", "fleet.yaml:3: windows: must be up to 6 different windows"),
        (
            LEAST + "windows: {1m: 1, 2m: 1, 3m: 1, 4m: 1, 5m: 1, 6m: 1, 7m: 1}\n",
            "fleet.yaml:3: windows: must be up to",
        ),
        (LEAST + "windows: {}\n", "fleet.yaml:3: windows: must not be empty"),
        (LEAST + "windows: [1m]\n", "fleet.yaml:3: windows: must be a mapping"),
        (LEAST + "metrics: []\n", "fleet.yaml:3: metrics: must not be empty"),
        (LEAST + "metrics: cpu\n", "fleet.yaml:3: metrics: must be a list"),
        (LEAST + "metrics:\n  - match: a\n  - {}\n", "fleet.yaml:5: metrics[1].match: is missing"),
        (LEAST + "metrics:\n  - match: a\n    windows: [1m, 2m]\n", "fleet.yaml:5: metrics[0].windows: 2m is none of"),
        (LEAST + "metrics:\n  - match: a\n    windows: [60]\n", "fleet.yaml:5: metrics[0].windows[0]: must be text"),
        (
            LEAST + "metrics:\n  - match: a\n    candidates: []\n",
            "fleet.yaml:5: metrics[0].candidates: must not be empty",
        ),
        (
            LEAST + "metrics:\n  - match: a\n    candidates:\n      - ewma\n      - sesonal\n",
            "fleet.yaml:7: metrics[0].candidates[1].adapter: there is no adapter 'sesonal'; there are ",
        ),
        (
            LEAST + "metrics:\n  - match: a\n    candidates: [{adapter: ewma,\n      parameters: {x: 1}}]\n",
            "fleet.yaml:6: metrics[0].candidates[0].parameters.x: is no option of ewma; ",
        ),
        (
            LEAST + "metrics: [{match: a, candidates: [3]}]\n",
            "fleet.yaml:3: metrics[0].candidates[0]: must be a mapping",
        ),
        (LEAST + "calibration: {rate: 0.5}\n", "fleet.yaml:3: calibration.rate: must be below 0.5"),
        (LEAST + "calibration:\n  holdout: true\n", "fleet.yaml:4: calibration.holdout: must be a number"),
        (LEAST + "coverage: 1.5\n", "fleet.yaml:3: coverage: must be at most 1"),
        (LEAST + "coverage: 1e999\n", "fleet.yaml:3: coverage: must be finite"),
        (LEAST + "selection: {folds: 2.5}\n", "fleet.yaml:3: selection.folds: must be a whole number"),
        (LEAST + "selection: {folds: 0}\n", "fleet.yaml:3: selection.folds: must be at least 1"),
        (LEAST + "fallback: [region, all]\n", "fleet.yaml:3: fallback[1]: must be 'region' or 'global'"),
        (LEAST + "engine: spark\n", "fleet.yaml:3: engine: must be 'local' or 'ray'"),
        (LEAST + "workers: 0\n", "fleet.yaml:3: workers: must be at least 1"),
        (LEAST + "shards: {eu: 0}\n", "fleet.yaml:3: shards.eu: must be at least 1"),
        (LEAST + "shards: many\n", "fleet.yaml:3: shards: must be a mapping"),
        (LEAST + "gates: {byte: 1}\n", "fleet.yaml:3: gates.byte: is unknown; there are failed, calibration_factor"),
        ("history: {files: [a]}\nstore: http://x\n", "fleet.yaml:2: store: must be a path, file:///directory or s3://"),
        ("store: s3://b\nhistory:\n  days: 3\n", "fleet.yaml:2: history: needs exactly one of files, dataset, prom"),
        (
            "store: s3://b\nhistory:\n  files: [a]\n  dataset: b\n",
            "fleet.yaml:4: history.dataset: needs exactly one of",
        ),
        ("store: s3://b\nhistory:\n  files: [a]\n  days: 0\n", "fleet.yaml:4: history.days: must be positive"),
        ("store: s3://b\nhistory:\n  files: []\n", "fleet.yaml:3: history.files: must not be empty"),
        (
            "store: s3://b\nhistory:\n  files: [a]\n  columns: {hosts: x}\n",
            "fleet.yaml:4: history.columns.hosts: is unknown; there are region, host, metric, timestamp, value",
        ),
        (
            FILES + "  constants: {value: 1}\n",
            "fleet.yaml:4: history.constants.value: is unknown; there are region, host",
        ),
        (FILES + "  constants: {host: ''}\n", "fleet.yaml:4: history.constants.host: must not be empty"),
        (FILES + "  constants: {host: '*'}\n", "fleet.yaml:2: history: host '*' is reserved: it stands for every host"),
        (
            FILES + "  constants: {host: a}\n  columns:\n    host: b\n",
            "fleet.yaml:6: history.columns.host: is given by",
        ),
        (FILES + "  wide: region\n", "fleet.yaml:4: history.wide: must be 'host' or 'metric'"),
        (
            FILES + "  wide: host\n  columns: {host: b}\n",
            "fleet.yaml:5: history.columns.host: is given by constants or",
        ),
        (FILES + "  wide: host\n  constants: {host: b}\n", "fleet.yaml:4: history.wide.host: is given by constants or"),
        (
            FILES + "  timezone: Mars/Olympus\n",
            "fleet.yaml:4: history.timezone: there is no time zone 'Mars/Olympus'; na",
        ),
        (FILES + "  timezone: 1\n", "fleet.yaml:4: history.timezone: must be text"),
        (FILES + "  left_out: 1.5\n", "fleet.yaml:4: history.left_out: must be at most 1"),
        (FILES + "  left_out: -0.1\n", "fleet.yaml:4: history.left_out: must be at least 0"),
        (FILES + "  left_out: some\n", "fleet.yaml:4: history.left_out: must be a number"),
        (LEAST + "metrics: [{match: a, rate: often}]\n", "fleet.yaml:3: metrics[0].rate: "),
        (PROMETHEUS, "fleet.yaml:4: history.prometheus.queries: is missing"),
        (PROMETHEUS + "    queries: {}\n", "fleet.yaml:7: history.prometheus.queries: must not be empty"),
        (PROMETHEUS + "    queries: {a: up}\n    step: 0m\n", "fleet.yaml:8: history.prometheus.step: window '0m'"),
        (PROMETHEUS.replace("http", "ftp") + "    queries: {a: up}\n", "fleet.yaml:5: history.prometheus.url: must be"),
        (
            PROMETHEUS.replace("region: eu", "queries: {a: up}"),
            "fleet.yaml:4: history.prometheus.region_label: is missing",
        ),
        (
            PROMETHEUS.replace("  days: 1\n", "") + "    queries: {a: up}\n",
            "fleet.yaml:2: history.days: is missing: Prometheus has",
        ),
        (LEAST + "maintenance: {file: a}\n", "fleet.yaml:3: maintenance: must be a list, or `calendar` and a CSV file"),
        (LEAST + "maintenance: {calendar: a.csv}\n", "fleet.yaml:3: maintenance.calendar: "),
        (
            LEAST + "maintenance:\n  - from: 2026-01-01T00:00:00Z\n    to: 2026-01-01\n",
            "fleet.yaml:5: maintenance[0].to: timestamp '2026-01-01' has no offset from UTC",
        ),
        (
            LEAST + "maintenance:\n  - from: 2026-01-01T00:00:00Z\n    to: 2026-01-01T00:00:00Z\n",
            "fleet.yaml:5: maintenance[0].to: must be later than from",
        ),
        (LEAST + "maintenance:\n  - from: 5\n", "fleet.yaml:4: maintenance[0].from: must be RFC 3339 text"),
    ],
)
def test_an_error_names_the_file_the_line_and_the_field(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    lines = refused(tmp_path, LEAST + "workers: 0\ncoverage: 2\nselection: {folds: 0}\n").splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["fleet.yaml:4", "coverage"],
        ["fleet.yaml:5", "selection.folds"],
        ["fleet.yaml:3", "workers"],
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidJob, match=r"nowhere\.yaml: cannot be read: No such file"):
        JobFile.load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"job: a\nstore: \xff\n")
    with pytest.raises(InvalidJob, match=r"latin\.yaml:2: is not UTF-8"):
        JobFile.load(tmp_path / "latin.yaml")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.sampled_from("ab:-[]{}&*!? \n\t#'\"|>%@0.\x00"), max_size=40) | st.text(max_size=40))
def test_no_text_is_anything_but_a_job_or_an_error_with_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "any.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(InvalidJob):
        JobFile.load(tmp_path / "any.yaml")
        raise AssertionError("that is no job")


class _WithOptions(Model):
    """Has options to be checked against."""

    params = {}  # noqa: RUF012

    @classmethod
    def fit(cls, history: Points, *, depth: int = 3, share: float | None = None, plain=None) -> Fit["_WithOptions"]:  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def predict(self, rows: object, points: object) -> Prediction:
        raise NotImplementedError


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The adapter ewma has options."""
    monkeypatch.setattr(adapters, "get", {"ewma": _WithOptions}.__getitem__)
    candidate._options.cache_clear()
    yield
    candidate._options.cache_clear()


@pytest.mark.usefixtures("options")
@pytest.mark.parametrize("given", ["{depth: 4}", "{share: 1}", "{share: null, plain: [1]}", "{}"])
def test_parameters_are_options_of_the_adapters_fit(tmp_path: Path, given: str) -> None:
    assert load(tmp_path, f"{LEAST}metrics: [{{match: a, candidates: [{{adapter: ewma, parameters: {given}}}]}}]\n")


@pytest.mark.usefixtures("options")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{depth: 4.5}", "depth: must be a whole number"),
        ("{depth: deep}", "depth: must be a whole number"),
        ("{depth: true}", "depth: must be a whole number"),
        ("{share: x}", "share: must be a number"),
        ("{history: x}", "history: is no option of ewma; there are depth, share, plain"),
    ],
)
def test_parameters_of_another_type_or_name_are_refused(tmp_path: Path, given: str, said: str) -> None:
    text = f"{LEAST}metrics: [{{match: a, candidates: [{{adapter: ewma, parameters: {given}}}]}}]\n"
    assert refused(tmp_path, text) == f"fleet.yaml:3: metrics[0].candidates[0].parameters.{said}"


def test_every_option_of_every_adapter_has_a_type() -> None:
    for name in adapters.names():
        for option in candidate._options(name):
            signature = inspect.signature(adapters.get(name).fit)
            assert signature.parameters[option].annotation is not inspect.Parameter.empty


def test_a_calendar_is_the_same_as_a_list(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "\ufefffrom,to,host\n2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,web-*\n2026-01-02T00:00:00Z,2026-01-02T01:00:00Z,\n"
    )
    job = load(tmp_path, LEAST + "maintenance: {calendar: c.csv}\n")
    assert [(rule.end - rule.start, rule.region, rule.host) for rule in job.maintenance] == [
        (3600, "*", "web-*"),
        (3600, "*", "*"),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("from,to\n2026-01-01T00:00:00Z,soon\n", "c.csv:2: to: timestamp 'soon' is not RFC 3339 text"),
        ("from\n2026-01-01T00:00:00Z\n", "c.csv:2: to: is missing"),
        ("from,to,hots\na,b,c\n", "c.csv:2: hots: is unknown; there are from, to, region, host, metric"),
        ("from,to\na,b,c\n", "c.csv:2: more: is unknown"),
        ('from,to\n"a,b\n', "c.csv: cannot be read"),
    ],
)
def test_a_row_of_a_calendar_that_is_wrong_is_named_with_its_own_line(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "c.csv").write_text(rows)
    message = refused(tmp_path, LEAST + "maintenance:\n  calendar: c.csv\n")
    assert message.startswith(f"fleet.yaml:4: maintenance.calendar: {said}")


_PARTS = st.sampled_from(["a", "ab", "b", "c*"])
_GLOBS = st.sampled_from(["*", "a*", "?b", "b", "[c]*", "z"])
_RULES = st.builds(
    lambda start, length, region, host, metric: Maintenance.model_construct(
        start=start, end=start + length, region=region, host=host, metric=metric
    ),
    st.integers(0, 20),
    st.integers(1, 10),
    _GLOBS,
    _GLOBS,
    _GLOBS,
)
_ROWS = st.lists(st.tuples(_PARTS, _PARTS, _PARTS, st.integers(0, 30)), max_size=30)


@given(st.lists(_RULES, max_size=4), _ROWS)
def test_left_out_is_what_a_rule_matches_and_holds(
    rules: list[Maintenance], rows: list[tuple[str, str, str, int]]
) -> None:
    names = Names.of([Series(*row[:3]) for row in rows])
    expected = [
        any(
            rule.start <= row[3] < rule.end
            and all(
                fnmatchcase(part, glob)
                for part, glob in zip(row[:3], (rule.region, rule.host, rule.metric), strict=True)
            )
            for rule in rules
        )
        for row in rows
    ]
    assert left_out(rules, names, np.array([row[3] for row in rows], np.int64)).tolist() == expected


def test_a_series_that_is_none_is_left_out_by_rules_for_all_alone() -> None:
    names = Names((["r"], ["h"], [None]), np.zeros((3, 1), np.int64))  # type: ignore[list-item]
    for metric, expected in (("*", True), ("m*", False)):
        rule = Maintenance.model_construct(start=0, end=9, region="*", host="*", metric=metric)
        assert left_out([rule], names, np.array([5])).tolist() == [expected]


def test_a_job_names_no_environment_variables_but_our_own_and_allowed_ones(tmp_path: Path) -> None:
    text = f"{PROMETHEUS}    queries: {{cpu: up}}\n    headers_env: {{Authorization: AWS_SECRET_ACCESS_KEY}}\n"
    assert refused(tmp_path, text) == (
        "fleet.yaml:8: history.prometheus.headers_env.Authorization: "
        "AWS_SECRET_ACCESS_KEY does not start with MYRIAD_, and --allow-env does not name it"
    )
    (tmp_path / "fleet.yaml").write_text(text)
    assert JobFile.load(tmp_path / "fleet.yaml", ["AWS_SECRET_ACCESS_KEY"])
    assert load(tmp_path, text.replace("AWS_SECRET_ACCESS_KEY", "MYRIAD_TOKEN"))


def test_aliases_of_aliases_end_in_a_clear_word_and_not_in_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    started = time.monotonic()
    assert "the file stands for more than 200000 values" in refused(tmp_path, "\n".join([*lines, LEAST]))
    assert time.monotonic() - started < 10


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    assert refused(tmp_path, "# " + "x" * (4 << 20)) == "fleet.yaml: has more than 4194304 bytes"
