"""`myriad releases`: what has been published, and which of it is served."""

import click

from myriad.cli.common import json_option, show, show_rows, store_option
from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store


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
        "power": manifest.power,
        "rate": manifest.rate,
        "coverage": manifest.coverage,
        "adapters": ", ".join(f"{name} v{version}" for name, version in manifest.adapters.items()),
        "regions": ", ".join(f"{region} ({len(shards)} shards)" for region, shards in manifest.regions.items()),
        "time_zones": ", ".join(f"{region} ({one.time_zone})" for region, one in (manifest.clocks or {}).items()),
        **{f"from_{name}": value for name, value in manifest.provenance.items()},
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


@releases.command()
@click.argument("before")
@click.argument("after")
@store_option
@json_option
def diff(before: str, after: str, store: str, *, as_json: bool) -> None:
    """What changed from release BEFORE to release AFTER, region by region."""
    there = Releases(open_store(store))
    old, new = there.manifest(before), there.manifest(after)
    rows = []
    for region in sorted(old.regions.keys() | new.regions.keys()):
        was = {a.hash: a for a in old.regions.get(region, ()) if a}
        now = {a.hash: a for a in new.regions.get(region, ()) if a}
        rows.append(
            {
                "region": region,
                "same_artifacts": len(was.keys() & now.keys()),
                "new_artifacts": len(now.keys() - was.keys()),
                "gone_artifacts": len(was.keys() - now.keys()),
                "new_bytes": sum(now[name].bytes for name in now.keys() - was.keys()),
                "series_before": sum(a.series for a in was.values()),
                "series_after": sum(a.series for a in now.values()),
            }
        )
    show_rows(rows, as_json=as_json)


@releases.command()
@click.option("--keep", default=10, show_default=True, type=click.IntRange(1), help="Newest releases that stay.")
@click.option("--grace-hours", default=1.0, show_default=True, help="Artifacts younger than this stay.")
@store_option
@json_option
def prune(keep: int, grace_hours: float, store: str, *, as_json: bool) -> None:
    """Delete old releases, and the artifacts that no kept release names."""
    pruned = Releases(open_store(store)).prune(keep, grace_seconds=grace_hours * 3600)
    result = {"releases": len(pruned.releases), "artifacts": pruned.artifacts, "bytes": pruned.bytes}
    show(result, as_json=as_json)
