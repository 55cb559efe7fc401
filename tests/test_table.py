"""A raw table encoded: against sklearn's own encoders, and to the bit where weights are concerned."""

import datetime as dt
import pickle
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from scipy.special import ndtr
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.utils import check_consistent_length
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from sknnopt.data import ClassTarget, TableEncoder, check_weights
from sknnopt.data.categorical import MAX_CATEGORIES
from sknnopt.data.encoding import STATISTICS
from sknnopt.data.numeric import IQR_OF_NORMAL, robust_statistics, table_statistics, weighted_quantiles
from sknnopt.data.reading import read_table
from sknnopt.data.scaling import CLIP

KINDS = list(STATISTICS)

N = 101  # of the form 4k + 1, for which every definition of a quartile agrees


def smooth_clip(x):
    return x / np.sqrt(1 + (x / CLIP) ** 2)


def numbers(n=N, n_columns=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_columns)) * 10.0 ** np.arange(n_columns) + 100


def mixed_frame(n=N, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "normal": rng.normal(size=n),
            "heavy": rng.standard_cauchy(size=n),
            "count": pd.array(rng.integers(0, 50, n), dtype="Int64"),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**6, n), unit="s"),
            "town": rng.choice(["Bern", "Genf", "Zug"], n),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n), categories=["S", "M", "L", "XL"]),
            "member": rng.random(n) < 0.3,
            "constant": np.full(n, 7),
        }
    )
    frame.loc[rng.random(n) < 0.2, "count"] = pd.NA
    frame.loc[rng.random(n) < 0.2, "town"] = None
    return frame


def same_bits(one, other):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


class TestNumbers:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_equal_to_robust_scaler_and_clip(self, dtype):
        X = numbers()
        encoder = TableEncoder(dtype=dtype).fit(X)
        reference = RobustScaler(unit_variance=True).fit(X)
        np.testing.assert_allclose(encoder.center_, reference.center_, rtol=1e-14)
        np.testing.assert_allclose(encoder.scale_, reference.scale_, rtol=1e-12)
        expected = smooth_clip(reference.transform(X))
        encoded = encoder.transform(X)
        assert encoded.dtype == dtype
        assert encoded.flags.c_contiguous
        np.testing.assert_allclose(encoded, expected, rtol=1e-6 if dtype == np.float32 else 1e-12, atol=1e-7)

    def test_normal_data_have_unit_variance_before_the_clip(self):
        assert pytest.approx(norm.ppf(0.75) - norm.ppf(0.25), rel=1e-15) == IQR_OF_NORMAL
        X = numbers(100_001, 1)
        assert X.std() / TableEncoder().fit(X).scale_[0] == pytest.approx(1, abs=0.01)

    def test_missing_values_as_simple_imputer(self):
        X = numbers()
        rng = np.random.default_rng(1)
        X[rng.random(N) < 0.2, 1] = np.nan
        X[rng.random(N) < 0.2, 3] = np.nan
        encoder = TableEncoder(dtype=np.float64).fit(X)
        imputer = SimpleImputer(strategy="median").fit(X)
        np.testing.assert_array_equal(encoder.center_, imputer.statistics_)
        expected = smooth_clip((imputer.transform(X) - encoder.center_) / encoder.scale_)
        indicator = MissingIndicator().fit(X)
        encoded = encoder.transform(X)
        np.testing.assert_allclose(encoded[:, :4], expected, rtol=1e-12)
        np.testing.assert_array_equal(encoded[:, 4:], indicator.transform(X))
        np.testing.assert_array_equal(encoder.indicator_columns_, indicator.features_)

    @pytest.mark.parametrize("kind", KINDS)
    def test_missing_only_later_is_imputed_silently(self, kind):
        encoder = TableEncoder(numbers=kind).fit(numbers())
        encoded = encoder.transform([[np.nan, 100, 100, 100]])
        assert encoded.shape == (1, 4)
        assert encoded[0, 0] == 0

    @pytest.mark.parametrize("kind", KINDS)
    def test_constant_and_all_missing_columns_are_zero(self, kind):
        X = np.column_stack([np.full(N, 1e308), np.full(N, np.nan), np.arange(N)])
        encoder = TableEncoder(numbers=kind).fit(X)
        assert not encoder.transform(X)[:, :2].any()
        assert not encoder.transform([[-1e308, 5.0, 0.0]])[0, :2].any()
        np.testing.assert_array_equal(encoder.indicator_columns_, [1])

    def test_coinciding_quartiles_use_the_range(self):
        X = np.zeros((N, 1))
        X[0] = 4.0
        np.testing.assert_allclose(TableEncoder().fit(X).scale_, [2.0])

    def test_heavy_tails_are_bounded(self):
        X = np.random.default_rng(0).standard_cauchy((10_000, 2))
        X[0] = 1e308, -1e308
        encoded = TableEncoder().fit_transform(X)
        assert np.abs(encoded).max() <= CLIP
        np.testing.assert_array_equal(encoded[0], [CLIP, -CLIP])

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("magnitude", [1e-320, 1e-300, 1e300, 1.7e308])
    def test_numbers_beyond_float32(self, magnitude, kind):
        X = np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]]) * magnitude
        encoder = TableEncoder(numbers=kind).fit(X)
        assert np.isfinite(encoder.transform([[1.7e308], [-1.7e308], [5e-324]])).all()
        encoded = encoder.transform(X)
        assert np.isfinite(encoded).all()
        if kind == "robust":
            assert (np.diff(encoded[:, 0]) > 0).all() or magnitude < 1e-307
        elif kind == "quantile_normal" and magnitude < 1e308:
            np.testing.assert_allclose(encoded[:, 0], [-5.199338, norm.ppf(0.25), 0, norm.ppf(0.75), 5.199338], 1e-5)
        assert (np.diff(encoded[:, 0]) >= 0).all()

    def test_large_offset_loses_no_digits(self):
        X = 1e9 + np.arange(N, dtype=np.float64)[:, None]
        np.testing.assert_allclose(TableEncoder().fit_transform(X), TableEncoder().fit_transform(X - 1e9))

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "float16", "bool"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_other_dtypes_of_arrays(self, dtype, kind):
        X = (numbers(N, 2) % 7).astype(dtype)
        one, other = (TableEncoder(numbers=kind).fit_transform(table) for table in (X, X.astype(float)))
        np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_a_row_alone_has_the_bits_it_has_among_others(self, order, kind):
        X = np.asarray(numbers(3000, 54), order=order)
        X[::5, 2] = np.nan
        encoder = TableEncoder(numbers=kind)
        together = encoder.fit_transform(X)
        same_bits(together, np.concatenate([encoder.transform(X[i : i + 1]) for i in range(len(X))]))
        same_bits(together, encoder.transform(pd.DataFrame(X)))
        same_bits(together, TableEncoder(numbers=kind).fit_transform(X.astype(object)))

    @pytest.mark.parametrize("kind", KINDS)
    def test_infinity(self, kind):
        X = numbers()
        encoder = TableEncoder(numbers=kind).fit(X)
        for value in (np.inf, -np.inf):
            bad = X.copy()
            bad[3, 1] = value
            message = r"Input X contains infinity or a value too large for dtype\('float64'\)\."
            for call in (clone(encoder).fit, clone(encoder).fit_transform, encoder.transform):
                with pytest.raises(ValueError, match=message):
                    call(bad)
        with pytest.raises(ValueError, match="Column 'a': Input X contains infinity"):
            TableEncoder().fit(pd.DataFrame({"a": [1.0, np.inf]}))


