"""`myriad import`: models fitted in notebooks, taken into the release."""

from dataclasses import replace
from pathlib import Path

import click

from myriad.cli.common import json_option, show, sign_option, signer_of, store_option, weight_list, window_list
from myriad.models.windows import Window
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from myriad.training.export import Exported
from myriad.training.imported import imported
from myriad.training.plan import Plan


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_option
@click.option("--windows", default="1m,15m,1h", show_default=True, help="Of the release, where there is none yet.")
@click.option("--weights", default="1,2,4", show_default=True, help="Of the release, where there is none yet.")
@sign_option
@json_option
def import_(
    files: tuple[Path, ...], *, store: str, windows: str, weights: str, sign: Path | None, as_json: bool
) -> None:
    """Take fitted models into a new release on top of the current one.

    FILES are what `myriad.export(...).save(path)` wrote. Nothing is fitted, and all other models stay.
    """
    releases = Releases(open_store(store), signer=signer_of(sign))
    exported = [Exported.load(path) for path in files]
    parsed = tuple(map(Window.parse, window_list(windows)))
    plan = Plan(windows=parsed, weights=tuple(weight_list(weights, len(parsed))), candidates=((),) * len(parsed))
    plan = replace(plan, rate=exported[0].rate, coverage=exported[0].coverage)
    manifest = imported(releases, exported, plan)
    result = {
        "release": manifest.id,
        "imported": len(exported),
        "adapters": ", ".join(sorted({one.adapter for one in exported})),
        "series": sum(artifact.series for artifact in manifest.artifacts),
        "models": sum(artifact.models for artifact in manifest.artifacts),
    }
    show(result, as_json=as_json)
