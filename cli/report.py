"""`myriad report`: how good a release's models are, as a page and as gates that fail."""

from pathlib import Path

import click
import pyarrow as pa

from myriad.cli.common import json_option, show, store_option
from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store
from myriad.training import gates, records
from myriad.training.report.page import COLUMNS, page


def _limits(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """The limits by name, from `failed=0.05`."""
    limits = {}
    for text in given:
        name, _, limit = text.partition("=")
        if name not in gates.GATES:
            raise click.BadParameter(f"{text!r} names none of {', '.join(gates.GATES)}")
        try:
            limits[name] = float(limit)
        except ValueError as exc:
            raise click.BadParameter(f"{text!r} has no number, as in {name}=0.05") from exc
        if not limits[name] >= 0:
            raise click.BadParameter(f"{text!r} is not a limit")
    return limits


@click.command()
@click.argument("release", required=False)
@store_option
@click.option(
    "--output", default="report.html", show_default=True, type=click.Path(dir_okay=False, writable=True, path_type=Path)
)
@click.option("--against", metavar="RELEASE", help="A release to compare it with.")
@click.option(
    "--gate",
    "limits",
    metavar="NAME=LIMIT",
    multiple=True,
    callback=_limits,
    help=f"Exit 1 where it is exceeded: {', '.join(gates.GATES)}; may be given several times.",
)
@json_option
def report(
    release: str | None, store: str, output: Path, against: str | None, limits: dict[str, float], *, as_json: bool
) -> None:
    """Write a page about RELEASE, the current one where not given: what was fitted, how well, and what was not."""
    there = Releases(open_store(store))
    manifest = there.manifest(release or there.head().release)
    table = records.read(there, manifest.id, COLUMNS)
    before = _read(there, against) if against else None
    failures = gates.check(table, manifest.rate, limits)
    output.write_text(page(table, manifest, before, failures), encoding="utf-8")
    lacking, series = gates.refused_series(table)
    result = {
        "release": manifest.id,
        "series": series,
        "lacking_a_model": lacking,
        "page": str(output),
        "gates_failed": failures if as_json else len(failures),
    }
    show(result, as_json=as_json)
    for failure in failures:
        click.echo(f"gate {failure}", err=True)
    if failures:
        raise SystemExit(1)


def _read(releases: Releases, release: str) -> tuple[pa.Table, Manifest]:
    manifest = releases.manifest(release)
    return records.read(releases, release, COLUMNS), manifest