class TestStandard:
    def test_equal_to_standard_scaler(self):
        X = np.column_stack([numbers(), np.arange(N) % 3])
        X[::7, 1] = np.nan
        rng = np.random.default_rng(2)
        for weights in (None, rng.random(N) + 0.1):
            encoder = TableEncoder(numbers="standard", dtype=np.float64).fit(X, None, weights)
            reference = StandardScaler().fit(X, sample_weight=weights)
            np.testing.assert_allclose(encoder.center_, reference.mean_, rtol=1e-13)
            np.testing.assert_allclose(encoder.scale_, reference.scale_, rtol=1e-12)
            expected = np.nan_to_num(reference.transform(X), nan=0.0)
            np.testing.assert_allclose(encoder.transform(X)[:, :5], expected, rtol=1e-11, atol=1e-13)

    def test_what_is_far_off_is_cut_far_off(self):
        encoder = TableEncoder(numbers="standard").fit(numbers())
        assert encoder.transform([[1e300, -1e300, 0, 0]])[0, :2].tolist() == [1e9, -1e9]


class TestQuantiles:
    """Against sklearn's QuantileTransformer, whose references are off by rounding where there are ties and few rows."""

    @staticmethod
    def both(X, Z):
        reference = QuantileTransformer(output_distribution="normal", subsample=None)
        reference.set_params(n_quantiles=min(1000, len(X))).fit(X)
        encoder = TableEncoder(numbers="quantile_normal", dtype=np.float64).fit(X)
        return encoder.transform(Z)[:, : X.shape[1]], reference.transform(Z)

    @pytest.mark.parametrize("n", [2, 5, 101, 1000, 1001, 3000])
    def test_equal_to_quantile_transformer(self, n):
        rng = np.random.default_rng(n)
        X, new = rng.normal(size=(n, 3)) * [1, 50, 1e6], rng.normal(size=(500, 3)) * [2, 50, 5e5]
        for Z in (X, new):
            np.testing.assert_allclose(*self.both(X, Z), rtol=1e-8, atol=1e-8)

    @pytest.mark.parametrize(("n", "off"), [(50, 0.5 / 49), (1000, 0.5 / 999), (1001, 0), (3000, 0)])
    def test_ties_have_the_mean_of_their_shares(self, n, off):
        rng = np.random.default_rng(n)
        X = np.column_stack([rng.integers(0, 6, n), rng.normal(size=n).round(1), rng.random(n) < 0.1]).astype(float)
        Z = np.column_stack([rng.integers(-1, 8, 500), rng.normal(size=500).round(2), rng.random(500)]).astype(float)
        for table in (X, Z):
            one, other = self.both(X, table)
            np.testing.assert_allclose(ndtr(one), ndtr(other), atol=off + 1e-9)

    def test_shares_of_ties_by_hand(self):
        """Ten rows at shares 0, 1/9, ...: five of 2 at 1/9 to 5/9, three of 7 at 6/9 to 8/9."""
        X = np.array([1, 2, 2, 2, 2, 2, 7, 7, 7, 9.0])[:, None]
        encoder = TableEncoder(numbers="quantile_normal", dtype=np.float64).fit(X)
        encoded = encoder.transform([[2], [7], [4.5], [1.5], [1], [9], [-5], [10]])[:, 0]
        shares = [3 / 9, 7 / 9, 5.5 / 9, 0.5 / 9, 1e-7, 1 - 1e-7, 1e-7, 1 - 1e-7]
        np.testing.assert_allclose(encoded, norm.ppf(shares), rtol=1e-7)

    def test_missing_values(self):
        X = numbers(300, 3)
        X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
        encoded, reference = self.both(X, X)
        missing = np.isnan(X)
        np.testing.assert_allclose(encoded[~missing], reference[~missing], rtol=1e-8)
        assert (encoded[missing] == 0).all()
        whole = TableEncoder(numbers="quantile_normal").fit_transform(X)
        np.testing.assert_array_equal(whole[:, 3:], missing)

    def test_its_order_is_all_that_counts(self):
        X = numbers(400, 2)
        one, other = (TableEncoder(numbers="quantile_normal").fit_transform(table) for table in (X, np.exp(X / 100)))
        np.testing.assert_allclose(one, other, atol=1e-6)

    def test_weights_that_are_no_counts_are_relative(self):
        X, weights = numbers(200, 2), np.random.default_rng(0).random(200) + 0.5
        one, other = (
            TableEncoder(numbers="quantile_normal", dtype=np.float64).fit(X, None, w).transform(X)
            for w in (weights, weights * 1e-3)
        )
        np.testing.assert_allclose(one, other, atol=1e-9)
        middle = X[:, 0].argsort()[np.cumsum(weights[X[:, 0].argsort()]).searchsorted(weights.sum() / 2)]
        assert abs(one[middle, 0]) < 0.03

    def test_center_and_scale_are_the_robust_ones(self):
        X = numbers()
        quantiles, robust = (TableEncoder(numbers=kind).fit(X) for kind in ("quantile_normal", "robust"))
        np.testing.assert_array_equal(quantiles.center_, robust.center_)
        np.testing.assert_array_equal(quantiles.scale_, robust.scale_)

    @pytest.mark.parametrize("kind", ["standard", "quantile_normal"])
    def test_sparse_tables_are_refused(self, kind):
        X = sparse.random_array((30, 4), density=0.3, format="csr", random_state=0)
        with pytest.raises(ValueError, match=f"Sparse tables are scaled by .* not by '{kind}'.* Pass a dense table"):
            TableEncoder(numbers=kind).fit(X)

    def test_an_unknown_kind(self):
        with pytest.raises(ValueError, match=r"numbers must be one of 'robust'.* Got 'qantile_normal' .*Did you mean"):
            TableEncoder(numbers="qantile_normal").fit(numbers())


