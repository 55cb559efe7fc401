"""Targets encoded and decoded, and what each row counts for: against sklearn's own classes."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import load_diabetes
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.utils import check_consistent_length
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data
from support import basic

from sknnopt import NNRegressor
from sknnopt.data import ClassTarget, RegressionTarget, TableEncoder, check_weights

LABELS = {
    "int": np.array([3, 1, 3, 7]),
    "negative": np.array([-1, 1, 1, -1]),
    "float": np.array([0.0, 1.0, 2.0, 1.0]),
    "bool": np.array([True, False, True, True]),
    "str": np.array(["b", "a", "c", "a"]),
    "object": np.array(["b", "a", "c", "a"], dtype=object),
    "list": ["b", "a", "c", "a"],
    "pandas int": pd.Series([3, 1, 3, 7], index=[9, 8, 7, 6]),
    "pandas Int64": pd.Series([3, 1, 3, 7], dtype="Int64"),
    "pandas str": pd.Series(["b", "a", "c", "a"]),
    "pandas category": pd.Series(["b", "a", "c", "a"], dtype="category"),
    "polars int": pl.Series([3, 1, 3, 7]),
    "polars str": pl.Series(["b", "a", "c", "a"]),
}


class TestClasses:
    @pytest.mark.parametrize("y", LABELS.values(), ids=LABELS.keys())
    def test_equal_to_sklearn(self, y):
        target = ClassTarget().fit(y)
        reference = LogisticRegression().fit(np.eye(4), y)
        np.testing.assert_array_equal(target.classes_, reference.classes_)
        assert target.classes_.dtype == reference.classes_.dtype
        assert target.kind == ("binary" if len(reference.classes_) == 2 else "multiclass")
        assert target.n_outputs_ == len(reference.classes_)
        codes = target.encode(y)
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(codes, LabelEncoder().fit_transform(np.asarray(y)))
        decoded = target.decode(np.eye(target.n_outputs_)[codes])
        np.testing.assert_array_equal(decoded, np.asarray(y))
        assert decoded.dtype == reference.predict(np.eye(4)).dtype

    def test_column_vector_warns(self):
        y = np.array([[0], [1], [0]])
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
            target = ClassTarget().fit(y)
        assert target.kind == "binary"

    def test_encoding_does_not_warn_again(self):
        target = ClassTarget().fit([0, 1, 0])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert target.encode(np.array([[0], [1]])).tolist() == [0, 1]

    @pytest.mark.parametrize("y", [["a", "c"], [None, "a"]])
    def test_unseen_labels(self, y):
        target = ClassTarget().fit(["a", "b"])
        with pytest.raises(ValueError, match=r"y contains previously unseen labels|Input y contains None"):
            target.encode(y)

    def test_weight_of_zero_is_the_row_removed(self):
        y, weights = np.array(["a", "b", "c", "a"]), np.array([1.0, 2.0, 0.0, 1.0])
        target = ClassTarget().fit(y, weights)
        assert target.classes_.tolist() == ["a", "b"]
        assert target.encode(y, weights).tolist() == [0, 1, 0, 0]
        with pytest.raises(ValueError, match="unseen labels"):
            target.encode(y)

    def test_given_classes(self):
        target = ClassTarget().fit(["b", "b"], classes=["c", "a", "b"])
        assert target.kind == "multiclass"
        assert target.encode(["b", "c"]).tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ([1, 1, 1], "at least 2 classes; got 1 class"),
            ([0.1, 0.5, 2.3], "Unknown label type: continuous"),
            (np.array([1, 2, 3], dtype=object), "Unknown label type: unknown"),
            ([[0.1, 0.5], [1.5, 2.5]], "Unknown label type: continuous-multioutput"),
            ([[1, 2], [3, 4]], "multiclass-multioutput.*MultiOutputClassifier"),
            ([0.0, np.nan], "Input y contains NaN"),
            ([0.0, np.inf], "Input y contains infinity"),
            (np.array(["a", None], dtype=object), "Input y contains None"),
            (np.array(["a", np.nan], dtype=object), "Input.* contains NaN"),
            ([[-1, 1], [1, -1]], "must hold 0 and 1 only"),
        ],
        ids=str,
    )
    def test_errors(self, y, message):
        with pytest.raises(ValueError, match=message):
            ClassTarget().fit(y)

    def test_one_class_after_weighting(self):
        with pytest.raises(ValueError, match="got 1 class in the rows with a sample_weight above zero"):
            ClassTarget().fit([0, 1, 0], np.array([1.0, 0.0, 1.0]))


class TestLabels:
    y = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0]])

    @pytest.mark.parametrize("kind", [int, float, bool, "frame", sparse.csr_array, sparse.csr_matrix, sparse.csc_array])
    def test_equal_to_sklearn(self, kind):
        if kind == "frame":
            y = pd.DataFrame(self.y)
        else:
            y = self.y.astype(kind) if kind in (int, float, bool) else kind(self.y)
        target = ClassTarget().fit(y)
        assert (target.kind, target.n_outputs_) == ("multilabel", 3)
        encoded = target.encode(y)
        assert encoded.dtype == np.float32
        np.testing.assert_array_equal(encoded, self.y)
        reference = MLPClassifier(max_iter=1, solver="adam")
        with pytest.warns(UserWarning, match="Maximum iterations"):
            reference.fit(np.eye(3), y)
        np.testing.assert_array_equal(target.classes_, reference.classes_)
        decoded, expected = target.decode(self.y * 0.8 + 0.1), reference.predict(np.eye(3))
        assert sparse.issparse(decoded) == sparse.issparse(expected)
        assert decoded.dtype.kind == expected.dtype.kind == "i"
        np.testing.assert_array_equal(decoded.toarray() if sparse.issparse(decoded) else decoded, self.y)

    def test_shape_must_stay(self):
        target = ClassTarget().fit(self.y)
        for y in (self.y[:, :2], [0, 1, 0]):
            with pytest.raises(ValueError, match="seen in fit were multilabel with 3 labels"):
                target.encode(y)
        with pytest.raises(ValueError, match="seen in fit were binary with 2 classes"):
            ClassTarget().fit([0, 1]).encode(self.y)


class TestRegression:
    @pytest.mark.parametrize("shape", [(50,), (50, 3)])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_equal_to_standard_scaler(self, shape, weighted):
        rng = np.random.default_rng(0)
        y = rng.normal(size=shape) * 1e3 + 1e6
        weights = rng.random(50) if weighted else None
        target = RegressionTarget(scale="standard").fit(y, weights)
        reference = StandardScaler().fit(y.reshape(50, -1), sample_weight=weights)
        np.testing.assert_allclose(target.mean_, reference.mean_, rtol=1e-12)
        np.testing.assert_allclose(target.scale_, reference.scale_, rtol=1e-9)
        encoded = target.encode(y)
        assert encoded.dtype == np.float32
        assert encoded.shape == (50, y.size // 50)
        np.testing.assert_allclose(encoded, reference.transform(y.reshape(50, -1)), rtol=1e-6, atol=1e-6)
        decoded = target.decode(encoded)
        assert decoded.dtype == np.float64
        np.testing.assert_allclose(decoded, y, rtol=1e-7)

    def test_unscaled(self):
        target = RegressionTarget(scale=None, dtype=np.float64).fit([3, 5])
        assert target.encode([3, 5]).tolist() == [[3.0], [5.0]]
        assert target.decode(np.array([[4.5]])).tolist() == [4.5]

    @pytest.mark.parametrize("weighted", [False, True])
    def test_scaled_by_the_mean(self, weighted):
        rng = np.random.default_rng(0)
        y, weights = rng.poisson(3.0, size=(50, 2)) * [1.0, 1e4], rng.random(50) if weighted else None
        target = RegressionTarget(scale="mean", dtype=np.float64).fit(y, weights)
        np.testing.assert_array_equal(target.mean_, [0, 0])
        np.testing.assert_allclose(target.scale_, np.average(y, axis=0, weights=weights), rtol=1e-12)
        np.testing.assert_allclose(target.encode(y), y / target.scale_)
        np.testing.assert_allclose(target.decode(target.encode(y)), y, rtol=1e-12)

    @pytest.mark.parametrize(("y", "scale"), [([0, 0], 1), ([-1, 1], 1), ([-4, -2], 1), ([5, 5], 5), ([1e300], 1e300)])
    def test_a_mean_that_is_not_positive_does_not_scale(self, y, scale):
        assert RegressionTarget(scale="mean").fit(y).scale_.tolist() == [scale]

    @pytest.mark.parametrize("factor", [1e-3, 100, 1e4])
    def test_poisson_in_any_unit(self, factor):
        X, y = load_diabetes(return_X_y=True)
        network = basic(NNRegressor, loss="poisson", max_epochs=10, random_state=0)
        expected = network.fit(X, y).predict(X)
        np.testing.assert_allclose(network.fit(X, y * factor).predict(X) / factor, expected, rtol=1e-3)

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1, 1e300])
    def test_constant(self, value):
        target = RegressionTarget(scale="standard").fit(np.full(7, value), np.random.default_rng(0).random(7))
        assert target.scale_.tolist() == [1.0]
        assert target.decode(target.encode([value])).tolist() == [value]

    @pytest.mark.parametrize("scale", ["standard", "mean"])
    def test_weight_of_zero_is_the_row_removed_to_the_bit(self, scale):
        rng = np.random.default_rng(0)
        y, weights = rng.normal(size=(500, 2)), rng.random(500) * (rng.random(500) < 0.7)
        rows = weights > 0
        y = y + 1 if scale == "mean" else y
        one = RegressionTarget(scale=scale).fit(y, weights)
        other = RegressionTarget(scale=scale).fit(y[rows], weights[rows])
        np.testing.assert_array_equal([one.mean_, one.scale_], [other.mean_, other.scale_])

    @pytest.mark.parametrize("scale", ["standard", "mean"])
    def test_integer_weight_is_the_row_repeated(self, scale):
        rng = np.random.default_rng(0)
        y, weights = rng.normal(1, size=100), rng.integers(0, 4, 100)
        one = RegressionTarget(scale=scale).fit(y, weights)
        other = RegressionTarget(scale=scale).fit(np.repeat(y, weights))
        np.testing.assert_allclose([one.mean_, one.scale_], [other.mean_, other.scale_], rtol=1e-12)

    @pytest.mark.parametrize("kind", [pd.Series, pl.Series, list, lambda y: pd.Series(y, dtype="Int64")])
    def test_containers(self, kind):
        assert RegressionTarget(scale="standard").fit(kind([1, 2, 3])).mean_.tolist() == [2.0]

    def test_one_column_as_mlp_regressor(self):
        y = np.arange(4.0)[:, None]
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
            reference = MLPRegressor(solver="lbfgs").fit(np.eye(4), y)
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
            target = RegressionTarget(scale="standard").fit(y)
        assert target.decode(np.ones((4, 1), dtype=np.float32)).shape == reference.predict(np.eye(4)).shape == (4,)

    def test_encoding_does_not_warn_again(self):
        target = RegressionTarget(scale="standard").fit([1.0, 3.0])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert target.encode(np.array([[1.0], [3.0]])).tolist() == [[-1.0], [1.0]]

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ([1.0, np.nan], "Input y contains NaN"),
            ([1.0, np.inf], "Input y contains infinity"),
            (["a", "b"], "Convert your data to numeric values explicitly"),
            ([1j, 2], "Complex data not supported"),
            ([], r"Found array with 0 sample\(s\)"),
            (np.ones((2, 2, 2)), "dim <= 2 is required"),
        ],
        ids=str,
    )
    def test_errors(self, y, message):
        with pytest.raises(ValueError, match=message):
            RegressionTarget(scale="standard").fit(y)

    def test_width_must_stay(self):
        with pytest.raises(ValueError, match="y has 2 outputs, but had 1 in fit"):
            RegressionTarget(scale="standard").fit([1.0, 2.0]).encode(np.ones((2, 2)))


def test_pickle():
    target = pickle.loads(pickle.dumps(ClassTarget().fit(["a", "b"])))
    assert target.encode(["b"]).tolist() == [1]
    assert pickle.loads(pickle.dumps(RegressionTarget(scale="standard").fit([1.0, 3.0]))).mean_ == 2


X = np.zeros((4, 1))


class TestWeights:
    def test_none(self):
        assert check_weights(None, X) is None

    @pytest.mark.parametrize(
        "given", [2, [2, 2, 2, 2], np.full(4, 2, np.float32), pd.Series([2] * 4), pl.Series([2] * 4)]
    )
    def test_given(self, given):
        weights = check_weights(given, X)
        assert weights.dtype == np.float64
        assert weights.tolist() == [2, 2, 2, 2]
        assert weights is not given

    @pytest.mark.parametrize("class_weight", ["balanced", {"a": 3.0}, {"a": 2.0, "b": 0.5}])
    def test_class_weight(self, class_weight):
        y = np.array(["a", "a", "a", "b"])
        expected = compute_sample_weight(class_weight, y)
        np.testing.assert_array_equal(check_weights(None, X, class_weight, y), expected)
        np.testing.assert_array_equal(check_weights(None, X, class_weight, y, np.array(["a", "b"])), expected)

    def test_balanced_counts_weights(self):
        y, weights = np.array([0, 0, 1, 1]), np.array([3, 2, 0, 1])
        repeated = compute_sample_weight("balanced", np.repeat(y, weights))
        expected = [repeated[0] * 3, repeated[0] * 2, 0, repeated[-1]]
        np.testing.assert_array_equal(check_weights(weights, X, "balanced", y), expected)

    def test_zero_is_the_row_removed(self):
        rng = np.random.default_rng(0)
        y, weights = rng.integers(0, 3, 300), rng.random(300) * (rng.random(300) < 0.6)
        rows = weights > 0
        weighted = check_weights(weights, y, "balanced", y)
        np.testing.assert_array_equal(weighted[rows], check_weights(weights[rows], y[rows], "balanced", y[rows]))
        assert not weighted[~rows].any()

    @pytest.mark.parametrize("class_weight", ["balanced", [{0: 1, 1: 3}, {0: 2, 1: 1}]])
    def test_several_labels(self, class_weight):
        y = np.array([[1, 0], [0, 0], [1, 1], [1, 0]])
        expected = compute_sample_weight(class_weight, y)
        np.testing.assert_allclose(check_weights(None, X, class_weight, y), expected)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ([0, 0, 0, 0], "sample_weight must contain at least one non-zero number"),
            (0, "sample_weight must contain at least one non-zero number"),
            ([1, -1, 1, 1], "Negative values in data passed to `sample_weight`"),
            ([1, 1], r"sample_weight.shape == \(2,\), expected \(4,\)"),
            ([[1, 1], [1, 1]], "Sample weights must be 1D array or scalar"),
            ([1, np.nan, 1, 1], "Input sample_weight contains NaN"),
            ([1, np.inf, 1, 1], "Input sample_weight contains infinity"),
        ],
        ids=str,
    )
    def test_errors(self, given, message):
        with pytest.raises(ValueError, match=message):
            check_weights(given, X)

    @pytest.mark.parametrize(
        ("class_weight", "y", "message"),
        [
            ({0: 0, 1: 0}, [0, 1, 0, 1], "class_weight leaves no row with a sample_weight above zero"),
            ({0: 1, 2: 1}, [0, 1, 0, 1], r"The classes, \[1\], are not in class_weight"),
            ("uniform", [0, 1, 0, 1], "'class_weight' parameter"),
            ({0: 1}, [[0, 1]] * 4, "class_weight should be a list of dicts"),
            ([{0: 1, 1: 1}], [[0, 1]] * 4, "Got 1 element"),
        ],
        ids=str,
    )
    def test_class_weight_errors(self, class_weight, y, message):
        with pytest.raises(ValueError, match=message):
            check_weights(None, X, class_weight, np.array(y))


class Mean(RegressorMixin, BaseEstimator):
    """A regressor that hands its target on as the package's estimators do, and predicts its mean."""

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y, skip_check_array=True)
        check_consistent_length(X, y)
        weights = check_weights(sample_weight, X)
        self.encoder_ = TableEncoder().fit(X, None, weights)
        self.target_ = RegressionTarget(scale="standard").fit(y, weights)
        self.n_outputs_ = self.target_.encode(y).shape[1]
        return self

    def predict(self, X):
        check_is_fitted(self)
        encoded = self.encoder_.transform(X)
        return self.target_.decode(np.zeros((encoded.shape[0], self.n_outputs_), dtype=np.float32))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = TableEncoder().__sklearn_tags__().input_tags
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags


@parametrize_with_checks([Mean()])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 1.0, 0.0, 2.0])], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS.keys())
def test_fitting_and_encoding_at_once_is_the_same(y, weights):
    target, at_once = ClassTarget().fit(y, weights), ClassTarget()
    codes, expected = at_once.fit_encode(y, weights), target.encode(y, weights)
    np.testing.assert_array_equal(codes, expected)
    assert codes.dtype == expected.dtype
    np.testing.assert_array_equal(at_once.classes_, target.classes_)
    assert at_once.classes_.dtype == target.classes_.dtype
    np.testing.assert_array_equal(at_once.encode(y, weights), expected)


def test_fitting_and_encoding_at_once_with_given_classes():
    assert ClassTarget().fit_encode(["b", "a"], classes=["c", "b", "a"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match="previously unseen labels"):
        ClassTarget().fit_encode(["b", "d"], classes=["c", "b", "a"])
    assert ClassTarget().fit_encode(np.array([[0, 1], [1, 1]])).dtype == np.float32
