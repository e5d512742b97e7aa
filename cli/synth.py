"""`myriad synth`: a reference fleet of any size, to measure with."""

import time

import click
from tqdm import tqdm

from myriad.cli.common import json_option, show, store_option
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from myriad.training.fleets import reference
from myriad.training.publish import commit, put_region


@click.command()
@click.option("--series", default=10_000, show_default=True, type=click.IntRange(100), help="How many, about.")
@click.option("--seed", default=7, show_default=True)
@store_option
@json_option
def synth(series: int, seed: int, store: str, *, as_json: bool) -> None:
    """Publish a fleet of plausible fitted models at three windows, drawn without any history."""
    started = time.perf_counter()
    releases = Releases(open_store(store))
    over = releases.head_or_none()
    regions = {}
    with tqdm(total=len(reference.REGIONS), desc="publishing", unit=" regions", disable=None) as bar:
        for region, entries in reference.fleet(series, seed):
            regions[region] = put_region(releases, entries)
            bar.update()
    provenance = {"reference fleet": f"{series} series, seed {seed}"}
    manifest = commit(releases, regions, reference.PLAN, reference.NAMES, over, provenance)
    models, size = sum(a.models for a in manifest.artifacts), sum(a.bytes for a in manifest.artifacts)
    result = {
        "release": manifest.id,
        "series": sum(a.series for a in manifest.artifacts),
        "models": models,
        "artifacts": len(manifest.artifacts),
        "bytes": size,
        "bytes_a_model": round(size / models, 1),
        "raw_bytes_a_model": round(sum(a.raw_bytes for a in manifest.artifacts) / models, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }
    show(result, as_json=as_json)
