"""`myriad releases`: what has been published, and which of it is served."""

import click

from cli.common import json_option, show, show_rows, store_option
from storage.base import open_store
from storage.release import Manifest, Releases


@click.group()
def releases() -> None:
    """List, show and roll back releases."""


@releases.command("list")
@store_option
@json_option
def list_releases(store: str, *, as_json: bool) -> None:
    """Every release, oldest first."""
    there = Releases(open_store(store))
    head = there.head()
    rows = [{"current": "*" if m.id == head.release else "", **_summary(m)} for m in there.list()]
    show_rows(rows, as_json=as_json)


@releases.command("show")
@click.argument("release", required=False)
@store_option
@json_option
def show_release(release: str | None, store: str, *, as_json: bool) -> None:
    """One release, the current one where RELEASE is not given."""
    there = Releases(open_store(store))
    manifest = there.manifest(release or there.head().release)
    more = {
        "windows": ", ".join(manifest.windows),
        "weights": ", ".join(f"{weight:g}" for weight in manifest.weights),
        "rate": manifest.rate,
        "coverage": manifest.coverage,
        "adapters": ", ".join(f"{name} v{version}" for name, version in manifest.adapters.items()),
        "regions": ", ".join(f"{region} ({len(shards)} shards)" for region, shards in manifest.regions.items()),
        **manifest.provenance,
    }
    show({**_summary(manifest), **more}, as_json=as_json)


@releases.command()
@click.argument("release")
@store_option
@json_option
def rollback(release: str, store: str, *, as_json: bool) -> None:
    """Make RELEASE the current one; servers take it up when they next look."""
    there = Releases(open_store(store))
    before = there.head().release
    show({"was": before, "now": there.rollback(release).release}, as_json=as_json)


def _summary(manifest: Manifest) -> dict[str, object]:
    artifacts = manifest.artifacts
    return {
        "release": manifest.id,
        "created": manifest.created_at,
        "series": sum(a.series for a in artifacts),
        "models": sum(a.models for a in artifacts),
        "artifacts": len(artifacts),
        "bytes": sum(a.bytes for a in artifacts),
    }
