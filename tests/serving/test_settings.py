"""Settings: data with help, from the environment or flags alike."""

from typing import Any

import pytest
from pydantic import ValidationError

from myriad.serving.settings import Settings

OTHERS: dict[str, str] = {
    "store": "s3://bucket/fleet",
    "host": "0.0.0.0",
    "local_directory": "/tmp/somewhere",
    "warm": "true",
    "open_metrics": "true",
    "open_docs": "true",
    "log_level": "debug",
}
"""A value that is not the default, where it is no number."""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from outside."""
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"MYRIAD_{name.upper()}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_has_a_default_within_its_bounds_and_a_description(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert len(field.description) > 10
    assert getattr(Settings(**{name: field.default}), name) == field.default


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_the_same_from_the_environment_and_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = OTHERS.get(name, "3")
    by_name: dict[str, Any] = {name: text}
    expected = getattr(Settings(**by_name), name)
    assert expected != Settings.model_fields[name].default
    monkeypatch.setenv(variable(name), text)
    assert getattr(Settings(), name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "-1"),
        ("port", "65536"),
        ("workers", "0"),
        ("cache_bytes", "1GB"),
        ("poll_seconds", "0"),
        ("poll_seconds", "nan"),
        ("failure_seconds", "-1"),
        ("body_seconds", "0"),
        ("max_points", "0"),
        ("loads_at_once", "0"),
        ("log_level", "loud"),
        ("warm", "perhaps"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    (error,) = refused.value.errors()
    assert error["loc"] == (name,)


def test_a_setting_that_there_is_not_is_refused() -> None:
    unknown: dict[str, Any] = {"ports": 8000}
    with pytest.raises(ValidationError, match="ports"):
        Settings(**unknown)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]
