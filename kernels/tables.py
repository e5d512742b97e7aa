"""Tables: bodies of many datapoints as columns, and columns as text."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._tables_py import coded, columns_of, rows_of, series_texts
else:
    from myriad.kernels._compiled import coded, columns_of, rows_of, series_texts

__all__ = ["coded", "columns_of", "rows_of", "series_texts"]
