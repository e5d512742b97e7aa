"""A producer: posts a tick of a fleet to /predict as an Arrow stream each minute, prints the series that score above 1.

A tick has one new point of every series, and is scored at the 1m window. For longer windows send their means too, as
columns `1m`, `15m` and `1h` in place of `value`; see docs/http-api.md.

The telemetry is the end of a Parquet file. Put your own source in place of `ticks`. With `myriad demo` running:

    python examples/arrow_producer.py http://127.0.0.1:8000 demo-data/history.parquet \
        --ticks 3 --interval 1 --incident web-003

It needs httpx and pyarrow, but not Myriad.
"""

import argparse
import io
import logging
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LABELS = ("region", "host", "metric")
ARROW = "application/vnd.apache.arrow.stream"

ATTEMPTS = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between the first two attempts, and the most between any two."""
RETRIED_STATUSES = (502, 503, 504)
"""Myriad answers 503 while it has too much to do or no release yet; 502 and 504 are those of a load balancer."""
RETRIED_ERRORS = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
TIMEOUT = httpx.Timeout(30.0, connect=5.0)

log = logging.getLogger("producer")


class NotScored(Exception):
    """A tick that all attempts failed for."""


def main() -> int:
    """Post every tick; 1 if one of them was not scored."""
    options = _parser().parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    failed, due = 0, time.monotonic()
    with httpx.Client(base_url=options.url, timeout=TIMEOUT) as client:
        for tick in ticks(options.telemetry, options.ticks, options.incident):
            time.sleep(max(due - time.monotonic(), 0.0))
            due = time.monotonic() + options.interval
            try:
                scores = score(client, tick)
            except NotScored as exc:  # the next tick may fare better
                log.error("%s", exc)
                failed += 1
            except httpx.HTTPStatusError as exc:  # the request itself is wrong, and so would be the next
                log.error("refused with %d: %s", exc.response.status_code, exc.response.text)
                return 1
            else:
                for line in alerts(scores):
                    print(line, flush=True)  # noqa: T201  this is the output
    return 1 if failed else 0


def ticks(telemetry: str, count: int, incident: str | None) -> Iterator[pa.Table]:
    """The last `count` ticks of a Parquet file, each a table with a row a series: the place for your own source.

    Keep the series in the same order from tick to tick: the service remembers where it found them.

    Args:
        telemetry: the file, with the columns region, host, metric, timestamp (epoch seconds) and value.
        count: how many.
        incident: a host whose values are tripled, to have something to find.
    """
    table = pq.read_table(telemetry, columns=[*LABELS, "timestamp", "value"])
    for timestamp in sorted(pc.unique(table["timestamp"]).to_pylist())[-count:]:
        tick = table.filter(pc.equal(table["timestamp"], timestamp))
        if incident is not None:
            affected = pc.equal(tick["host"].cast(pa.string()), incident)
            values = pc.if_else(affected, pc.multiply(tick["value"], 3.0), tick["value"])
            tick = tick.set_column(tick.column_names.index("value"), "value", values)
        yield tick


def score(client: httpx.Client, tick: pa.Table) -> pa.Table:
    """The service's answer: a row for each of the tick's, in the same order, with its `status` and `score`.

    Scoring changes nothing in the service, so that a tick may be posted again whatever became of it.

    Raises:
        NotScored: the service could not be reached or was overloaded at each of `ATTEMPTS` attempts.
        httpx.HTTPStatusError: the request was refused; another attempt would be too.
    """
    body = encoded(tick)
    for attempt in range(ATTEMPTS):
        retry_after = None
        try:
            answer = client.post("/predict", content=body, headers={"content-type": ARROW})
        except RETRIED_ERRORS as exc:
            problem = f"{type(exc).__name__}: {exc}"
        else:
            if answer.status_code not in RETRIED_STATUSES:
                return pa.ipc.open_stream(answer.raise_for_status().content).read_all()
            problem = f"{answer.status_code} {answer.reason_phrase}"
            retry_after = answer.headers.get("retry-after")
        log.warning("attempt %d of %d failed: %s", attempt + 1, ATTEMPTS, problem)
        if attempt + 1 < ATTEMPTS:
            time.sleep(pause(attempt, retry_after))
    raise NotScored(f"a tick of {tick.num_rows} series was not scored; the last of {ATTEMPTS} attempts: {problem}")


def pause(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait after a failed attempt, the first of which is 0.

    Exponential back-off with jitter, so that many producers do not come back at once, but no less than the service
    asks for. A `Retry-After` that is a date is not heeded: Myriad sends seconds.
    """
    backoff = FIRST_PAUSE * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311  no secret
    requested = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    return min(max(backoff, requested), LONGEST_PAUSE)


def encoded(tick: pa.Table) -> bytes:
    """The tick as an Arrow stream with its labels as dictionaries, which are far fewer bytes."""
    for name in LABELS:
        if not pa.types.is_dictionary(tick.schema.field(name).type):
            tick = tick.set_column(tick.column_names.index(name), name, tick[name].dictionary_encode())
    tick = tick.unify_dictionaries()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, tick.schema) as stream:
        stream.write_table(tick)
    return sink.getvalue()


def alerts(scores: pa.Table) -> Iterator[str]:
    """A line for each series whose score is above 1; one without a score, because it has no model, is none."""
    for row in scores.filter(pc.greater(scores["score"], 1.0)).to_pylist():
        when = datetime.fromtimestamp(row["timestamp"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield f"{when} {row['region']}/{row['host']}/{row['metric']} {row['score']:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Post ticks of a fleet and print the series that score above 1.")
    parser.add_argument("url", help="of the service, as in http://127.0.0.1:8000")
    parser.add_argument("telemetry", help="a Parquet file; its last ticks are posted")
    parser.add_argument("--ticks", type=int, default=5, help="how many (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between two (default: %(default)s)")
    parser.add_argument("--incident", metavar="HOST", help="triple this host's values, to have something to find")
    return parser


if __name__ == "__main__":
    sys.exit(main())
