"""Columns, targets, weights and tables at the ends of what can be: finite predictions, or a clear refusal."""

from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from support import basic

from sknnopt import (
    NNClassifier,
    NNRegressor,
    activations,
    averaging,
    embeddings,
    initializers,
    losses,
    optimizers,
    regularization,
    schedules,
)
from sknnopt._compat import Interval, InvalidParameterError
from sknnopt.data import TableEncoder
from sknnopt.data.columns import ArrayColumn
from sknnopt.losses import Quantile
from sknnopt.schedules import with_warmup

ROWS = 24
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 2))
CLASSES, NUMBERS = (X[:, 0] > 0).astype(int), X[:, 0] + 0.1 * RANDOM.normal(size=ROWS)
SIGN, SHARE = np.where(np.arange(ROWS) % 2, 1.0, -1.0), RANDOM.random(ROWS)
LARGEST, LARGEST32 = np.finfo(np.float64).max, float(np.finfo(np.float32).max)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
BOTH = [NNClassifier, NNRegressor]
SCALES = ["auto", "quantile_normal", "standard"]

COLUMNS: dict[str, np.ndarray] = {
    "1e30": SIGN * SHARE * 1e30, "1e300": SIGN * SHARE * 1e300, "float32's end": SIGN * LARGEST32,
    "float64's end": SIGN * LARGEST, "one at float64's end": np.r_[LARGEST, np.zeros(ROWS - 1)],
    "denormals": SHARE * 1e-310, "float32's denormals": SHARE * 1e-42, "two denormals": (SIGN > 0) * 5e-324,
    "one value": np.full(ROWS, 3.0), "one large value": np.full(ROWS, 1e300), "offset": 1e9 + SHARE,
    "offset, tiny spread": 1e9 + 1e-6 * SHARE, "beyond 2**53": 2**53 + RANDOM.integers(0, 9, ROWS),
    "int64's ends": np.where(SIGN > 0, 2**63 - 1, -(2**63)), "all missing": np.full(ROWS, np.nan),
    "uint64": np.where(SIGN > 0, np.uint64(2**64 - 1), np.uint64(0)), "int8": np.tile(np.int8([-128, 127]), ROWS // 2),
    "bool": SIGN > 0, "float16": (SIGN * 65504).astype(np.float16), "float16's denormals": np.float16(SHARE * 1e-6),
    "missing but one": np.r_[5.0, np.full(ROWS - 1, np.nan)],
}  # fmt: skip
TOO_LARGE = {"1e300", "float64's end", "one at float64's end", "one large value"}
"""What float32 does not hold."""


def finite(network: Any, rows: Any) -> Any:
    """Check that predictions are finite; return the estimator."""
    scores = network.predict_proba(rows) if isinstance(network, NNClassifier) else network.predict(rows)
    assert np.isfinite(scores).all()
    return network


def target(make: type[Any]) -> np.ndarray:
    return CLASSES if make is NNClassifier else NUMBERS


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("make", BOTH)
class TestColumns:
    def test_beside_ordinary_ones(self, make, name):
        table = pd.DataFrame({"a": X[:, 0], "b": COLUMNS[name]})
        ordinary = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
        finite(finite(basic(make, **QUICK).fit(table, target(make)), table), ordinary)
        for numbers in SCALES:
            assert np.isfinite(TableEncoder(numbers=numbers).fit_transform(table)).all()
        finite(basic(make, **QUICK, preprocessing="standard").fit(ordinary, target(make)), table)

    def test_of_an_array_embedded(self, make, name):
        table = np.column_stack([COLUMNS[name]] * 2)
        for more in ({"numeric_embedding": "piecewise_linear"}, {"initializer": "lsuv", "normalization": "batch"}):
            finite(basic(make, **QUICK, **more).fit(table, target(make)), table)

    def test_sparse(self, make, name):
        column = COLUMNS[name]
        table = sparse.csr_array(np.column_stack([column.astype(np.float32) if column.dtype == np.float16 else column]))
        network = finite(basic(make, **QUICK).fit(table, target(make)), table)
        assert np.isfinite(network.preprocessor_.scale_).all()

    def test_without_preprocessing(self, make, name):
        table = np.column_stack([COLUMNS[name], np.full(ROWS, 1, COLUMNS[name].dtype)])
        network = basic(make, **QUICK, preprocessing=None)
        if "missing" in name:
            message = "Input X contains NaN"
        elif name in TOO_LARGE:
            message = r"Input X contains infinity or a value too large for dtype\('float32'\)"
        elif abs(table.astype(np.float64)).max() > (1e18 if make is NNRegressor else 1e38):
            message = r"Training diverged: .* With preprocessing=None, scale the columns"
        else:
            finite(network.fit(table, target(make)), table)
            return
        with pytest.raises(ValueError, match=message):
            network.fit(table, target(make))


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("numbers", [*SCALES, None])
def test_infinity_is_refused(make, numbers) -> None:
    for column in (
        np.r_[X[1:, 0], np.inf],
        np.r_[np.full(ROWS - 1, LARGEST), -np.inf],
        np.r_[np.full(ROWS - 1, 5e-324), np.inf],
    ):
        for table in (np.column_stack([column, X]), pd.DataFrame({"b": column})):
            with pytest.raises(ValueError, match="Input X contains infinity or a value too large"):
                basic(make, **QUICK, preprocessing=numbers).fit(table, target(make))


def test_spread_is_not_lost_beside_an_offset() -> None:
    column = 1e9 + np.arange(5.0)[:, None]
    assert_array_equal(TableEncoder().fit_transform(column), TableEncoder().fit_transform(column - 1e9))
    wide = 2**53 + 2 * np.arange(5)[:, None]
    assert_array_equal(TableEncoder().fit_transform(wide), TableEncoder().fit_transform(wide - 2**53))


OBJECTS: dict[str, list[Any]] = {
    "NUL": ["x\0y", "x"], "empty": ["", " "], "long": ["é" * 100_000, "z"], "bytes": [b"x", b"y"],
    "whole numbers beyond float32": [10**30, -(10**30)], "decimals": [Decimal("1.5"), Fraction(1, 3)],
    "bools": [True, None], "nothing": [None, None], "dates": [pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")],
    "infinities as categories": pd.Categorical([np.inf, 1.0]).tolist(),
}  # fmt: skip
REFUSED = {
    "numbers and strings": ([1, "a"], TypeError, "Column 'c': .*uniformly strings or numbers. Got .*'int', 'str'"),
    "bytes and strings": ([b"x", "y"], TypeError, "Column 'c': .*Got .*'bytes', 'str'"),
    "bools and strings": ([True, "y"], TypeError, "Column 'c': .*Got .*'bool', 'str'"),
    "beyond float64": ([10**400, 1], ValueError, "Column 'c': Input X contains infinity or a value too large"),
    "lists": ([[1], [2]], TypeError, "Column 'c': "),
    "complex": ([1j, 2.0], TypeError, "Column 'c': "),
}


@pytest.mark.parametrize("make", BOTH)
class TestObjects:
    @pytest.mark.parametrize("name", OBJECTS)
    def test_a_category_or_a_number(self, make, name):
        column = pd.Series(OBJECTS[name] * (ROWS // 2), dtype=object)
        if name.startswith("infinities"):
            column = column.astype("category")
        network = finite(
            basic(make, **QUICK).fit(pd.DataFrame({"c": column}), target(make)), pd.DataFrame({"c": column})
        )
        unseen = pd.DataFrame({"c": pd.Series(["unseen\0", None, ""] * 3, dtype=object)})
        finite(network, unseen)

    @pytest.mark.parametrize("name", REFUSED)
    def test_refused_by_name(self, make, name):
        values, error, message = REFUSED[name]
        with pytest.raises(error, match=message):
            basic(make, **QUICK).fit(pd.DataFrame({"c": pd.Series(values * (ROWS // 2), dtype=object)}), target(make))

    def test_too_large_a_number_later(self, make):
        network = basic(make, **QUICK).fit(
            pd.DataFrame({"c": pd.Series([1, 2] * (ROWS // 2), dtype=object)}), target(make)
        )
        with pytest.raises(ValueError, match="Column 'c': Input X contains infinity or a value too large"):
            network.predict(pd.DataFrame({"c": pd.Series([1, 10**400], dtype=object)}))

    def test_columns_that_are_no_numbers_without_preprocessing(self, make):
        dates = pd.DataFrame({"a": X[:, 0], "b": pd.to_datetime(["2020-01-01", "2021-01-01"] * (ROWS // 2))})
        large = pd.DataFrame({"a": pd.Series([10**400, 1] * (ROWS // 2), dtype=object)})
        words = pd.DataFrame({"a": pd.Series(["x" * 10_000, "y"] * (ROWS // 2), dtype="category")})
        for table, kind in (
            (dates, TypeError),
            (large, ValueError),
            (words, ValueError),
            (words.astype(object), ValueError),
        ):
            with pytest.raises(kind, match=r"With preprocessing=None, X must hold numbers of float32 alone"):
                basic(make, **QUICK, preprocessing=None).fit(table, target(make))

    def test_tuples_as_categories(self, make):
        table = pd.DataFrame({"c": pd.Categorical([(1, 2), (2, 3)] * (ROWS // 2))})
        with pytest.raises(TypeError, match="Column 'c': holds tuples as categories"):
            basic(make, **QUICK).fit(table, target(make))

    @pytest.mark.parametrize("unit", ["datetime64[ns]", "timedelta64[ms]"])
    def test_dates_alone_without_preprocessing(self, make, unit):
        """numpy would make them numbers of whatever unit, and one that is missing the least of these."""
        dates = np.arange(ROWS).astype(unit)[:, None]
        dates[3] = "NaT"
        for table in (dates, pd.DataFrame(dates), pl.DataFrame(dates)):
            with pytest.raises(TypeError, match="With preprocessing=None, X must hold numbers of float32 alone"):
                basic(make, **QUICK, preprocessing=None).fit(table, target(make))
        with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)"):
            basic(make, **QUICK, preprocessing=None).fit(pd.DataFrame(index=range(ROWS)), target(make))

    def test_ten_thousand_categories(self, make):
        levels = [f"level {number}" for number in range(10_000)]
        table = pd.DataFrame({"c": levels, "b": np.arange(10_000.0)})
        unseen = table.assign(c=[f"unseen {number}" for number in range(10_000)])
        y = (table["b"] > 5000).astype(int)
        for more in ({}, {"categorical_embedding": 2}):
            network = basic(make, **{**QUICK, "batch_size": 2048}, **more).fit(table, y)
            assert network.preprocessor_.n_features_out_ == 101
            finite(finite(network, unseen), table)
        whole = np.column_stack([np.arange(10_000), np.arange(10_000) % 7])
        network = basic(make, **{**QUICK, "batch_size": 2048}, categorical_features=[0]).fit(whole, y)
        finite(network, whole + 5000)


class TestDates:
    @pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
    @pytest.mark.parametrize(
        ("unit", "seconds"), [("W", 604800), ("D", 86400), ("h", 3600), ("us", 1e-6), ("as", 1e-18), ("10ms", 1e-2)]
    )
    def test_of_any_unit_and_size(self, kind, unit, seconds):
        ticks = np.array([2**61, -(2**61), 3])
        found = ArrayColumn(np.append(ticks.astype(f"{kind}[{unit}]"), np.array("NaT", f"{kind}[{unit}]"))).numbers()
        assert_allclose(found, np.append(ticks * float(seconds), np.nan), rtol=1e-15)

    def test_of_far_years(self):
        found = ArrayColumn(np.array([10**12, -(10**12)]).astype("datetime64[Y]")).numbers()
        assert_allclose(found, [1e12 * 365.2425 * 86400, -1e12 * 365.2425 * 86400], rtol=1e-6)

    @pytest.mark.parametrize("make", BOTH)
    def test_durations_of_no_fixed_length(self, make):
        with pytest.raises(TypeError, match=r"Column 0: holds timedelta64\[M\], which has no fixed length"):
            basic(make, **QUICK).fit(np.arange(ROWS).astype("timedelta64[M]")[:, None], target(make))


@pytest.mark.parametrize("make", BOTH)
class TestShapes:
    @pytest.mark.parametrize("preprocessing", [*SCALES, None])
    def test_five_thousand_columns(self, make, preprocessing):
        wide = np.tile(X, (1, 2500 if preprocessing in ("auto", None) else 500))
        finite(basic(make, **QUICK, preprocessing=preprocessing).fit(wide, target(make)), wide)

    @pytest.mark.parametrize("rows", [1, 2, 3])
    @pytest.mark.parametrize("preprocessing", [*SCALES, None])
    def test_few_rows(self, make, rows, preprocessing):
        """Each row is a class of its own."""
        few = X[:rows]
        if make is NNClassifier and rows == 1:
            with pytest.raises(ValueError, match="at least 2 classes; got 1 class"):
                basic(make, **QUICK, preprocessing=preprocessing).fit(few, np.arange(rows))
            return
        finite(make(**QUICK, preprocessing=preprocessing, n_members=3).fit(few, np.arange(rows)), X)
        for more in ({"normalization": "batch"}, {"network": "tabm"}, {"learning_rate": "auto"}):
            if preprocessing in ("auto", None):
                finite(basic(make, **QUICK, **more, preprocessing=preprocessing).fit(few, np.arange(rows)), X)

    def test_few_rows_withheld(self, make):
        for rows in (2, 3, 4):
            finite(make(**QUICK, early_stopping=True).fit(X[:rows], np.arange(rows)), X)
        if make is NNRegressor:
            with pytest.raises(ValueError, match=r"n_samples=1 leaves none to train on; use early_stopping=False"):
                make(**QUICK, early_stopping=True).fit(X[:1], NUMBERS[:1])

    def test_a_class_of_one_row(self, make):
        y = np.r_[7, np.zeros(ROWS - 1, dtype=int)]
        for more in ({}, {"early_stopping": True}, {"early_stopping": True, "n_members": 1, "scoring": "r2"}):
            if make is NNClassifier:
                more = {**more, "class_weight": "balanced", "scoring": "accuracy" if "scoring" in more else "loss"}
            finite(make(**QUICK, **more).fit(X, y), X)


class TestLabels:
    @pytest.mark.parametrize(
        "labels",
        [[2**63 - 1, -(2**63)], [2**53, 2**53 + 1], ["a\0b", "a"], ["", "x"], ["z" * 10_000, "y"], [True, False]],
        ids=["int64", "beyond 2**53", "NUL", "empty", "long", "bool"],
    )
    def test_are_given_back(self, labels):
        y = np.array(labels)[CLASSES]
        network = finite(basic(NNClassifier, **QUICK).fit(X, y), X)
        assert_array_equal(network.classes_, np.unique(np.array(labels)))
        assert set(network.predict(X).tolist()) <= set(np.array(labels).tolist())

    def test_uint64(self):
        y = np.array([0, 2**64 - 1], dtype=np.uint64)[CLASSES]
        assert basic(NNClassifier, **QUICK).fit(X, y).predict(X).dtype == np.uint64

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (pd.to_datetime(["2020-01-01", None]), ValueError, "Input y contains NaT"),
            (pd.Series(["a", pd.NA], dtype="string"), ValueError, "Input y contains NA"),
            (pd.Series(["a", pd.NA], dtype=object), ValueError, "Input y contains NA"),
            (pd.Series(["a", 1], dtype=object), TypeError, r"y must be all strings or all numbers. Got \['str', 'int'"),
            ([1.7e308, -1.7e308], ValueError, "Unknown label type: continuous"),
        ],
        ids=["NaT", "NA", "NA among objects", "mixed", "sums overflow"],
    )
    def test_missing_or_of_several_types(self, labels, error, message):
        with pytest.raises(error, match=message):
            basic(NNClassifier, **QUICK).fit(X, pd.Series(labels).take(CLASSES))


class TestTargets:
    @pytest.mark.parametrize("loss", [*losses.names("regression"), Quantile(quantile=[0.1, 0.5, 0.9])], ids=str)
    @pytest.mark.parametrize("scale", [1e30, 1e-30, 1e298, 1e-310, 5e-324])
    def test_of_any_size(self, loss, scale):
        positive = np.where(NUMBERS > 0, 1.0, 2.0)
        y = positive * scale if loss in ("poisson", "gamma", "tweedie") else np.round(NUMBERS * 9) * scale
        finite(basic(NNRegressor, **QUICK, loss=loss).fit(X, y), X)

    @pytest.mark.parametrize("scale", [1e30, 1e-30, 1e298])
    def test_are_learnt_whatever_their_unit(self, scale):
        settings = {**QUICK, "max_epochs": 20, "learning_rate": 0.01}
        plain = basic(NNRegressor, **settings).fit(X, NUMBERS).predict(X)
        assert_allclose(basic(NNRegressor, **settings).fit(X, NUMBERS * scale).predict(X) / scale, plain, rtol=1e-4)

    @pytest.mark.parametrize("value", [0.0, 1e30, -1e298, 5e-324])
    def test_of_one_value(self, value):
        reg = finite(basic(NNRegressor, **QUICK).fit(X, np.full(ROWS, value)), X)
        assert reg.target_.scale_ == 1

    def test_of_unlike_sizes(self):
        y = np.column_stack([NUMBERS * 1e30, NUMBERS * 1e-30, np.ones(ROWS), 1e9 + 1e-3 * NUMBERS])
        finite(basic(NNRegressor, **QUICK).fit(X, y), X)

    @pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.float16, np.bool_, np.float32])
    def test_of_any_type(self, dtype):
        ends = (
            (False, True)
            if dtype is np.bool_
            else [getattr(np, "iinfo" if dtype in (np.uint64, np.int64) else "finfo")(dtype)]
        )
        low, high = ends if len(ends) == 2 else (ends[0].min, ends[0].max)
        finite(basic(NNRegressor, **QUICK).fit(X, np.where(CLASSES, dtype(low), dtype(high)).astype(dtype)), X)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ([None, 1.0] * (ROWS // 2), "Input y contains NaN"),
            (pd.Series(["a", "b"] * (ROWS // 2)), "y must be numbers. could not convert string to float"),
            (pd.Series(["a", "b"] * (ROWS // 2), dtype="category"), "y must be numbers. could not convert"),
            ([10**400, 1] * (ROWS // 2), "y must be numbers. int too large"),
            (pd.Series([pd.NA, "b"] * (ROWS // 2), dtype=object), "y must be numbers. float"),
            (np.arange(ROWS).astype("datetime64[D]"), r"y must be numbers. Got datetime64\[D\]"),
            (pd.to_timedelta(["1h", None] * (ROWS // 2)), r"y must be numbers. Got timedelta64"),
        ],
        ids=["None", "strings", "category", "10**400", "NA", "dates", "NaT"],
    )
    def test_that_are_no_numbers_are_refused(self, y, message):
        with pytest.raises((TypeError, ValueError), match=message):
            basic(NNRegressor, **QUICK).fit(X, y)

    @pytest.mark.parametrize(
        ("rows", "y", "error", "message"),
        [
            (np.full((2, 2), np.inf), [1.0, 2.0], ValueError, "Input X contains infinity"),
            (X[:2, :1], [1.0, 2.0], ValueError, "X has 1 features"),
            (X[:2], [1.0, np.nan], ValueError, "Input y contains NaN"),
            (X[:2], ["a", "b"], ValueError, "Targets y must be numbers|dtype='numeric'"),
        ],
        ids=["infinite", "narrow", "missing", "strings"],
    )
    def test_of_rows_to_be_judged_by(self, rows, y, error, message):
        with pytest.raises(error, match=f"Of X_val, y_val and sample_weight_val: ({message})"):
            basic(NNRegressor, **QUICK).fit(X, NUMBERS, X_val=rows, y_val=y)

    def test_too_large_are_refused(self):
        with pytest.raises(ValueError, match=r"Input y contains a value beyond plus or minus 1e\+300. Divide y"):
            basic(NNRegressor, **QUICK).fit(X, SIGN * LARGEST)
        reg = basic(NNRegressor, **QUICK).partial_fit(X, NUMBERS)
        before = reg.predict(X)
        with pytest.raises(ValueError, match=r"Input y contains a value too large for dtype\('float32'\) after"):
            reg.partial_fit(X, NUMBERS * 1e40)
        assert_array_equal(reg.predict(X), before)


WEIGHTS = {
    "1e-30": np.full(ROWS, 1e-30), "1e30": np.full(ROWS, 1e30), "1e300": np.full(ROWS, 1e300),
    "float64's end": np.full(ROWS, LARGEST), "denormals": np.full(ROWS, 5e-324),
    "1e-30 to 1e30": 10.0 ** np.linspace(-30, 30, ROWS), "1e-300 to 1e300": 10.0 ** np.linspace(-300, 300, ROWS),
    "one of nearly all": np.r_[np.full(ROWS // 2, 1e30), np.full(ROWS // 2, 1e-30)],
    "one of 1e30": np.r_[1e30, np.full(ROWS - 1, 1e-30)],
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("make", BOTH)
class TestWeights:
    def test_train(self, make, name):
        for numbers in ("auto", "quantile_normal", "standard", None):
            finite(basic(make, **QUICK, preprocessing=numbers).fit(X, target(make), WEIGHTS[name]), X)

    def test_withheld(self, make, name):
        more = {"loss": Quantile(quantile=[0.1, 0.5, 0.9])} if make is NNRegressor else {"class_weight": "balanced"}
        finite(basic(make, **QUICK, early_stopping=True).fit(X, target(make), WEIGHTS[name]), X)
        finite(make(**QUICK, **more, early_stopping=True, n_members=4).fit(X, target(make), WEIGHTS[name]), X)

    def test_only_ratios_count(self, make, name):
        if len(set(WEIGHTS[name])) > 1:
            finite(basic(make, **QUICK).fit(X, target(make), WEIGHTS[name]), X)
            return
        equal = basic(make, **QUICK).fit(X, target(make), np.full(ROWS, 2.0))._raw_scores(X)
        assert_allclose(basic(make, **QUICK).fit(X, target(make), WEIGHTS[name])._raw_scores(X), equal, rtol=1e-5)


def test_weights_of_classes() -> None:
    for weights in ({0: 1e300, 1: 1e-300}, {0: LARGEST, 1: LARGEST}, {0: 5e-324, 1: 5e-324}):
        finite(basic(NNClassifier, **QUICK, class_weight=weights).fit(X, CLASSES), X)


@pytest.mark.parametrize("weight", [-1, -1e-9, np.nan, np.inf, None, "a"])
def test_weights_of_classes_that_are_none(weight) -> None:
    with pytest.raises(ValueError, match=f"class_weight must have finite numbers of at least 0. Got {weight!r} of 1"):
        basic(NNClassifier, **QUICK, class_weight={0: 1.0, 1: weight}).fit(X, CLASSES)
    several, labels = [{0: 1.0, 1: weight}] * 2, np.column_stack([CLASSES, CLASSES])
    with pytest.raises(ValueError, match="class_weight must have finite numbers"):
        basic(NNClassifier, **QUICK, class_weight=several).fit(X, labels)


@pytest.mark.parametrize("weight", [np.full(ROWS, "a"), sparse.csr_array(np.ones((ROWS, 1))), np.full(ROWS, 1j)])
@pytest.mark.parametrize("make", BOTH)
def test_weights_that_are_no_numbers(make, weight) -> None:
    with pytest.raises(ValueError, match="sample_weight must be numbers"):
        basic(make, **QUICK).fit(X, target(make), weight)


def test_weights_that_pandas_lends() -> None:
    """Such an array cannot be written to."""
    weight = pd.Series(np.ones(ROWS), dtype="Int64")
    same = basic(NNClassifier, **QUICK).fit(X, CLASSES, np.ones(ROWS)).predict_proba(X)
    assert_array_equal(basic(NNClassifier, **QUICK).fit(X, CLASSES, weight).predict_proba(X), same)


TECHNIQUES = {
    f"{module.__name__.partition('.')[2]}: {name}": module.REGISTRY[name]
    for module in (activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules)
    for name in module.names()
}


class TestTechniques:
    @pytest.mark.parametrize("name", TECHNIQUES)
    def test_numbers_that_float32_does_not_hold_are_refused(self, name):
        for own, constraints in type(TECHNIQUES[name]())._parameter_constraints.items():
            for wrong in (1e300, -1e40, 1e-40, 5e-324):
                technique = TECHNIQUES[name]()
                if not any(wrong in one for one in constraints if isinstance(one, Interval) and one.type is Real):
                    continue
                with pytest.raises(
                    InvalidParameterError, match=f"'{own}' parameter of .* Got {wrong}".replace("+", r"\+")
                ):
                    technique.set_params(**{own: wrong}).validate()

    @pytest.mark.parametrize("name", [name for name in TECHNIQUES if name.startswith("schedules")])
    def test_schedules_of_extreme_numbers(self, name):
        """A factor at each progress, or a word about the schedule; no warning."""
        progress = np.linspace(0, 1, 9)
        for own, constraints in type(TECHNIQUES[name]())._parameter_constraints.items():
            for interval in (one for one in constraints if isinstance(one, Interval)):
                for number in (1.2e-38, 3.4e38, 1 - 1e-12, 10**4):
                    schedule = TECHNIQUES[name]().set_params(**{own: number})
                    if number not in interval or own in ("warmup", "decay"):
                        continue
                    try:
                        factors = with_warmup(schedule, 5e-324, progress)
                    except ValueError as error:
                        assert f"schedule {schedule!r} must return" in str(error)  # noqa: PT017
                    else:
                        assert ((factors >= 0) & np.isfinite(factors)).all()

    @pytest.mark.parametrize("make", BOTH)
    @pytest.mark.parametrize(
        "name", ["learning_rate", "weight_decay", "gradient_clipping", "layer_rates", "mixup", "tol"]
    )
    def test_whole_numbers_beyond_float64_are_refused(self, make, name):
        with pytest.raises(
            InvalidParameterError, match=f"The '{name}' parameter must be a number of at most 1.79.* Got 10"
        ):
            basic(make, **QUICK, **{name: 10**400}).fit(X, target(make))

    @pytest.mark.parametrize(
        "settings",
        [
            {"optimizer": optimizers.ASGD(alpha=3e38)}, {"regularization": regularization.GradientNoise(gamma=3e38)},
            {"regularization": regularization.L1([1e300, 1e300])}, {"activation": activations.CELU(alpha=2e-38)},
            {"layer_rates": {"output": 1e300}}, {"initializer": initializers.Constant(value=3e38)},
            {"gradient_clipping": 1e300, "weight_decay": 1e300}, {"mixup": 1e300}, {"warmup": 5e-324},
        ],
        ids=str,
    )  # fmt: skip
    def test_train_or_diverge(self, settings):
        try:
            finite(basic(NNRegressor, **QUICK, **settings).fit(X, NUMBERS), X)
        except ValueError as error:
            assert "Training diverged" in str(error)  # noqa: PT017
