"""`myriad warm`: bring a release into the local directory before it is asked for."""

import click
from tqdm import tqdm

from myriad.cli.common import json_option, show, store_option
from myriad.serving.predictor import Predictor
from myriad.serving.settings import Settings
from myriad.storage.local import LocalTier
from myriad.storage.url import open_store


@click.command()
@store_option
@click.option("--local-directory", default=None, help="As of `myriad serve`.")
@click.option("--region", "regions", multiple=True, help="Only this region; may be given several times.")
@json_option
def warm(store: str, local_directory: str | None, regions: tuple[str, ...], *, as_json: bool) -> None:
    """Fetch the current release, or some regions of it, into the local directory."""
    settings = Settings()
    tier = LocalTier(local_directory or settings.local_directory, settings.local_bytes)
    predictor = Predictor(open_store(store), local=tier, loads_at_once=settings.loads_at_once)
    predictor.refresh()
    manifest = predictor.manifest
    if unknown := set(regions) - manifest.regions.keys():
        raise click.BadParameter(f"{min(unknown)} is not one of {', '.join(manifest.regions)}", param_hint="--region")
    chosen = [a for region in regions or manifest.regions for a in manifest.regions[region] if a]
    wanted = [artifact for artifact in chosen if not tier.holds(artifact)]
    with tqdm(total=sum(a.raw_bytes for a in wanted), unit="B", unit_scale=True, desc="warming", disable=None) as bar:
        predictor.warm(wanted, lambda artifact: bar.update(artifact.raw_bytes))
    result = {
        "release": manifest.id,
        "artifacts": len(chosen),
        "fetched": len(wanted),
        "bytes": sum(a.raw_bytes for a in chosen),
    }
    show(result, as_json=as_json)
