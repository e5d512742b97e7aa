"""Answer sizes: no answer is larger than was said before it was made."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myriad.formats.base import Bounds
from myriad.formats.bodies import ARROW, JSON, NDJSON, TABLES, answer_size, tables
from myriad.formats.bodies.base import TableRequest
from myriad.formats.bodies.json_series import parse
from myriad.formats.bodies.json_series_answer import encode
from myriad.formats.columns.table import readable_times
from myriad.models.errors import TooLarge
from myriad.serving.predictor import Predictor
from tests.conftest import END, Published

LABEL = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
VALUE = st.floats(allow_nan=False, allow_infinity=False)
ROW = st.tuples(LABEL, LABEL, LABEL, st.integers(0, END), VALUE)


@pytest.fixture(scope="module")
def predictor(published: Published) -> Predictor:
    return Predictor.open(published.url)


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("media_type", [JSON, NDJSON, ARROW])
def test_no_table_is_answered_with_more(predictor: Predictor, media_type: str, bands: bool) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(ROW, min_size=1, max_size=30))
    def check(rows: list[tuple[str, str, str, int, float]]) -> None:
        columns = dict(
            zip(("region", "host", "metric", "timestamp", "value"), map(list, zip(*rows, strict=True)), strict=True)
        )
        zoned = pa.array([row[3] for row in rows]).cast(pa.timestamp("s")).cast(pa.timestamp("ns", "Asia/Kolkata"))
        coded = pa.array(columns["host"]).dictionary_encode()
        for table in (pa.table(columns), readable_times(pa.table(columns | {"host": coded, "timestamp": zoned}))):
            scores, query = predictor.score_table(table, None, "weighted", bands=bands)
            request = TableRequest(table, None, "weighted", bands)
            answer = b"".join(tables.answer(request, query, scores, TABLES[media_type]))
            assert len(answer) <= tables.most_bytes(request, 3, TABLES[media_type])

    check()


@pytest.mark.parametrize("bands", [False, True])
def test_no_series_are_answered_with_more(predictor: Predictor, published: Published, bands: bool) -> None:
    known = [one._asdict() for one in published.fleet.series]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from(known))
    def check(rows: list[tuple[str, str, str, int, float]], own: dict[str, str]) -> None:
        points = [{"timestamp": END - 60 * i, "value": row[4]} for i, row in enumerate(rows)]
        several = [{"region": r, "host": h, "metric": m, "datapoints": points} for r, h, m, *_ in rows]
        body = json.dumps({"series": [{**own, "datapoints": points}, *several], "bands": bands}).encode()
        request = parse(body, Bounds(points=10_000, series=1000))
        count = len(request.query.points.values)
        most = answer_size.of_series(request.labels, count, 3, bands=bands)
        assert len(encode(request, predictor.score(request.query))) <= most

    check()


def test_what_is_beyond_the_limit_is_refused_with_both_figures() -> None:
    answer_size.check(10, 10)
    with pytest.raises(TooLarge, match="may have 11 bytes; at most 10"):
        answer_size.check(11, 10)


def test_zeros_behind_the_texts_of_a_column_are_no_characters_of_it() -> None:
    hosts = pa.array(["web", "db"]).dictionary_encode()
    times, values = pa.array([1, 2]), pa.array([1.0, 2.0])
    labels = {"region": pa.array(["eu", "eu"]), "host": hosts, "metric": pa.array(["cpu", "cpu"])}
    plain = pa.table({**labels, "timestamp": times, "value": values})
    special = pa.table({**labels, "host": pa.array(["w\tb", "db"]), "timestamp": times, "value": values})
    sizes = [TABLES[JSON].most_bytes(table, 4, hosts=False) for table in (plain, special)]
    assert sizes[1] - sizes[0] == 5 * len("webdb")
