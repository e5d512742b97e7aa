"""Where files have what: the options of the commands that read telemetry, and what they say of rows left out."""

import glob
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from myriad.formats.columns.cells import COLUMNS, LABELS
from myriad.formats.left_out import DEFAULT_SHARE, LeftOut
from myriad.training.job.config import History
from myriad.training.job.fields import explained

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=BaseModel)
LAYOUT_FLAGS = ("columns", "region", "host", "metric", "wide", "timezone")


def layout_options(command: F) -> F:
    """Where a file has what a row of telemetry needs; see `history_of`."""
    options = (
        click.option("--columns", default="", metavar="NAME=COLUMN,...", help="As in timestamp=Time,host=server."),
        click.option("--region", help="Of every row, where there is no such column."),
        click.option("--host", help="Of every row, where there is no such column."),
        click.option("--metric", help="Of every row, where there is no such column."),
        click.option("--wide", type=click.Choice(["host", "metric"]), help="What each column of values is one of."),
        click.option("--timezone", metavar="ZONE", help="Of times without an offset, as in Europe/Berlin."),
        click.option(
            "--left-out",
            type=click.FloatRange(0, 1),
            help=f"Largest share of rows that may be left out as they cannot be read.  [default: {DEFAULT_SHARE}]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def history_of(files: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """A job's `history` from files and the flags of `layout_options`."""
    columns = {}
    for part in filter(None, flags["columns"].split(",")):
        name, separator, column = part.partition("=")
        if name not in COLUMNS or not separator:
            raise click.BadParameter(f"{part!r} names none of {', '.join(COLUMNS)}", param_hint="--columns")
        columns[name] = column
    constants = {label: flags[label] for label in LABELS if flags[label] is not None}
    rest = {name: flags[name] for name in ("wide", "timezone", "left_out") if flags[name] is not None}
    paths = [glob.escape(str(Path(name).resolve())) for name in files]
    return {"files": paths, "columns": columns, "constants": constants, **rest}


def with_flags(history: History, flags: Mapping[str, Any], job: str) -> History:
    """The history of a job, with the share of rows left out that flags allow.

    Args:
        history: of the job.
        flags: those of `layout_options`.
        job: what to call it.

    Raises:
        click.UsageError: there are other flags.
    """
    if given := [name for name in LAYOUT_FLAGS if flags[name]]:
        raise click.UsageError(f"{job} says in its history what --{given[0]} would")
    return history if flags["left_out"] is None else history.model_copy(update={"left_out": flags["left_out"]})


def validated(kind: type[M], given: Mapping[str, Any]) -> M:
    """A job, or a part of one, that flags describe."""
    try:
        return kind.model_validate(given)
    except ValidationError as exc:
        place, why = explained(exc.errors()[0])
        raise click.UsageError(f"{'.'.join(map(str, place))} {why}".strip()) from exc


def told(left_out: LeftOut, *, as_json: bool) -> dict[str, Any]:
    """What a result says of rows that cannot be read; nothing where all can."""
    if not left_out.rows:
        return {}
    if as_json:
        return {"left_out": left_out.as_dict()}
    rows = f"{left_out.rows:,} of {left_out.read:,} rows"
    return {"left_out": rows, "why_left_out": left_out.summary, "for_example": [str(one) for one in left_out.first]}
