"""`myriad settings`: what can be set, and what it is set to here."""

import click

from myriad import kernels
from myriad.cli.common import json_option, show_rows
from myriad.serving.settings import Settings


@click.command()
@json_option
def settings(*, as_json: bool) -> None:
    """What can be set through the environment, and what it is set to here."""
    here = Settings()
    rows = [
        {"variable": f"MYRIAD_{name.upper()}", "value": getattr(here, name), "default": field.default,
         "meaning": field.description}
        for name, field in Settings.model_fields.items()
    ]  # fmt: skip
    meaning = "0 for NumPy in place of compiled loops, in every command"
    rows.append({"variable": kernels.ENVIRONMENT, "value": kernels.in_use(), "default": "1", "meaning": meaning})
    show_rows(rows, as_json=as_json)
