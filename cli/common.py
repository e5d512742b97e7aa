"""What several commands share: options and how results are printed."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from myriad.models.ensemble import MAX_WINDOWS
from myriad.models.windows import Window
from myriad.storage.signing import Signer

F = TypeVar("F", bound=Callable[..., Any])


def store_option(command: F) -> F:
    """`--store`, or `MYRIAD_STORE`."""
    help_text = "A directory, file:///directory or s3://bucket/prefix."
    return click.option("--store", envvar="MYRIAD_STORE", required=True, show_envvar=True, help=help_text)(command)


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def sign_option(command: F) -> F:
    """`--sign`, or `MYRIAD_SIGN`."""
    help_text = "PEM file of a private key, of `myriad keys`, to sign the release with."
    return click.option(
        "--sign", envvar="MYRIAD_SIGN", show_envvar=True, type=click.Path(path_type=Path), help=help_text
    )(command)


def signer_of(path: Path | None) -> Signer | None:
    """The signer of `--sign`."""
    return Signer.load(path) if path else None


def force_option(command: F) -> F:
    """`--force`."""
    help_text = "Publish even if most series of the current release would be gone."
    return click.option("--force", is_flag=True, help=help_text)(command)


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result, a line a field, an item of a list or an entry of a mapping, or as JSON."""
    if as_json:
        click.echo(json.dumps(result))
        return
    width = max(map(len, result))
    for name, value in result.items():
        lines = [value]
        if isinstance(value, Mapping):
            inner = max(map(len, value), default=0)
            lines = [f"{key:<{inner}}  {one}" for key, one in value.items()]
        elif isinstance(value, list):
            lines = value
        for at, line in enumerate(lines):
            click.echo(f"{'' if at else name.replace('_', ' '):<{width}}  {line}")


def show_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows of the same fields as a table or as JSON."""
    if as_json:
        click.echo(json.dumps(list(rows)))
        return
    if not rows:
        return
    columns = [[name.replace("_", " "), *(str(row[name]) for row in rows)] for name in rows[0]]
    widths = [max(map(len, column)) for column in columns]
    for line in zip(*columns, strict=True):
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def window_list(text: str) -> list[str]:
    """The value of `--windows`, as `1m,15m,1h`."""
    windows = [Window.parse(one) for one in text.split(",")]
    if windows != sorted(set(windows)) or len(windows) > MAX_WINDOWS:
        raise click.BadParameter(f"name up to {MAX_WINDOWS} windows, shortest first", param_hint="--windows")
    return [str(window) for window in windows]


def weight_list(text: str, windows: int) -> list[float]:
    """The value of `--weights`, as `1,2,4`."""
    try:
        numbers = [float(one) for one in text.split(",")]
    except ValueError as exc:
        raise click.BadParameter("is not a list of numbers", param_hint="--weights") from exc
    if len(numbers) != windows or not all(0 < number < math.inf for number in numbers):
        raise click.BadParameter("needs a positive number for each window", param_hint="--weights")
    return numbers
