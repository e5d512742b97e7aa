"""No check is empty: for each there is a format that is broken in that way alone, and the check finds it."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from myriad.formats.base import Bounds, Rows, Telemetry, Writer
from myriad.formats.columns.cells import COLUMNS
from myriad.formats.csv import Csv
from myriad.models.errors import InvalidKey, InvalidPoints, MyriadError, TooLarge
from tests.formats.contract import CHECKS, telemetry


class RoundsValues(Csv):
    def write(self, answer: pa.Table) -> bytes:
        at = answer.schema.get_field_index("value")
        if at < 0 or not pa.types.is_floating(answer.schema.field(at).type):
            return super().write(answer)
        return super().write(answer.set_column(at, "value", pc.round(answer["value"], 1)))


class NeedsARow(Csv):
    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        found = super().read(data, bounds)
        found.names[0]
        return found


class WritesTypesAsTheyAre(Csv):
    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        if any(pa.types.is_dictionary(column.type) for column in schema):
            raise pa.ArrowNotImplementedError("dictionaries")
        return super().writer(sink, schema)


class KeepsTheLastTable(Csv):
    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        assert isinstance(sink, io.BytesIO)

        class Last:
            def write_table(self, table: pa.Table) -> None:
                self.table = table

            def close(self) -> None:
                whole = Csv().writer(sink, schema)
                whole.write_table(self.table)
                whole.close()

        return Last()


class RefusesAllForOneName(Csv):
    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        found = super().read(data, bounds)
        for why in found.refused.values():
            if isinstance(why, InvalidKey):
                raise why
        return found


class TypesItsColumns(Csv):
    def batches(self, source: pa.NativeFile, columns: Sequence[str], **options: Any) -> Iterator[Rows]:
        for rows in super().batches(source, columns, **options):
            batch, at = rows.batch, rows.batch.schema.get_field_index("value")
            numbers = batch.column(at).cast(pa.string()).cast(pa.float64()) if at >= 0 else None
            yield rows if at < 0 else rows._replace(batch=batch.set_column(at, "value", numbers))


class GivesEveryColumn(Csv):
    def batches(self, source: pa.NativeFile, *_: Any, **options: Any) -> Iterator[Rows]:
        return super().batches(source, COLUMNS, **options)


class NamesItsColumnsInAnOrderOfItsOwn(Csv):
    def column_names(self, source: pa.NativeFile) -> list[str]:
        return sorted(super().column_names(source), key=(*COLUMNS, "note").index)


class ReadsOnFromWhereItIs(Csv):
    def column_names(self, source: pa.NativeFile) -> list[str]:
        return super().column_names(pa.BufferReader(source.read()))


class NumbersTheRowsOfEachBatchAnew(Csv):
    def batches(self, source: pa.NativeFile, *given: Any, **options: Any) -> Iterator[Rows]:
        return (rows._replace(first=2) for rows in super().batches(source, *given, **options))


class SaysOnlyThatItFailed(Csv):
    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        try:
            return super().read(data, bounds)
        except InvalidPoints as exc:
            raise InvalidPoints("cannot be read") from exc


class GivesAllRowsAtOnce(Csv):
    def batches(self, source: pa.NativeFile, columns: Sequence[str], **options: Any) -> Iterator[Rows]:
        given = [rows.batch for rows in super().batches(source, columns, **options | {"rows": 1 << 20})]
        yield from (Rows(one, 2) for one in pa.Table.from_batches(given).combine_chunks().to_batches()) if given else ()


class CountsNoSeries(Csv):
    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        return super().read(data, Bounds(points=bounds.points, series=10**9))


class LooksAtBoundsLast(Csv):
    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        try:
            return super().read(data, bounds)
        except TooLarge:
            super().read(data, Bounds(points=10**9, series=10**9))
            raise


class TakesWhatItCannotReadForNothing(Csv):
    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        try:
            return super().read(data, bounds)
        except InvalidPoints as exc:
            if "column" in str(exc):
                raise
            return telemetry(pa.table({name: [] for name in COLUMNS}).cast(pa.schema(SCHEMA)))


class LeavesOutWhatItDoesNotKnow(Csv):
    def batches(self, source: pa.NativeFile, *given: Any, wanted: Any = None, **options: Any) -> Iterator[Any]:
        return iter(()) if wanted else super().batches(source, *given, **options)


class StatesOneRowTooMany(Csv):
    def stated_rows(self, source: pa.NativeFile) -> int:
        return max(0, source.read().count(b"\n")) if source.size() < 1000 else -1


class HasNoNames(Csv):
    suffixes = ()  # type: ignore[assignment]


SCHEMA = [("region", pa.string()), ("host", pa.string()), ("metric", pa.string()), ("timestamp", pa.int64()),
          ("value", pa.float64())]  # fmt: skip

BROKEN = {
    "the_same_points_give_the_same_telemetry": RoundsValues,
    "no_rows_are_no_series": NeedsARow,
    "dictionaries_of_text_are_written_like_text": WritesTypesAsTheyAre,
    "several_tables_are_written_one_after_the_other": KeepsTheLastTable,
    "a_bad_series_harms_no_neighbour": RefusesAllForOneName,
    "text_that_is_no_number_spoils_its_series_alone": TypesItsColumns,
    "columns_come_as_asked_for_and_no_others": GivesEveryColumn,
    "the_names_of_all_columns_are_told_in_the_order_of_the_file": NamesItsColumnsInAnOrderOfItsOwn,
    "a_file_may_be_read_several_times_while_it_is_open": ReadsOnFromWhereItIs,
    "rows_are_numbered_as_people_count": NumbersTheRowsOfEachBatchAnew,
    "a_missing_column_is_named": SaysOnlyThatItFailed,
    "a_file_of_any_size_is_read_in_batches": GivesAllRowsAtOnce,
    "points_and_series_beyond_the_bounds_are_refused": CountsNoSeries,
    "no_more_is_decoded_than_the_bounds_allow": LooksAtBoundsLast,
    "what_is_not_of_the_format_is_refused": TakesWhatItCannotReadForNothing,
    "a_part_that_is_not_wanted_may_be_left_out_but_never_one_that_is": LeavesOutWhatItDoesNotKnow,
    "what_it_states_of_its_rows_is_true": StatesOneRowTooMany,
    "its_files_end_in_something": HasNoNames,
}


def test_there_is_a_broken_format_for_every_check() -> None:
    assert BROKEN.keys() == CHECKS.keys()


@pytest.mark.parametrize("check", BROKEN)
def test_the_check_finds_it(check: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, MyriadError, IndexError, pa.ArrowException)):
        CHECKS[check](BROKEN[check]())
