"""The command line: each command is a module of this package with the same name, imported when it is named.

A name that is a word of Python's has an underscore after it there.
"""

import importlib
import keyword
import pkgutil
from typing import Any

import click
from pydantic import ValidationError

from myriad import __version__, cli
from myriad.models.errors import MyriadError

_NOT_COMMANDS = {"main", "common", "layout"}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        modules = {module.name.removesuffix("_") for module in pkgutil.iter_modules(cli.__path__)}
        return sorted(modules - _NOT_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(importlib.import_module(f"myriad.cli.{module}"), module)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MyriadError as exc:
            raise click.ClickException(str(exc)) from exc
        except ValidationError as exc:
            wrong = exc.errors()[0]
            raise click.ClickException(f"MYRIAD_{str(wrong['loc'][0]).upper()}: {wrong['msg']}") from exc


@click.group(cls=_Commands)
@click.version_option(__version__)
def main() -> None:
    """A million small time-series models behind one /predict."""