class TestCategories:
    @pytest.mark.parametrize("n_levels", [2, MAX_CATEGORIES, MAX_CATEGORIES + 1, 300])
    def test_equal_to_one_hot_encoder(self, n_levels):
        rng = np.random.default_rng(0)
        town = rng.permutation(np.concatenate([np.arange(n_levels), rng.integers(0, n_levels, 1000)]))
        frame = pd.DataFrame({"town": [f"t{i:03}" for i in town]})
        reference = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MAX_CATEGORIES,
            sparse_output=False,
            dtype=np.float32,
        ).fit(frame)
        encoder = TableEncoder()
        same_bits(encoder.fit_transform(frame), reference.transform(frame))
        unseen = pd.DataFrame({"town": ["t001", "unseen", None]})
        same_bits(encoder.transform(unseen), reference.transform(unseen))
        assert encoder.categories_[0].tolist() == reference.categories_[0].tolist()
        assert encoder.get_feature_names_out().tolist() == reference.get_feature_names_out().tolist()

    def test_missing_is_a_level_if_seen(self):
        encoder = TableEncoder().fit(pd.DataFrame({"a": ["x", None, "y"]}))
        np.testing.assert_array_equal(
            encoder.transform(pd.DataFrame({"a": [None, "z", "x"]})), [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
        )
        encoder = TableEncoder().fit(pd.DataFrame({"a": ["x", "y"]}))
        assert not encoder.transform(pd.DataFrame({"a": [None]}, dtype="str")).any()

    @pytest.mark.parametrize(
        "nothing",
        [
            pd.DataFrame({"a": pd.Series([None, None], dtype=object)}),
            pd.DataFrame({"a": pd.Series([np.nan, pd.NaT], dtype=object)}),
            pd.DataFrame({"a": pd.Series([None, None], dtype=pd.ArrowDtype(pa.null()))}),
            pl.DataFrame({"a": [None, None]}),
            pl.DataFrame({"a": pl.Series([None, None], dtype=pl.Object)}),
            np.array([[None], [None]], dtype=object),
            [[None], [None]],
        ],
        ids=lambda table: type(table).__module__,
    )
    def test_an_untyped_column_without_any_value_is_a_category(self, nothing):
        encoder = TableEncoder()
        assert encoder.fit_transform(nothing).tolist() == [[1], [1]]
        assert encoder.categorical_columns_.tolist() == [0]
        make = type(nothing) if hasattr(nothing, "columns") else None
        for values in (["x", None], [2.5, None], [dt.date(2024, 1, 1), None]):
            later = make({"a": values}) if make else [[value] for value in values]
            assert encoder.transform(later).tolist() == [[0], [1]]

    def test_a_typed_column_without_any_value_is_of_numbers(self):
        for frame in (pd.DataFrame({"a": [np.nan, np.nan]}), pl.DataFrame({"a": [None, None]}, schema={"a": pl.Int8})):
            assert TableEncoder().fit(frame).numeric_columns_.tolist() == [0]

    def test_only_levels_present_count(self):
        a = pd.Categorical(["x", "y", "x"], categories=["y", "x", "z"])
        encoder = TableEncoder().fit(pd.DataFrame({"a": a}), None, [1, 0, 1])
        assert [one.tolist() for one in encoder.categories_] == [["x"]]

    @pytest.mark.parametrize(
        "values",
        [
            pd.Series(["a", None, "b"]),
            pd.Series(["a", None, "b"], dtype="string"),
            pd.Series(["a", None, "b"], dtype="category"),
            pd.Series(["a", np.nan, "b"], dtype=object),
            pd.Series(["a", pd.NA, "b"], dtype=object),
            pd.Series(["a", None, "b"], dtype=pd.ArrowDtype(pa.string())),
            pd.Series(["a", None, "b"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
            pl.Series(["a", None, "b"]),
            pl.Series(["a", None, "b"], dtype=pl.Categorical),
            pl.Series(["a", None, "b"], dtype=pl.Enum(["a", "b", "c"])),
            np.array(["a", None, "b"], dtype=object),
        ],
        ids=lambda values: f"{type(values).__module__.split('.')[0]}-{values.dtype}",
    )
    def test_every_kind_of_string_column(self, values):
        X = values[:, None] if isinstance(values, np.ndarray) else values.to_frame("c")
        encoder = TableEncoder()
        np.testing.assert_array_equal(encoder.fit_transform(X), [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
        again = np.array([["b"], [None], ["d"]], dtype=object)
        again = again if isinstance(X, np.ndarray) else type(X)({"c": again[:, 0].tolist()})
        np.testing.assert_array_equal(encoder.transform(again), [[0, 1, 0], [0, 0, 1], [0, 0, 0]])

    @pytest.mark.parametrize(
        "values",
        [
            pd.Series([True, False, None], dtype="boolean"),
            pd.Series([True, False, None], dtype=object),
            pd.Series([True, False, None], dtype=pd.ArrowDtype(pa.bool_())),
            pl.Series([True, False, None]),
        ],
        ids=lambda values: f"{type(values).__module__.split('.')[0]}-{values.dtype}",
    )
    def test_bool_columns(self, values):
        encoder = TableEncoder()
        np.testing.assert_array_equal(encoder.fit_transform(values.to_frame("b")), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
        assert encoder.get_feature_names_out().tolist() == ["b_False", "b_True", "b_nan"]

    def test_strings_in_arrays_and_lists(self):
        rows = [["a", 1], ["b", 2], ["a", 3]]
        expected = [[-1.0, 1, 0], [0, 0, 1], [1, 1, 0]]
        for X in (rows, np.array(rows, dtype=object)):
            assert np.sign(TableEncoder().fit_transform(X)).tolist() == expected
        assert TableEncoder().fit_transform(np.array(rows)).shape == (3, 5)  # numpy made all of it strings

    def test_mixed_levels_name_their_column(self):
        with pytest.raises(TypeError, match=r"Column 'zip': .*uniformly strings or numbers"):
            TableEncoder().fit(pd.DataFrame({"zip": pd.Series([8000, "8001"], dtype=object)}))


class TestColumnKinds:
    @pytest.mark.parametrize("marked", [False, True])
    def test_in_an_object_column_of_numbers_anything_else_is_missing(self, marked):
        train = [1, 2.5, None if marked else 3, 7]
        odd = ["x", [1], {}, 1j]
        tables = {
            "pandas": lambda values: pd.DataFrame({"n": pd.Series(values, dtype=object)}),
            "polars": lambda values: pl.DataFrame({"n": pl.Series(values, dtype=pl.Object)}),
            "array": lambda values: pd.Series(values, dtype=object).to_numpy()[:, None],
        }
        for table in tables.values():
            encoder = TableEncoder().fit(table(train))
            assert encoder.numeric_columns_.tolist() == [0]
            for value in odd:
                same_bits(encoder.transform(table([value, 2.5])), encoder.transform(table([None, 2.5])))
        encoder = TableEncoder().fit(tables["pandas"](train))
        same_bits(encoder.transform(pd.DataFrame({"n": ["x"]})), encoder.transform(pd.DataFrame({"n": [np.nan]})))

    def test_in_an_object_column_of_dates_a_string_is_missing(self):
        frame = pd.DataFrame({"t": pd.Series([dt.date(2024, 1, 1), dt.date(2024, 3, 1)], dtype=object)})
        encoder = TableEncoder().fit(frame)
        frame.iloc[0] = "soon"
        assert np.sign(encoder.transform(frame)).tolist() == [[0], [1]]

    def test_a_string_in_a_row_of_weight_zero_is_as_that_row_removed(self):
        frame = pd.DataFrame({"n": pd.Series([1, 2.5, 7, "x"], dtype=object)})
        encoder = TableEncoder()
        encoded = encoder.fit_transform(frame, None, [1, 1, 1, 0])
        same_bits(encoded[:3], TableEncoder().fit_transform(frame[:3]))
        same_bits(encoded, encoder.transform(frame))

    def test_in_a_column_of_a_numeric_type_a_string_is_an_error(self):
        for frame in (pd.DataFrame({"n": [1.0, 2.0]}), pl.DataFrame({"n": [1.0, 2.0]})):
            with pytest.raises(ValueError, match="Column 'n': could not convert string to float"):
                TableEncoder().fit(frame).transform(type(frame)({"n": ["x", "y"]}))

    @pytest.mark.parametrize(
        "values",
        [
            pd.Series([1, None, 3], dtype="Int64"),
            pd.Series([1, None, 3], dtype="Float32"),
            pd.Series([1, None, 3], dtype=pd.ArrowDtype(pa.int64())),
            pd.Series([None, Decimal(1), Decimal(3)], dtype=pd.ArrowDtype(pa.decimal128(5, 2))).iloc[[1, 0, 2]],
            pd.Series([1, None, 3], dtype=pd.SparseDtype(float, np.nan)),
            pd.Series([1, None, 3.0], dtype=object),
            pd.Series([Decimal(1), pd.NA, Decimal(3)], dtype=object),
            pl.Series([1, None, 3]),
            pl.Series([1, None, 3.0], dtype=pl.Float32),
            pl.Series([Decimal(1), None, Decimal(3)]),
        ],
        ids=lambda values: f"{type(values).__module__.split('.')[0]}-{values.dtype}",
    )
    def test_numbers_of_every_dtype(self, values):
        expected = TableEncoder().fit_transform(np.array([[1.0], [np.nan], [3.0]]))
        encoder = TableEncoder()
        same_bits(encoder.fit_transform(values.to_frame("n")), expected)
        same_bits(encoder.transform(values.to_frame("n")), expected)

    @pytest.mark.parametrize(
        ("one", "none", "other"),
        [
            (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None, dt.datetime(2024, 3, 1, tzinfo=dt.UTC)),
            (dt.datetime(2024, 1, 1), None, dt.datetime(2024, 3, 1)),
            (dt.date(2024, 1, 1), None, dt.date(2024, 3, 1)),
            (dt.timedelta(days=1), None, dt.timedelta(days=61)),
        ],
        ids=["aware", "naive", "date", "duration"],
    )
    def test_times_are_seconds(self, one, none, other):
        values = [one, none, other]
        tables = [
            pd.DataFrame({"t": pd.Series(values, dtype=object)}),
            pd.DataFrame({"t": pd.Series(values, dtype=pd.ArrowDtype(pa.array(values).type))}),
            pl.DataFrame({"t": values}),
            np.array(values, dtype=object)[:, None],
            [[value] for value in values],
        ]
        if type(one) is not dt.date:
            tables.append(pd.DataFrame({"t": pd.Series(values)}))
        if getattr(one, "tzinfo", None) is None:
            kind = "timedelta64[s]" if isinstance(one, dt.timedelta) else "datetime64[s]"
            tables.append(np.array(values, dtype=kind)[:, None])
        for table in tables:
            encoder = TableEncoder()
            encoded = encoder.fit_transform(table)
            assert encoder.scale_[0] == pytest.approx(60 * 86400 / IQR_OF_NORMAL)
            assert np.sign(encoded).tolist() == [[-1, 0], [0, 1], [1, 0]]

    def test_times_keep_their_digits(self):
        when = pd.Timestamp("2024-06-01") + pd.to_timedelta(np.arange(N), unit="us")
        for frame in (pd.DataFrame({"t": when}), pl.DataFrame({"t": when.to_numpy()})):
            encoded = TableEncoder().fit_transform(frame)
            np.testing.assert_allclose(encoded, TableEncoder().fit_transform(np.arange(N)[:, None]), atol=0.02)
            assert len(np.unique(encoded)) == N

    @pytest.mark.parametrize(
        "values",
        [
            pd.Series([1j, 2]),
            pd.Series(pd.period_range("2024", periods=2)),
            pd.Series(pd.interval_range(0, 2)),
            pd.Series([[1], [2]]),
            pd.Series([{"a": 1}, {"b": 2}]),
            pd.Series([(1, 2), (3, 4)]),
            pl.Series([[1], [2]]),
            pl.Series([{"a": 1}, {"a": 2}]),
            pl.Series([b"a", b"b"]),
        ],
        ids=lambda values: f"{type(values).__module__.split('.')[0]}-{values.dtype}",
    )
    def test_any_other_column_is_named(self, values):
        frame = type(values)([1.0, 2.0]).to_frame("fine")
        frame = frame.assign(odd=values) if isinstance(frame, pd.DataFrame) else frame.with_columns(odd=values)
        with pytest.raises(TypeError, match="Column 'odd': "):
            TableEncoder().fit(frame)
        with pytest.raises((TypeError, ValueError), match="Column 'odd': "):
            TableEncoder(categorical_features=None).fit(frame)

    def test_kinds_and_names_of_a_mixed_frame(self):
        frame = mixed_frame()
        encoder = TableEncoder().fit(frame)
        assert frame.columns[encoder.numeric_columns_].tolist() == [
            "normal",
            "heavy",
            "count",
            "when",
            "constant",
        ]
        assert frame.columns[encoder.categorical_columns_].tolist() == ["town", "size", "member"]
        assert encoder.get_feature_names_out()[5:].tolist() == [
            *("missingindicator_count", "town_Bern", "town_Genf", "town_Zug", "town_nan"),
            *("size_L", "size_M", "size_S", "member_False", "member_True"),
        ]
        assert len(encoder.get_feature_names_out()) == encoder.n_features_out_ == encoder.transform(frame).shape[1]

    def test_pandas_polars_and_objects_agree_to_the_bit(self):
        frame = mixed_frame()
        encoded = TableEncoder().fit_transform(frame)
        same_bits(encoded, TableEncoder().fit(frame).transform(frame))
        same_bits(encoded, TableEncoder().fit_transform(pl.from_pandas(frame)))
        same_bits(encoded, TableEncoder().fit_transform(frame.to_numpy(dtype=object)))
        same_bits(encoded, TableEncoder().fit(frame.iloc[::-1]).transform(frame))


class TestCategoricalFeatures:
    frame = pd.DataFrame({"a": [1, 2, 1], "b": ["x", "y", "x"], "c": [0.5, np.nan, 0.5]})

    @pytest.mark.parametrize("features", [["a", "b"], [0, 1], [True, True, False], np.array([0, 1])])
    def test_named_indexed_or_masked(self, features):
        encoder = TableEncoder(categorical_features=features).fit(self.frame)
        assert [one.tolist() for one in encoder.categories_] == [[1, 2], ["x", "y"]]
        assert encoder.get_feature_names_out().tolist() == [
            *("c", "missingindicator_c", "a_1", "a_2", "b_x", "b_y"),
        ]

    def test_numbers_as_categories_in_an_array(self):
        X = np.array([[0.0, 3], [1, 5], [np.nan, 3]])
        encoder = TableEncoder(categorical_features=[0])
        encoded = encoder.fit_transform(X)
        np.testing.assert_array_equal(encoded[:, 1:], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        same_bits(encoded, encoder.transform(X))
        same_bits(encoded[:2], encoder.transform(X[:2].astype(int)))
        same_bits(encoded, encoder.transform(sparse.csr_array(X)))

    def test_none_takes_numbers_only(self):
        with pytest.raises(ValueError, match="Column 'b': could not convert string to float: 'x'"):
            TableEncoder(categorical_features=None).fit(self.frame)
        frame = pd.DataFrame({"a": [True, False, True], "b": pd.Categorical([3, 1, 2])})
        np.testing.assert_array_equal(
            TableEncoder(categorical_features=None).fit_transform(frame),
            TableEncoder().fit_transform(np.array([[1, 3], [0, 1], [1, 2]])),
        )
        assert len(TableEncoder(categorical_features=[]).fit(frame).categorical_columns_) == 0

    @pytest.mark.parametrize(
        ("features", "message"),
        [
            ([0.5], "must be 'from_dtype', None, or an array-like of bool, int or str"),
            (
                np.array(["a", 1], dtype=object),
                "must be 'from_dtype', None, or an array-like of bool, int or str",
            ),
            ("auto", "must be 'from_dtype', None, or an array-like of bool, int or str"),
            ([3], r"integer indices must be in \[0, n_features - 1\]"),
            ([-1], r"integer indices must be in \[0, n_features - 1\]"),
            ([True], r"boolean mask must have shape \(n_features,\), got: \(1,\)"),
            (["z"], "'z' which is not a valid feature name of the training data"),
        ],
    )
    def test_errors(self, features, message):
        with pytest.raises(ValueError, match=message):
            TableEncoder(categorical_features=features).fit(self.frame)

    def test_names_need_a_frame(self):
        with pytest.raises(ValueError, match="on data without feature names"):
            TableEncoder(categorical_features=["a"]).fit(np.ones((2, 2)))
        with pytest.raises(ValueError, match="A sparse table can have no categorical_features"):
            TableEncoder(categorical_features=[0]).fit(sparse.csr_array(np.ones((2, 2))))


def thinned(values):
    """The same with seven tenths of the entries zero, sparse."""
    return sparse.coo_array(np.where(np.random.default_rng(1).random(values.shape) < 0.3, values, 0.0))


class TestSparse:
    @pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
    def test_equal_to_max_abs_scaler(self, container):
        X = container(thinned(np.random.default_rng(0).normal(size=(50, 6))))
        before = X.toarray()
        encoder = TableEncoder()
        encoded = encoder.fit_transform(X)
        assert encoded.format == "csr"
        assert encoded.dtype == np.float32
        assert encoded.nnz == X.nnz
        np.testing.assert_allclose(encoded.toarray(), MaxAbsScaler().fit_transform(before), rtol=1e-6)
        np.testing.assert_array_equal(X.toarray(), before)
        same_bits(encoder.transform(before), encoded.toarray())

    def test_stored_nan(self):
        X = sparse.csr_array(np.array([[0.0, 4, 0], [np.nan, 0, 0], [2, 1, 0]]))
        encoded = TableEncoder().fit_transform(X)
        assert encoded.nnz == 5
        np.testing.assert_array_equal(encoded.toarray(), [[0, 1, 0, 0], [0, 0, 0, 1], [1, 0.25, 0, 0]])

    def test_weights_and_infinity(self):
        X = sparse.csr_array(np.array([[8.0, 0], [2, 4]]))
        np.testing.assert_array_equal(TableEncoder().fit(X, None, [0, 1]).scale_, [2, 4])
        encoder = TableEncoder().fit(X)
        for value in (np.inf, 1e300):
            with pytest.raises(ValueError, match="Input X contains infinity or a value too large"):
                encoder.transform(X * value)
        with pytest.raises(ValueError, match="Input X contains infinity"):
            TableEncoder().fit(sparse.csr_array([[np.inf]]))

    def test_dense_then_sparse(self):
        X = numbers()
        encoder = TableEncoder().fit(X)
        same_bits(encoder.transform(X), encoder.transform(sparse.csr_array(X)))


def tables(n=N):
    frame = mixed_frame(n)
    array = numbers(n)
    array[::7, 1] = np.nan
    return {"pandas": frame, "polars": pl.from_pandas(frame), "float64": array, "float32": array.astype("f4")}


def take(table, rows):
    return table.iloc[rows] if isinstance(table, pd.DataFrame) else table[rows]


def encoder(kind):
    return TableEncoder(numbers=kind)


def same_encoder(one, other, table):
    for name in ("center_", "scale_", "numeric_columns_", "categorical_columns_", "indicator_columns_"):
        same_bits(getattr(one, name), getattr(other, name))
    assert str(one.categories_) == str(other.categories_)
    same_bits(one.transform(table), other.transform(table))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", tables())
class TestWeights:
    def test_zero_is_the_row_removed(self, name, kind):
        table, rng = tables()[name], np.random.default_rng(0)
        weights = rng.random(N) * (rng.random(N) < 0.6)
        rows = np.flatnonzero(weights)
        fitted = encoder(kind).fit(table, None, weights)
        same_encoder(fitted, encoder(kind).fit(take(table, rows), None, weights[rows]), table)
        same_bits(fitted.transform(table), encoder(kind).fit_transform(table, None, weights))

    def test_an_integer_is_the_row_repeated(self, name, kind):
        table, weights = tables()[name], np.random.default_rng(0).integers(0, 4, N)
        repeated = take(table, np.repeat(np.arange(N), weights))
        same_encoder(encoder(kind).fit(table, None, weights), encoder(kind).fit(repeated), table)

    @pytest.mark.parametrize("times", [2, 3])
    def test_equal_integers_are_the_table_repeated(self, name, kind, times):
        table = tables()[name]
        repeated = take(table, np.tile(np.arange(N), times))
        weights = np.full(N, times)
        same_encoder(encoder(kind).fit(table, None, weights), encoder(kind).fit(repeated), table)

    def test_equal_weights_are_no_weights(self, name, kind):
        table = tables()[name]
        same_encoder(encoder(kind).fit(table, None, np.full(N, 0.1)), encoder(kind).fit(table), table)

    def test_only_the_given_rows_are_seen(self, name, kind):
        table = tables()[name]
        train = take(table, np.arange(60))
        fitted = encoder(kind).fit(train)
        before = fitted.transform(train)
        fitted.transform(table)
        same_bits(before, fitted.transform(train))
        same_bits(before, fitted.transform(table)[:60])


def test_rarest_levels_are_those_of_least_weight():
    n = MAX_CATEGORIES + 1
    frame = pd.DataFrame({"a": [f"l{i:03}" for i in range(n)]})
    weights = np.full(n, 5.0)
    weights[[3, 8]] = 1
    encoder = TableEncoder().fit(frame, None, weights)
    encoded = encoder.transform(frame)
    assert np.flatnonzero(encoded[:, -1]).tolist() == [3, 8]
    assert encoder.n_features_out_ == MAX_CATEGORIES


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles(n, weighted):
    rng = np.random.default_rng(n)
    values = rng.integers(0, 10, n).astype(float)
    weights = rng.integers(1, 5, n).astype(float) if weighted else None
    repeated = np.repeat(values, weights.astype(int)) if weighted else values
    expected = np.quantile(repeated, [0.25, 0.5, 0.75], method="averaged_inverted_cdf")
    np.testing.assert_array_equal(weighted_quantiles(values, (0.25, 0.5, 0.75), weights), expected)


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("kind", ["float32", "float64", "pandas"])
def test_peak_memory(kind, how):
    n, n_columns = 100_000, 54
    X = np.random.default_rng(0).standard_normal((n, n_columns)).astype("f4" if kind == "float32" else "f8")
    X[::3, 5] = np.nan
    if kind == "pandas":
        X = pd.DataFrame(X)
    TableEncoder(numbers=how).fit_transform(X[:10])
    tracemalloc.start()
    try:
        encoded = TableEncoder(numbers=how).fit_transform(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < encoded.nbytes + 6e6


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_and_clone(kind):
    frame = mixed_frame()
    encoder = TableEncoder(numbers=kind).fit(frame)
    same_bits(pickle.loads(pickle.dumps(encoder)).transform(frame), encoder.transform(frame))
    assert clone(TableEncoder(dtype=np.float64)).dtype == np.float64


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones(3), ValueError, "Expected 2D array, got 1D array instead"),
        (pd.Series([1.0]), ValueError, "Expected a 2-dimensional container"),
        (np.ones((2, 2, 2)), ValueError, "dim <= 2 is required"),
        (np.empty((0, 3)), ValueError, r"Found array with 0 sample\(s\) \(shape=\(0, 3\)\)"),
        (np.empty((3, 0)), ValueError, r"Found array with 0 feature\(s\) \(shape=\(3, 0\)\)"),
        (pd.DataFrame({"a": []}), ValueError, r"Found array with 0 sample\(s\) \(shape=\(0, 1\)\)"),
        (pd.DataFrame(index=[0]), ValueError, r"0 feature\(s\) \(shape=\(1, 0\)\) while a minimum of 1"),
        (pl.DataFrame({"a": []}), ValueError, r"Found array with 0 sample\(s\)"),
        (np.ones((2, 2)) * 1j, ValueError, "Complex data not supported"),
        (np.array([[{"a": 1}], [2.0]]), TypeError, "argument must be .* string.* number"),
        (pl.DataFrame({"a": [1.0]}).lazy(), TypeError, r"LazyFrame .*Call \.collect\(\)"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), ValueError, "unique column names, got:\n- 'a' 2 times"),
    ],
    ids=str,
)
def test_bad_tables_get_sklearns_messages(X, error, message):
    with pytest.raises(error, match=message):
        TableEncoder().fit(X)


def test_bad_tables_in_transform():
    encoder = TableEncoder().fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="X has 3 features, but TableEncoder is expecting 2 features"):
        encoder.transform(np.ones((3, 3)))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        encoder.transform(np.ones(2))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        encoder.transform(np.ones((0, 2)))
    with pytest.raises(ValueError, match="Column 1: could not convert string to float: 'a'"):
        encoder.transform([[1, "a"]])
    with pytest.raises(ValueError, match="feature names"):
        TableEncoder().fit(pd.DataFrame({"a": [1], "b": [2]})).transform(pd.DataFrame({"b": [1], "a": [2]}))


class Handing(ClassifierMixin, BaseEstimator):
    """A classifier that hands its table and target on as the package's estimators do."""

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y, skip_check_array=True)
        check_consistent_length(X, y)
        weights = check_weights(sample_weight, X)
        encoded = TableEncoder().fit_transform(X, None, weights)
        self.encoder_ = TableEncoder().fit(X, None, weights)
        same_bits(*(one.toarray() if sparse.issparse(one) else one for one in (encoded, self.encoder_.transform(X))))
        self.target_ = ClassTarget().fit(y, weights)
        self.classes_ = self.target_.classes_
        self.model_ = DummyClassifier().fit(encoded, self.target_.encode(y, weights), weights)
        return self

    def predict(self, X):
        probability = self.predict_proba(X)
        return self.target_.decode(probability)

    def predict_proba(self, X):
        check_is_fitted(self)
        read_table(X)
        X = validate_data(self, X, reset=False, skip_check_array=True)
        return self.model_.predict_proba(self.encoder_.transform(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = TableEncoder().__sklearn_tags__().input_tags
        tags.classifier_tags.poor_score = True
        return tags


@parametrize_with_checks([Handing(), *(TableEncoder(numbers=kind) for kind in KINDS)])
def test_sklearn_checks(estimator, check):
    check(estimator)


STATISTICS_OF = {
    "float64": np.random.default_rng(0).normal(size=(1001, 7)),
    "ties": np.random.default_rng(1).integers(0, 3, (40, 5)).astype(np.float32),
    "big int": np.random.default_rng(2).integers(-(2**62), 2**62, (100, 3)),
    "uint64": np.random.default_rng(3).integers(0, 2**63, (50, 2)).astype(np.uint64),
    "bool": np.random.default_rng(4).random((30, 4)) > 0.5,
    "missing": np.where(np.random.default_rng(5).random((60, 4)) < 0.2, np.nan, 1.5 * np.arange(240.0).reshape(60, 4)),
    "tiny": np.array([[0.0, -0.0, 1e308], [5e-324, 0.0, -1e308]]),
    "one row": np.array([[1.0, 2.0]]),
    "many rows": np.random.default_rng(6).normal(size=(70000, 2)),
}


@pytest.mark.parametrize("X", STATISTICS_OF.values(), ids=STATISTICS_OF.keys())
def test_the_columns_of_a_table_are_as_each_by_itself(X):
    rows = np.arange(len(X)) % 3 < 2
    weights = np.arange(1.0, rows.sum() + 1)
    assert table_statistics(X) == [robust_statistics(column) for column in X.T]
    assert table_statistics(X, rows) == [robust_statistics(column[rows]) for column in X.T]
    assert table_statistics(X, rows, weights) == [robust_statistics(column[rows], weights) for column in X.T]


def test_an_infinite_value_in_a_table_is_an_error_of_its_own():
    with pytest.raises(ValueError, match="Input X contains infinity or a value too large for dtype"):
        table_statistics(np.array([[1.0, np.inf], [2.0, -np.inf]]))
