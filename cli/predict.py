"""`myriad predict`: score a file without a service."""

import time
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tqdm import tqdm

from cli.common import json_option, show, store_option
from models.ensemble import COMBINES, Combine
from models.errors import InvalidPoints
from models.table import grouping_of, labels_of
from serving.predictor import Predictor
from training import history

SERIES_AT_ONCE = 100


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_option
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Scores, as .parquet or .csv.")
@click.option("--windows", help="Of the release's, as in 1m,15m; all where not given.")
@click.option("--combine", type=click.Choice(COMBINES), default="weighted", show_default=True)
@json_option
def predict(
    file: Path, store: str, output: Path | None, windows: str | None, combine: Combine, *, as_json: bool
) -> None:
    """Score the telemetry in FILE with the current release of a store, and say what came of it.

    FILE is Parquet or CSV with the columns region, host, metric, timestamp and value.
    """
    if output is not None and output.suffix not in (".parquet", ".csv"):
        raise click.BadParameter("is to end in .parquet or .csv", param_hint="--output")
    started = time.perf_counter()
    predictor = Predictor.open(store)
    table = history.read([file])
    wanted = windows.split(",") if windows else None
    parts = []
    rows = grouping_of(labels_of(table))
    with tqdm(total=table.num_rows, desc="scoring", unit=" points", unit_scale=True, disable=None) as bar:
        for first in range(0, len(rows.names), SERIES_AT_ONCE):
            last = min(first + SERIES_AT_ONCE, len(rows.names))
            chosen = table.take(rows.order[rows.offsets[first] : rows.offsets[last]])
            scores = predictor.predict_table(chosen, wanted, combine)
            parts.append(_beside(chosen, scores))
            bar.update(chosen.num_rows)
    if not parts:
        raise InvalidPoints(f"{file}: there are no rows")
    scored = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
    if output is not None:
        write = pyarrow.csv.write_csv if output.suffix == ".csv" else pyarrow.parquet.write_table
        write(scored, output)
    score = np.asarray(scored["score"])
    counts = {entry["values"]: entry["counts"] for entry in scored["status"].value_counts().to_pylist()}
    result = {
        "release": predictor.manifest.id,
        "series": len(rows.names),
        "points": table.num_rows,
        "scored": int(np.isfinite(score).sum()),
        "above_1": int((score > 1).sum()),
        "points_by_status": ", ".join(f"{status} {count}" for status, count in counts.items()),
        "seconds": round(time.perf_counter() - started, 2),
    }
    show(result, as_json=as_json)


def _beside(points: pa.Table, scores: pa.Table) -> pa.Table:
    for name in scores.column_names:
        points = points.append_column(name, scores[name])
    return points
