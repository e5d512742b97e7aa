"""Every adapter, found by its file, holds to the contract."""

import pytest

from myriad import adapters
from tests.adapters.contract import CHECKS
from tests.adapters.libraries import needs

CASES = [
    # Some libraries take a while to fit all that is checked; the first check pays for the others.
    pytest.param(name, check, id=f"{name}:{check}", marks=pytest.mark.timeout(600))
    for name in adapters.names()
    for check in CHECKS
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_adapter(name: str, check: str) -> None:
    needs(adapters.get(name).library)
    CHECKS[check](adapters.get(name))


def test_there_are_adapters_to_check() -> None:
    assert {"ewma", "seasonal"} <= set(adapters.names())
