"""What ``fit`` takes for X: arrays of every type, sparse matrices, frames with all that a raw table holds."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic

from sknnopt import NNClassifier, NNRegressor

QUICK = {"hidden_layer_sizes": (16,), "max_epochs": 10, "batch_size": 32, "random_state": 0}
IRIS = load_iris(return_X_y=True)
DIGITS = tuple(part[:300] for part in load_digits(return_X_y=True))


def raw_table(n: int = 200) -> tuple[dict[str, list[object]], list[str]]:
    """Columns of every kind, each with missing values; the answer needs city, size and the day."""
    rng = np.random.RandomState(0)
    city = rng.choice(["Oslo", "Rome", "Bern"], n)
    size = rng.lognormal(3, 2, n)
    day = rng.randint(0, 3000, n)
    answer = (city == "Rome") ^ (size > 20) ^ (day > 1500)
    start = datetime.datetime(2015, 1, 1)

    def with_gaps(values: list[object], every: int) -> list[object]:
        return [None if i % every == 0 else value for i, value in enumerate(values)]

    columns = {
        "city": with_gaps(city.tolist(), 17),
        "size": with_gaps(size.tolist(), 13),
        "day": with_gaps([start + datetime.timedelta(days=int(d)) for d in day], 19),
        "flag": with_gaps((rng.rand(n) > 0.5).tolist(), 23),
        "constant": [1.0] * n,
        "count": rng.randint(0, 9, n).tolist(),
    }
    return columns, np.where(answer, "yes", "no").tolist()


class TestArrays:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int8", "uint8"])
    def test_types_give_equal_networks(self, dtype):
        X, y = DIGITS
        expected = basic(NNClassifier, **QUICK).fit(X, y).predict_proba(X)
        got = basic(NNClassifier, **QUICK).fit(X.astype(dtype), y).predict_proba(X.astype(dtype))
        assert_array_equal(got, expected)

    def test_bool(self):
        X, y = DIGITS
        X = X > 7
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        assert_array_equal(clf.predict_proba(X), clf.predict_proba(X.astype(float)))

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    @pytest.mark.parametrize("preprocessing", ["auto", None])
    def test_precision_is_that_of_weights_and_encoding(self, precision, preprocessing):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, precision=precision, preprocessing=preprocessing).fit(X, y)
        assert {str(value.dtype) for value in clf.module_.parameters()} == {f"torch.{precision}"}
        if preprocessing == "auto":
            assert clf.preprocessor_.transform(X).dtype == precision
        assert clf.predict_proba(X).dtype == np.float64

    @pytest.mark.parametrize("order", ["C", "F", "strided", "reversed"])
    def test_memory_layouts(self, order):
        X, y = IRIS
        given = {
            "C": np.ascontiguousarray(X),
            "F": np.asfortranarray(X),
            "strided": np.repeat(X, 2, axis=1)[:, ::2],
            "reversed": X[::-1][::-1],
        }[order]
        given.flags.writeable = False
        for preprocessing in ("auto", None):
            clf = basic(NNClassifier, **QUICK, preprocessing=preprocessing)
            assert_array_equal(clf.fit(given, y).predict_proba(given), clf.fit(X, y).predict_proba(X))

    @pytest.mark.parametrize("preprocessing", ["auto", None])
    def test_the_users_arrays_stay_as_they_are(self, preprocessing):
        X, y = IRIS[0].astype(np.float32), IRIS[1].astype(np.float64)
        before = X.copy(), y.copy()
        weight = np.linspace(0, 1, 150)
        basic(NNRegressor, **QUICK, preprocessing=preprocessing).fit(X, y, weight).predict(X)
        assert_array_equal(X, before[0])
        assert_array_equal(y, before[1])
        assert_array_equal(weight, np.linspace(0, 1, 150))

    def test_lists(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X.tolist(), y.tolist())
        assert_array_equal(clf.predict_proba(X.tolist()), basic(NNClassifier, **QUICK).fit(X, y).predict_proba(X))

    @pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "coo_array"])
    def test_sparse_equals_dense_without_preprocessing(self, kind):
        X, y = DIGITS
        X = X / 16
        given = getattr(sparse, kind)(X)
        settings = {**QUICK, "preprocessing": None, "early_stopping": True, "scoring": "accuracy"}
        dense, thin = basic(NNClassifier, **settings).fit(X, y), basic(NNClassifier, **settings).fit(given, y)
        assert_array_equal(thin.predict_proba(given), dense.predict_proba(X))
        assert_array_equal(thin.predict_proba(X), dense.predict_proba(X))

    def test_sparse_is_encoded_by_its_largest_values(self):
        X, y = DIGITS
        clf = basic(NNClassifier, **{**QUICK, "learning_rate": 0.01}).fit(sparse.csr_array(X), y)
        encoded = clf.preprocessor_.transform(sparse.csr_array(X))
        assert sparse.issparse(encoded)
        assert abs(encoded).max() == 1
        assert clf.score(sparse.csr_array(X), y) > 0.9

    def test_weights_and_a_split_on_sparse_rows(self):
        X, y = DIGITS
        weight = np.arange(300) % 3
        settings = {**QUICK, "early_stopping": True, "preprocessing": None}
        thin = basic(NNClassifier, **settings).fit(sparse.csr_array(X), y, weight)
        dense = basic(NNClassifier, **settings).fit(X, y, weight)
        assert_array_equal(thin.predict_proba(X), dense.predict_proba(X))


class TestFrames:
    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
    def test_numbers_are_as_in_an_array(self, frame, dtype):
        X, y = DIGITS
        names = [f"pixel {i}" for i in range(64)]
        given = frame(dict(zip(names, X.T.astype(dtype), strict=True)))
        clf = basic(NNClassifier, **QUICK).fit(given, y)
        assert clf.feature_names_in_.tolist() == names
        expected = basic(NNClassifier, **QUICK).fit(X, y)
        assert_array_equal(clf.predict_proba(given), expected.predict_proba(X))

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_raw_tables(self, make):
        columns, answers = raw_table()
        y = answers if make is NNClassifier else [len(answer) for answer in answers]
        settings = {**QUICK, "hidden_layer_sizes": (32,), "max_epochs": 60, "activation": "relu", "dropout": 0.0}
        network = basic(make, **settings, learning_rate=0.01)
        pandas, polars = pd.DataFrame(columns), pl.DataFrame(columns, strict=False)
        fitted = network.fit(pandas, y)
        assert fitted.score(pandas, y) > (0.9 if make is NNClassifier else 0.6)
        first = fitted.predict(pandas)
        second = network.fit(polars, y).predict(polars)
        assert (first == second).all() if make is NNClassifier else np.allclose(first, second)

    def test_unseen_levels_and_missing_values_in_prediction(self):
        columns, y = raw_table()
        frame = pd.DataFrame(columns)
        clf = basic(NNClassifier, **QUICK).fit(frame, y)
        new = frame.head(3).copy()
        new["city"] = ["Paris", "Oslo", None]
        new["size"] = [np.nan, np.nan, 1e30]
        assert np.isfinite(clf.predict_proba(new)).all()

    def test_categories_as_given_by_name(self):
        rng = np.random.RandomState(0)
        X = pd.DataFrame({"code": rng.randint(0, 6, 300), "noise": rng.normal(size=300)})
        y = np.array([3.0, -5.0, 9.0, 0.0, 7.0, -2.0])[X["code"]]
        settings = {**QUICK, "max_epochs": 30, "learning_rate": 0.02}
        as_category = basic(NNRegressor, **settings, categorical_features=["code"]).fit(X, y)
        assert as_category.preprocessor_.n_features_out_ == 7
        assert as_category.score(X, y) > 0.98
        assert basic(NNRegressor, **settings, categorical_features=[0]).fit(X, y).score(X, y) > 0.98

    def test_series_as_targets(self):
        X, y = IRIS
        expected = basic(NNClassifier, **QUICK, early_stopping=True).fit(X, y).predict_proba(X)
        for target in (
            pd.Series(y, index=np.arange(150)[::-1]),
            pl.Series(y),
            pd.Series(y).astype("category"),
        ):
            clf = basic(NNClassifier, **QUICK, early_stopping=True).fit(pd.DataFrame(X), target)
            assert_array_equal(clf.predict_proba(pd.DataFrame(X)), expected)

    def test_a_frame_of_targets(self):
        X, y = load_diabetes(return_X_y=True)
        frame = pd.DataFrame({"a": y, "b": -y})
        reg = basic(NNRegressor, **QUICK, early_stopping=True).fit(X, frame)
        assert_array_equal(
            reg.predict(X), basic(NNRegressor, **QUICK, early_stopping=True).fit(X, frame.to_numpy()).predict(X)
        )

    def test_the_index_does_not_matter(self):
        columns, y = raw_table()
        frame = pd.DataFrame(columns)
        settings = {**QUICK, "early_stopping": True, "scoring": "accuracy"}
        shuffled = frame.set_index(np.random.RandomState(0).permutation(len(frame)))
        clf = basic(NNClassifier, **settings)
        weight = np.arange(len(y)) % 4
        expected = clf.fit(frame, y, weight).predict_proba(frame)
        assert_array_equal(clf.fit(shuffled, y, weight).predict_proba(shuffled), expected)

    def test_columns_in_another_order_are_refused(self):
        columns, y = raw_table()
        frame = pd.DataFrame(columns)
        clf = basic(NNClassifier, **QUICK).fit(frame, y)
        with pytest.raises(ValueError, match="feature names should match"):
            clf.predict(frame[frame.columns[::-1]])


class TestPreprocessing:
    def test_unscaled_and_heavy_tailed_numbers_do_not_matter(self):
        X, y = IRIS
        settings = {**QUICK, "max_epochs": 40, "learning_rate": 0.02}
        wild = X * [1e6, 1e-6, 1, 100] + [0, 0, 1e5, -3]
        wild[0, 0] = 1e12
        assert basic(NNClassifier, **settings).fit(wild, y).score(wild, y) > 0.93
        assert basic(NNClassifier, **settings, preprocessing=None).fit(wild, y).score(wild, y) < 0.93

    def test_in_a_pipeline_after_sklearns_scaler(self):
        X, y = IRIS
        settings = {**QUICK, "max_epochs": 40, "learning_rate": 0.02}
        own = basic(NNClassifier, **settings, preprocessing=None)
        piped = make_pipeline(StandardScaler(), own).fit(X, y)
        assert piped.score(X, y) > 0.93
        scaled = StandardScaler().fit_transform(X)
        assert_array_equal(piped.predict_proba(X), own.fit(scaled, y).predict_proba(scaled))

    def test_a_constant_column_changes_nothing_learnt(self):
        X, y = IRIS
        wide = np.column_stack([X, np.full(150, 7.0)])
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 40, "learning_rate": 0.02}).fit(wide, y)
        moved = wide.copy()
        moved[:, 4] = -100
        assert_allclose(clf.predict_proba(moved), clf.predict_proba(wide))
