"""`myriad train`: fit a fleet's models to its history and publish them."""

import tempfile
import time
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from myriad import adapters
from myriad.cli.common import force_option, json_option, show, sign_option, signer_of, weight_list, window_list
from myriad.cli.layout import history_of, layout_options, told, validated, with_flags
from myriad.models.calibration import DEFAULT_RATE
from myriad.models.windows import MIN_COVERAGE
from myriad.storage.url import open_store
from myriad.training import gates
from myriad.training.job.candidate import DEFAULT_ADAPTER
from myriad.training.job.config import JobFile
from myriad.training.run import Released, demand_libraries, run, survey

JOB_FILES = (".yaml", ".yml")
COUNTERS_SHOWN, REASONS_SHOWN = 5, 5
TOO_OFTEN = 10
"""A realised rate that is so many times the target is warned of."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--store",
    envvar="MYRIAD_STORE",
    show_envvar=True,
    help="Where to publish; in place of a job's own.",
)
@click.option("--adapter", default=DEFAULT_ADAPTER, show_default=True, help="For all windows, or 1m=ewma,15m=...")
@click.option("--windows", default="1m,15m,1h", show_default=True, help="Aggregation windows.")
@click.option("--weights", default="1,2,4", show_default=True, help="What each window counts for in the ensemble.")
@click.option("--rate", default=DEFAULT_RATE, show_default=True, help="False alarms a point.")
@click.option("--coverage", default=MIN_COVERAGE, show_default=True, help="Least share of a window's points.")
@click.option("--fallback", default="", help="Also fit models of whole regions, of everything: region,global.")
@click.option("--processes", type=click.IntRange(1), default=None, help="Processes to fit in.  [default: one a core]")
@click.option("--update", is_flag=True, help="Keep the rest of the current release.")
@click.option(
    "--work",
    envvar="MYRIAD_WORK",
    default=Path("~/.cache/myriad/jobs"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where what is done of a job is kept until its release is there: it goes on from that when run again.",
)
@click.option(
    "--allow-env",
    multiple=True,
    metavar="NAME",
    help="An environment variable a job may name beside those that start with MYRIAD_; repeatable.",
)
@layout_options
@sign_option
@force_option
@click.option("--check", is_flag=True, help="Look at the job and do nothing.")
@click.option("--dry-run", is_flag=True, help="Read the history, say what would be fitted, and fit nothing.")
@json_option
def train(
    files: tuple[str, ...],
    *,
    processes: int | None,
    update: bool,
    work: Path,
    sign: Path | None,
    force: bool,
    check: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Fit models to the telemetry in FILES and publish them as a release.

    FILES are tables, Parquet or CSV for example, with the columns region, host, metric, timestamp and value; or a
    single YAML file, a job, that says all the rest as well.
    """
    job = _job(files, flags)
    if processes:
        job = job.model_copy(update={"workers": processes})
    if check:
        demand_libraries(job)
        show({"job": job.job, "store": job.store, "windows": ",".join(map(str, job.windows))}, as_json=as_json)
        return
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="myriad-train-") as directory:
            found = survey(job, Path(directory))
        result = {
            "job": job.job,
            "series": sum(found.metrics.values()),
            "of_metric": found.metrics,
            "lacking_a_model": sum(found.refused.values()),
            "why_not": found.refused,
            **_counters(found.counters, as_json=as_json),
            **told(found.left_out, as_json=as_json),
        }
        show({name: value for name, value in result.items() if value != {}}, as_json=as_json)
        return
    started = time.perf_counter()
    with tqdm(desc="fitting", unit=" rows", unit_scale=True, disable=None) as bar:

        def show_progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done)

        released = run(
            job, work.expanduser(), update=update, signer=signer_of(sign), force=force, progress=show_progress
        )
    show(_result(released, time.perf_counter() - started, as_json=as_json), as_json=as_json)


