"""`myriad train`: fit a fleet's models to its history and publish them."""

import math
import os
import time
from collections import Counter

import click
from tqdm import tqdm

import adapters
from cli.common import json_option, show, store_option
from models.calibration import DEFAULT_RATE
from models.ensemble import MAX_WINDOWS
from models.windows import MIN_COVERAGE, Window
from storage.base import open_store
from storage.release import Releases
from training import history
from training.fit import Plan
from training.job import train as fit_all
from training.publish import publish


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@store_option
@click.option("--adapter", default="seasonal", show_default=True, help="For all windows, or 1m=ewma,15m=...")
@click.option("--windows", default="1m,15m,1h", show_default=True, help="Aggregation windows.")
@click.option("--weights", default="1,2,4", show_default=True, help="What each window counts for in the ensemble.")
@click.option("--rate", default=DEFAULT_RATE, show_default=True, help="False alarms a point.")
@click.option("--coverage", default=MIN_COVERAGE, show_default=True, help="Least share of a window's points.")
@click.option("--fallback", default="", help="Also fit models of whole regions, of everything: region,global.")
@click.option(
    "--processes", default=os.cpu_count(), type=click.IntRange(1), show_default=True, help="Processes to fit in."
)
@click.option("--update", is_flag=True, help="Keep the rest of the current release.")
@json_option
def train(
    files: tuple[str, ...],
    store: str,
    adapter: str,
    windows: str,
    weights: str,
    rate: float,
    coverage: float,
    fallback: str,
    processes: int,
    *,
    update: bool,
    as_json: bool,
) -> None:
    """Fit models to the telemetry in FILES and publish them as a release.

    FILES are Parquet or CSV with the columns region, host, metric, timestamp and value.
    """
    started = time.perf_counter()
    plan = _plan(adapter, windows, weights, rate, coverage)
    levels = [level for level in fallback.split(",") if level]
    if set(levels) - {"region", "global"}:
        raise click.BadParameter("is not of region,global", param_hint="--fallback")
    releases = Releases(open_store(store))
    over = releases.head_or_none()
    base = releases.manifest(over.release) if update and over else None
    table = history.read(files)
    with tqdm(desc="fitting", unit=" series", disable=None) as bar:
        fitted = fit_all(plan, table, levels, workers=processes, progress=bar.update)
    provenance = {"files": ", ".join(files)[:1000], "adapters": adapter}
    manifest = publish(releases, fitted.entries, plan, over, provenance, base)
    artifacts = manifest.artifacts
    models = sum(a.models for a in artifacts)
    reasons = Counter(refusal.why for refusal in fitted.refusals)
    result = {
        "release": manifest.id,
        "series": sum(a.series for a in artifacts),
        "models": models,
        "not_fitted": len(fitted.refusals),
        "why_not": "; ".join(f"{why} ({count})" for why, count in reasons.most_common(5)),
        "artifacts": len(artifacts),
        "bytes_a_model": round(sum(a.bytes for a in artifacts) / models, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }
    show({name: value for name, value in result.items() if value != ""}, as_json=as_json)


def _plan(adapter: str, windows: str, weights: str, rate: float, coverage: float) -> Plan:
    parsed = tuple(Window.parse(text) for text in windows.split(","))
    if list(parsed) != sorted(set(parsed)) or len(parsed) > MAX_WINDOWS:
        raise click.BadParameter(f"name up to {MAX_WINDOWS} windows, shortest first", param_hint="--windows")
    kinds = _kinds(adapter, parsed)
    try:
        numbers = tuple(float(text) for text in weights.split(","))
    except ValueError as exc:
        raise click.BadParameter("is not a list of numbers", param_hint="--weights") from exc
    if len(numbers) != len(parsed) or not all(0 < number < math.inf for number in numbers):
        raise click.BadParameter("needs a positive number for each window", param_hint="--weights")
    if not (0 < rate < 0.5 and 0 <= coverage <= 1):
        raise click.BadParameter("--rate is between 0 and 0.5, --coverage between 0 and 1")
    return Plan(windows=parsed, adapters=kinds, weights=numbers, rate=rate, coverage=coverage)


def _kinds(adapter: str, windows: tuple[Window, ...]) -> tuple[str, ...]:
    """The adapter of each window, from `seasonal` or `1m=ewma,15m=seasonal`."""
    named = {str(window): "seasonal" if "=" in adapter else adapter for window in windows}
    for part in adapter.split(",") if "=" in adapter else ():
        window, _, kind = part.partition("=")
        if window not in named:
            raise click.BadParameter(f"{part!r} names none of the windows {', '.join(named)}", param_hint="--adapter")
        named[window] = kind
    for kind in named.values():
        adapters.get(kind)
    return tuple(named.values())
