"""Columns of pandas and polars frames.

Neither library is imported here unless the table at hand is one of its frames.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import ArrayColumn, Column, Kind, Mask, seconds, unsupported

__all__ = ["PandasColumn", "PolarsColumn"]


class PandasColumn(Column):
    """A pandas Series.

    Examples
    --------
    >>> import pandas as pd
    >>> PandasColumn(pd.Series([1, None], dtype="Int64")).numbers()
    array([ 1., nan])
    """

    def __init__(self, series: Any) -> None:
        self.series = series

    @property
    def untyped(self) -> bool:
        dtype = self.series.dtype
        return (isinstance(dtype, np.dtype) and dtype.kind == "O") or str(dtype) == "null[pyarrow]"

    def kind(self, rows: Mask) -> Kind:
        from pandas import CategoricalDtype
        from pandas.api import types

        dtype = self.series.dtype
        if self.untyped:
            return ArrayColumn(self.series.to_numpy(dtype=object)).kind(rows)
        if isinstance(dtype, CategoricalDtype) or types.is_bool_dtype(dtype) or types.is_string_dtype(dtype):
            return "category"
        if str(dtype).startswith("dictionary<values=string"):
            return "category"
        if dtype.kind in "Mm" or (types.is_numeric_dtype(dtype) and dtype.kind != "c"):
            return "number"
        raise unsupported(dtype)

    def has_missing(self, rows: Mask) -> bool:
        missing = self.series.isna().to_numpy()
        return bool(missing.any() if rows is None else missing[rows].any())

    def numbers(self, *, strict: bool = True) -> NDArray[Any]:
        from pandas.api import types

        dtype = self.series.dtype
        if dtype.kind == "c":
            raise unsupported(dtype)
        if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
            return np.asarray(self.series.to_numpy())
        if dtype.kind in "Mm":
            return seconds(self._times())
        if types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype):
            return np.asarray(self.series.to_numpy(dtype=np.float64, na_value=np.nan))
        return ArrayColumn(self.series.to_numpy(dtype=object)).numbers(strict=strict)

    def _times(self) -> NDArray[Any]:
        series = self.series
        arrow = getattr(series.dtype, "pyarrow_dtype", None)
        if getattr(series.dtype if arrow is None else arrow, "tz", None) is not None:
            series = series.dt.tz_convert(None)
        if arrow is not None:
            name = "datetime64" if series.dtype.kind == "M" else "timedelta64"
            series = series.astype(f"{name}[{getattr(arrow, 'unit', 's')}]")
        return np.asarray(series.to_numpy())

    def levels(self) -> tuple[NDArray[Any], list[Hashable]]:
        if hasattr(self.series, "cat"):
            return self.series.cat.codes.to_numpy(), self.series.cat.categories.tolist()
        codes, levels = self.series.factorize()
        return codes, levels.tolist()


class PolarsColumn(Column):
    """A polars Series.

    Examples
    --------
    >>> import polars as pl
    >>> PolarsColumn(pl.Series(["b", None, "a"])).levels()
    (array([ 0, -1,  1], dtype=int32), ['b', 'a'])
    """

    def __init__(self, series: Any) -> None:
        self.series = series

    @property
    def untyped(self) -> bool:
        import polars as pl

        return self.series.dtype in (pl.Object, pl.Null)

    def kind(self, rows: Mask) -> Kind:
        import polars as pl

        dtype = self.series.dtype
        if dtype == pl.Object:
            return ArrayColumn(self.series.to_numpy()).kind(rows)
        if dtype.is_numeric() or dtype.is_temporal():
            return "number"
        if dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null):
            return "category"
        raise unsupported(dtype)

    def has_missing(self, rows: Mask) -> bool:
        import polars as pl

        missing = self.series.is_null()
        if self.series.dtype in (pl.Float32, pl.Float64):
            missing |= self.series.is_nan().fill_null(value=True)
        return bool(missing.any() if rows is None else missing.to_numpy()[rows].any())

    def numbers(self, *, strict: bool = True) -> NDArray[Any]:
        import polars as pl

        dtype = self.series.dtype
        if dtype in (pl.Object, pl.String, pl.Categorical, pl.Enum):
            return ArrayColumn(np.array(self.series.to_list(), dtype=object)).numbers(strict=strict)
        if dtype.is_temporal():
            unit = 86400.0 if dtype == pl.Date else _SECONDS_PER[getattr(dtype, "time_unit", "ns")]
            ticks = self.series.to_physical().cast(pl.Float64).to_numpy()
            return np.asarray(ticks * unit if dtype == pl.Date else ticks / unit)
        if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            float32 = dtype == pl.Float32
            return np.asarray(self.series.cast(pl.Float32 if float32 else pl.Float64).to_numpy())
        raise unsupported(dtype)

    def levels(self) -> tuple[NDArray[Any], list[Hashable]]:
        import polars as pl

        series = self.series
        if series.dtype == pl.Object:
            return ArrayColumn(series.to_numpy()).levels()
        if series.dtype in (pl.Categorical, pl.Enum):
            series = series.cast(pl.String)
        elif series.dtype in (pl.Float32, pl.Float64):
            series = series.fill_nan(None)
        levels = series.drop_nulls().unique(maintain_order=True)
        codes = series.replace_strict(levels, pl.int_range(len(levels), eager=True), default=-1, return_dtype=pl.Int32)
        return codes.fill_null(-1).to_numpy(), levels.to_list()


_SECONDS_PER = {"ms": 1e3, "us": 1e6, "ns": 1e9}
