"""What the pages say is so: their commands run, their code runs, their tables are the code's."""

import contextlib
import importlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from myriad import adapters
from myriad.models.base import Model
from myriad.models.key import Series, shard_of
from myriad.models.points import Points
from myriad.models.status import Status
from myriad.serving.metrics import Metrics
from myriad.serving.predictor import Predictor
from myriad.serving.settings import Settings
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from myriad.training import gates, records
from myriad.training.fit import fit
from myriad.training.job.candidate import only
from myriad.training.job.config import JobFile
from myriad.training.job.fields import Part
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.adapters.contract import CHECKS
from tests.conftest import END, Server, history
from tests.docs.commands import PAGES, ROOT, SHOWN_BUCKET, Block, Shell, blocks, commands, compare
from tests.docs.conftest import Demo

DOCS = ROOT / "docs"
PROSE = [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"))]
ADAPTER_FILE = re.compile(r"# adapters/(\w+)\.py\n")
JOB_FILE = re.compile(r"# (\w+\.yaml)\n")
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
MADE_IN_PYTHON = "myriad import "
"""A command whose files the page's code makes."""
FORBIDDEN = re.compile(r"/work\b|/tmp/|/home/|/root\b|\bsession\b|pypi|pythonhosted|npmjs|docker\.io|(?<![\w&/])#\d+\b")


def names(page: Path) -> str:
    return page.name


def table(page: Path, *, header: str) -> list[list[str]]:
    """The cells of the table whose first header cell this is, code marks left out."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {header} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def is_code(block: Block) -> bool:
    """Whether it is Python to run as it stands."""
    return block.language == "python" and not ADAPTER_FILE.match(block.text)


def printed_by(block: Block, page: Path, scope: dict[str, Any]) -> str:
    """What code prints, after the code before it on its page."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, str(page), "exec"), scope)
    return printed.getvalue()


@pytest.fixture
def here(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the demo's data in it, for a page to work in."""
    shutil.copytree(demo.directory / "demo-data", tmp_path / "page" / "demo-data")
    monkeypatch.chdir(tmp_path / "page")
    monkeypatch.setenv("MYRIAD_LOCAL_DIRECTORY", str(tmp_path / "local"))
    return tmp_path / "page"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The adapter of docs/adapters.md, found as if it were a file in adapters/."""
    (code,) = (b.text for b in blocks(DOCS / "adapters.md") if ADAPTER_FILE.match(b.text))
    found = ADAPTER_FILE.match(code)
    assert found
    (tmp_path / f"{found.group(1)}.py").write_text(code)
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(tmp_path)])
    adapters.names.cache_clear()
    adapters.get.cache_clear()
    yield found.group(1)
    monkeypatch.undo()
    adapters.names.cache_clear()
    adapters.get.cache_clear()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_on_a_page_runs_and_prints_what_is_shown(
    page: Path, here: Path, demo: Demo, serve: Callable[..., Server], request: pytest.FixtureRequest
) -> None:
    if SHOWN_BUCKET in page.read_text():
        request.getfixturevalue("s3")
        with contextlib.suppress(ClientError):
            boto3.client("s3").create_bucket(Bucket=SHOWN_BUCKET.removeprefix("s3://").strip("/"))
    shell, scope = Shell(here, demo.output, serve), dict[str, Any]()
    for block in blocks(page):
        if MADE_IN_PYTHON in page.read_text() and is_code(block):
            printed_by(block, page, scope)
        if named := JOB_FILE.match(block.text):
            (here / named.group(1)).write_text(block.text)
        if block.language in ("bash", "console"):
            for command, shown in commands(block):
                compare(shown, shell.run(command), command)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_the_python_on_a_page_runs_and_prints_what_is_shown(page: Path, here: Path) -> None:
    scope, printed = dict[str, Any](), ""
    for block in blocks(page):
        if is_code(block):
            printed = printed_by(block, page, scope)
        elif block.language == "text":
            compare(block.text, printed, page.name)


@pytest.mark.parametrize("page", PROSE, ids=names)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=names)
def test_the_readme_names_every_page(page: Path) -> None:
    assert f"](docs/{page.name})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PROSE, ids=names)
def test_no_page_names_a_place_on_one_machine_or_a_ticket(page: Path) -> None:
    assert FORBIDDEN.findall(page.read_text().lower()) == []


def test_the_readme_names_every_folder_of_code() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"docs"}
    listed = {row[0].rstrip("/") for row in table(ROOT / "README.md", header="Folder")}
    assert folders <= listed
    assert all((ROOT / folder).is_dir() for folder in listed)


def test_the_make_targets_named_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_the_settings_table_is_that_of_the_code() -> None:
    described = {row[0]: (row[1], row[2]) for row in table(DOCS / "settings.md", header="Variable")}
    assert described == {
        f"MYRIAD_{name.upper()}": (str(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }


def test_the_fields_of_a_job_file_are_those_of_the_code() -> None:
    described = {row[0]: row[1] for row in table(DOCS / "training.md", header="Field")}
    assert described == dict(_fields(JobFile)) | {"job": "the file's name"}


def _fields(part: type[Part], above: str = "") -> Iterator[tuple[str, str]]:
    """The name and default of every field below a part of a job file that is not a part itself."""
    for name, field in part.model_fields.items():
        inner = [one for one in _types(field.annotation) if issubclass(one, Part)]
        if inner:
            yield from _fields(inner[0], f"{above}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            yield f"{above}{field.alias or name}", "needed" if field.is_required() else _default(default)


def _types(annotation: Any) -> Iterator[type]:
    """The classes an annotation is made of."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not value:
        return "-" if value is None else "none"
    if isinstance(value, dict):
        return ", ".join(f"{one}: {weight:g}" for one, weight in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_records_table_is_that_of_the_code() -> None:
    described = [(row[0], row[1]) for row in table(DOCS / "training.md", header="Column")]
    assert described == [(field.name, _kind(field)) for field in records.SCHEMA]


def _kind(field: pa.Field) -> str:
    texts = pa.types.is_dictionary(field.type) or pa.types.is_large_string(field.type)
    return "JSON" if field.name in records.JSON else "text" if texts else str(field.type).replace("double", "float64")


def test_the_gates_table_is_that_of_the_code() -> None:
    assert {row[0] for row in table(DOCS / "operations.md", header="Gate")} == gates.GATES.keys()


def test_the_metrics_table_is_that_of_the_code() -> None:
    described = {row[0]: row[3] for row in table(DOCS / "operations.md", header="Metric")}
    assert described == {_exposed(metric.name, metric.type): metric.documentation for metric in _metrics()}


def _metrics() -> list[Any]:
    return list(Metrics().registry.collect())


def _exposed(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def test_the_problems_table_has_every_kind_the_code_names() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "serving").glob("*.py"))
    kinds = set(re.findall(r"Problem\(\s*\d{3}, \"([a-z-]+)\"", sources))
    described = {row[1] for row in table(DOCS / "http-api.md", header="Status code")}
    assert kinds <= described


def test_the_statuses_table_is_that_of_the_code() -> None:
    assert {row[0] for row in table(DOCS / "http-api.md", header="Status")} == {str(status) for status in Status}


def test_the_hash_written_out_in_the_docs_is_that_of_the_code() -> None:
    scope: dict[str, Any] = {}
    (code,) = (block.text for block in blocks(DOCS / "artifact-format.md") if "def part_hash" in block.text)
    exec(compile(code, "artifact-format.md", "exec"), scope)
    for series in (Series("us-east-1", "web-042", "cpu_util"), Series("*", "*", "größe"), Series("eu", "h %", "m")):
        region, host, metric = series
        assert scope["host_hash"](region, host) == series.host_hash
        assert scope["series_hash"](region, host, metric) == series.hash
        assert scope["shard_of"](series.host_hash, 37) == shard_of(series.host_hash, 37)


def test_the_example_adapter_is_found_fitted_published_and_scores(example: str) -> None:
    plan, series = Plan(candidates=only(*[example] * 3)), Series("us-east-1", "web-000", "cpu_util")
    store = MemoryStore()
    entries = fit(plan, [series], history(5)).entries
    publish(Releases(store), entries, plan, None, {})
    predictor = Predictor.open(store)
    times, values = history(2 / 24).series(0)
    values = np.where(times < END - 3600, values, 500.0)
    frame = pd.DataFrame({**series._asdict(), "timestamp": times, "value": values})
    scores = predictor.predict(frame)
    assert set(scores["status"]) == {"ok"}
    assert scores["score"].iloc[-1] > 1 > scores["score"].iloc[59]


def test_the_example_adapter_refuses_what_it_cannot_fit_and_leaves_gaps_unscored(example: str) -> None:
    kind = adapters.get(example)
    fitted = kind.fit(Points.of(history(1).series(0), ([60], [1.0])))
    assert fitted.kept.tolist() == [0]
    assert fitted.refused.keys() == {1}
    fitted.model.check()
    score = fitted.model.predict(np.array([0]), Points.of(([0, 60], [1.0, np.nan]))).score
    assert np.isnan(score).tolist() == [False, True]


@pytest.mark.parametrize("name", CHECKS)
def test_the_example_adapter_keeps_the_contract_of_all_adapters(name: str, example: str) -> None:
    CHECKS[name](adapters.get(example))


def test_the_adapters_table_is_that_of_the_code() -> None:
    described = {row[0]: (*row[1:4], row[7]) for row in table(DOCS / "adapters.md", header="Adapter")}
    assert described == {name: _facts(adapters.get(name)) for name in adapters.names()}


def _facts(kind: type[Model]) -> tuple[str, str, str, str]:
    """Who fits it, what a row is, its bytes, and what is needed to serve it."""
    row = (kind.__doc__ or "").splitlines()[0].replace("`", "")
    return kind.library or "Myriad", row, str(_row_bytes(kind)), kind.serving_library or "-"


def _row_bytes(kind: type[Model]) -> int:
    params = {**kind.params, **kind.common}.values()
    return sum(np.dtype(param.dtype).itemsize * int(np.prod(param.shape)) for param in params)


def test_a_published_fleet_has_the_objects_the_format_page_names(demo: Demo) -> None:
    names = [stored.name for stored in open_store(demo.store).list("")]
    page = (DOCS / "artifact-format.md").read_text()
    assert {name.partition("/")[0] for name in names} == {"CURRENT", "artifacts", "records", "releases"}
    assert all(f"`{part}" in page for part in ("CURRENT", "artifacts/", "records/", "releases/"))


def test_every_tensor_of_an_index_is_on_the_format_page() -> None:
    shard: Any = importlib.import_module("myriad.storage.shard")
    described = {row[0] for row in table(DOCS / "artifact-format.md", header="Tensor")}
    assert {f"index/{name}" for name in shard._INDEX} <= described


def test_what_the_readme_says_of_scores_above_1_is_what_was_measured() -> None:
    sets = json.loads((ROOT / "bench" / "results" / "quality.json").read_text())["sets"]
    own = [sets[name]["methods"]["myriad"] for name in ("smd", "jumpstarter", "kpi")]
    shares, alarms = ([one[name] for one in own] for name in ("share_above", "false_alarms_a_week"))
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"{100 * min(shares):.1f} to {100 * max(shares):.1f} % of the normal points" in text
    assert f"{min(alarms):.1f} to {max(alarms):.1f} false alarms a series and week" in text
