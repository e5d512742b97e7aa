from pathlib import Path

import pytest

from myriad import adapters
from myriad.models.errors import UnknownAdapter


def test_every_file_is_an_adapter_and_its_name_the_adapters() -> None:
    files = Path(adapters.__file__).parent.glob("[!_]*.py")
    assert adapters.names() == tuple(sorted(file.stem for file in files))
    assert [adapters.get(name).name() for name in adapters.names()] == [*adapters.names()]


def test_an_unknown_adapter_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownAdapter, match=f"there is no adapter 'oracle'; there are {', '.join(adapters.names())}"):
        adapters.get("oracle")


@pytest.mark.parametrize("name", ["", "__init__", "../models/base", "os"])
def test_a_name_reaches_no_other_module(name: str) -> None:
    with pytest.raises(UnknownAdapter):
        adapters.get(name)
