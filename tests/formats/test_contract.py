"""The contract, over every format there is."""

import pytest

from myriad import formats
from tests.formats.contract import CHECKS


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", formats.names())
def test_every_format_keeps_the_contract(name: str, check: str) -> None:
    CHECKS[check](formats.get(name))
