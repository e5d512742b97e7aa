"""Bodies: what `/predict` is sent and answers.

JSON about series is read by `json_series` and answered by `json_series_answer`; `schemas` says what is in both. A table
with a row a datapoint comes as `json_columns`, `ndjson` or `arrow`, each a `TableBody`, and is answered in any of them.
"""

from myriad.formats.bodies.arrow import Arrow
from myriad.formats.bodies.base import TableBody
from myriad.formats.bodies.json_columns import JsonColumns
from myriad.formats.bodies.ndjson import Ndjson

JSON, NDJSON, ARROW = JsonColumns.media_type, Ndjson.media_type, Arrow.media_type
TABLES: dict[str, TableBody] = {body.media_type: body for body in (JsonColumns(), Ndjson(), Arrow())}
"""By media type."""


def accepted_media_type(accept: str, default: str) -> str:
    """The media type to answer in: the first in an `Accept` header that is supported, else `default`."""
    for part in accept.split(","):
        if (media_type := part.partition(";")[0].strip().lower()) in TABLES:
            return media_type
    return default
