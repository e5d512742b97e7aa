"""What the commands' tests share: how a command is run, and a store with two releases."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from myriad.cli.main import main
from myriad.training.fleets.synthetic import DAY, Fleet, fleet
from tests.conftest import END

Run = Callable[..., Result]


@dataclass(frozen=True)
class Trained:
    """A fleet, files of its telemetry, and the store its releases are in."""

    fleet: Fleet
    history: Path
    last_day: Path
    url: str
    result: dict[str, Any]


def ran(*arguments: object, **environment: str | None) -> Result:
    """What a command printed and how it ended; an exception it did not foresee is one of the test."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment, catch_exceptions=False)


def told(*arguments: object) -> Any:
    """What a command that goes well prints as JSON."""
    result = ran(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A host in each of two regions, three days of history, trained with the command."""
    root = tmp_path_factory.mktemp("cli")
    made, url = fleet(end=END, days=4, hosts=1, incidents=1), f"file://{root / 'store'}"
    paths = {"history": (END - 4 * DAY, END - DAY), "last_day": (END - DAY, END)}
    for name, (start, end) in paths.items():
        pyarrow.parquet.write_table(plain(made.table(start, end)), root / f"{name}.parquet")
    history, last_day = (root / f"{name}.parquet" for name in paths)
    result = told("train", history, "--store", url, "--fallback", "region,global", "--processes", 1)
    return Trained(made, history, last_day, url, result)


def plain(table: pa.Table) -> pa.Table:
    """The table with its labels as plain text."""
    return table.cast(pa.schema([(f.name, pa.string() if i < 3 else f.type) for i, f in enumerate(table.schema)]))