def _result(released: Released, seconds: float, *, as_json: bool) -> dict[str, Any]:
    artifacts = released.manifest.artifacts
    models, series = sum(a.models for a in artifacts), sum(a.series for a in artifacts)
    lacking, of = gates.refused_series(released.records)
    reasons = gates.reasons(released.records)
    result = {
        "release": released.manifest.id,
        "series": series,
        "models": models,
        "lacking_a_model": lacking if as_json else f"{lacking:,} of {of:,} series",
        "why_not": {why: one._asdict() if as_json else _named(one) for why, one in [*reasons.items()][:REASONS_SHOWN]},
        **_counters(released.counters, as_json=as_json),
        **told(released.left_out, as_json=as_json),
        **_realised(released, as_json=as_json),
        "artifacts": len(artifacts),
        "bytes_a_model": round(sum(a.bytes for a in artifacts) / models, 1),
        "resumed": released.resumed or "",
        "seconds": round(seconds, 1),
        "series_a_second": round(series / seconds, 1),
    }
    return {name: value for name, value in result.items() if value not in ("", {})}


def _realised(released: Released, *, as_json: bool) -> dict[str, Any]:
    """How often held-out points scored above 1, beside how often they should; nothing where there are too few."""
    rate = released.manifest.rate
    factor = gates.calibration_factor(released.records, rate)
    if factor is None or as_json:
        return {} if factor is None else {"realised_rate": factor * rate, "rate": rate}
    warning = f"; more than {TOO_OFTEN} times as often: see `myriad report`" if factor > TOO_OFTEN else ""
    return {"realised_rate": f"{factor * rate:.2g} of held-out points score above 1, where {rate:g} should{warning}"}


def _named(lacking: gates.Lacking) -> str:
    return f"{lacking.series:,} series: {', '.join(lacking.first)}{', ...' * (lacking.series > len(lacking.first))}"


def _counters(names: list[str], *, as_json: bool) -> dict[str, Any]:
    """What a result says of series that look like counters; nothing where none do."""
    if as_json or not names:
        return {"raw_counters": names} if names else {}
    more = f" and {len(names) - COUNTERS_SHOWN:,} more" if len(names) > COUNTERS_SHOWN else ""
    shown = ", ".join(names[:COUNTERS_SHOWN])
    return {"raw_counters": f"{shown}{more} only count up; `rate: true` in a rule of a job models their rates"}


def _job(files: tuple[str, ...], flags: dict[str, Any]) -> JobFile:
    """The job in a file, or the one that the flags describe."""
    if any(name.endswith(JOB_FILES) for name in files):
        if len(files) > 1:
            raise click.UsageError("a job is one YAML file, and names its data itself")
        job = JobFile.load(files[0], flags["allow_env"])
        store, history = flags["store"] or job.store, with_flags(job.history, flags, "a job")
        open_store(store)
        return job.model_copy(update={"store": store, "history": history})
    if not flags["store"]:
        raise click.UsageError("Missing option '--store' (env var: 'MYRIAD_STORE').")
    open_store(flags["store"])
    parsed = window_list(flags["windows"])
    levels = tuple(level for level in flags["fallback"].split(",") if level)
    if set(levels) - {"region", "global"}:
        raise click.BadParameter("is not of region,global", param_hint="--fallback")
    if not (0 < flags["rate"] < 0.5 and 0 <= flags["coverage"] <= 1):
        raise click.BadParameter("--rate is between 0 and 0.5, --coverage between 0 and 1")
    return validated(
        JobFile,
        {
            "job": "train",
            "history": history_of(files, flags),
            "metrics": [{"match": "*", "candidates": _candidates(flags["adapter"], parsed)}],
            "windows": dict(zip(parsed, weight_list(flags["weights"], len(parsed)), strict=True)),
            "calibration": {"rate": flags["rate"]},
            "coverage": flags["coverage"],
            "fallback": levels,
            "store": flags["store"],
        },
    )


def _candidates(text: str, windows: list[str]) -> list[dict[str, Any]]:
    """`blend`, or `1m=ewma,15m=seasonal`, where the windows that are not named have the default."""
    if "=" not in text:
        adapters.get(text)
        return [{"adapter": text}]
    kinds = dict.fromkeys(windows, DEFAULT_ADAPTER)
    for part in text.split(","):
        window, _, kind = part.partition("=")
        if window not in kinds:
            raise click.BadParameter(f"{part!r} names none of the windows {', '.join(kinds)}", param_hint="--adapter")
        adapters.get(kind)
        kinds[window] = kind
    return [{"adapter": kind, "windows": [w for w in windows if kinds[w] == kind]} for kind in set(kinds.values())]
