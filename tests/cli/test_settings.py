"""`myriad settings`."""

from myriad import kernels
from myriad.serving.settings import Settings
from tests.cli.conftest import ran, told


def test_every_setting_is_listed_with_its_variable_value_and_meaning() -> None:
    rows = {row["variable"]: row for row in told("settings")}
    assert rows.keys() == {f"MYRIAD_{name.upper()}" for name in (*Settings.model_fields, "kernels")}
    assert rows["MYRIAD_KERNELS"]["value"] == kernels.in_use()
    assert all(row["meaning"] for row in rows.values())


def test_what_is_set_here_is_shown_beside_the_default() -> None:
    lines = ran("settings", MYRIAD_PORT="1234").stdout.splitlines()
    (port,) = (line.split() for line in lines if line.startswith("MYRIAD_PORT "))
    assert port[1:3] == ["1234", "8000"]


def test_a_wrong_value_is_named_in_words() -> None:
    result = ran("settings", MYRIAD_PORT="http")
    assert result.exit_code in (1, 2)
    assert "port" in result.stderr.lower()
