"""The demo the pages are about, made once."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from tests.conftest import free_port


@dataclass(frozen=True)
class Demo:
    """The directory `myriad demo` was run in, and what it printed."""

    directory: Path
    output: str

    @property
    def store(self) -> str:
        """The URL of the store it published to."""
        return (self.directory / "demo-data" / "store").as_uri()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`myriad demo --exit`, run as the README says."""
    directory = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "myriad", "demo", "--exit", "--port", str(free_port())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("MYRIAD_LOCAL_DIRECTORY", str(directory / "local"))
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=100)
    # Two hosts' history is enough for the pages, and quicker.
    history = directory / "demo-data" / "history.parquet"
    pyarrow.parquet.write_table(_of_hosts(pyarrow.parquet.read_table(history), ("web-000", "web-001")), history)
    return Demo(directory, done.stdout)


def _of_hosts(table: pa.Table, hosts: Sequence[str]) -> pa.Table:
    return table.filter(pc.is_in(table["host"].cast(pa.string()), pa.array(hosts)))
