"""Columns whose quartiles coincide, encoded by the ranks of their distinct values: against a plain reference."""

import pickle
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from support import BASIC

from sknnopt import NNClassifier, NNRegressor
from sknnopt.data import TableEncoder
from sknnopt.data.encoding import STATISTICS
from sknnopt.data.numeric import robust_statistics
from sknnopt.data.quantiles import N_QUANTILES
from sknnopt.data.ranks import Ranks, rank_statistics
from sknnopt.data.scaling import CLIP
from sknnopt.embeddings import Periodic, PiecewiseLinear

N = 400


def tied_table(n=N, seed=0):
    """Amounts that are mostly zero, counts about one that most have, ratings, a mark, normal numbers, a constant."""
    rng = np.random.default_rng(seed)
    return np.column_stack([
        np.where(rng.random(n) < 0.9, 0.0, rng.lognormal(6, 2, n).round()),
        np.where(rng.random(n) < 0.8, 5.0, rng.integers(-20, 20, n)),
        np.where(rng.random(n) < 0.8, 3.0, rng.integers(1, 4, n)),
        rng.random(n) < 0.1, rng.normal(size=n), np.full(n, 7.0),
    ])  # fmt: skip


RANKED, OTHERS = [0, 1, 2], [3, 4, 5]


def auto(**settings):
    return TableEncoder(numbers="auto", **settings)


def reference(column, new, most=N_QUANTILES):
    """The encoding of new numbers, written as it is defined."""
    values = np.unique(column[~np.isnan(column)])
    m = len(values)
    i = np.arange(1, m + 1)
    rank = -1 + 2 * (i - 1) / (m - 1)
    if m > most:
        kept = np.floor(np.linspace(0, m - 1, most) + 1e-9).astype(int)
        values, rank = values[kept], rank[kept]
    scaled = np.interp(new, values, rank) - np.interp(np.nanmedian(column), values, rank)
    return np.nan_to_num(scaled / np.sqrt(1 + (scaled / CLIP) ** 2))


def same_bits(one, other):
    assert one.dtype == other.dtype
    assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_to_interpolated_ranks(dtype):
    X, new = tied_table(), tied_table(seed=1) + np.random.default_rng(2).normal(size=(N, 6))
    encoder = auto(dtype=dtype).fit(X)
    assert sorted(encoder.encoding.ranks) == RANKED
    for table in (X, new):
        encoded = encoder.transform(table)
        assert encoded.dtype == dtype
        for place in RANKED:
            expected = reference(X[:, place], table[:, place])
            assert_allclose(encoded[:, place], expected, atol=1e-7 if dtype == np.float32 else 1e-15)
    difference = encoder.transform(X).astype(float) - TableEncoder().fit_transform(X)
    assert np.abs(difference[:, 0]).max() > 1


def test_by_hand():
    """Of values 0, 1, 10 and 1000 the last is 2 above the first, however many rows have each."""
    column = np.repeat([0.0, 1.0, 10.0, 1000.0], [80, 10, 5, 5])[:, None]
    encoder = auto(dtype=np.float64).fit(column)
    scaled = np.array([0, 2 / 3, 4 / 3, 2, 1 / 3, 0, 2])
    expected = scaled / np.sqrt(1 + (scaled / 3) ** 2)
    assert_allclose(encoder.transform([[0], [1], [10], [1000], [0.5], [-7], [1e9]])[:, 0], expected, atol=1e-15)


def test_the_median_is_zero_wherever_it_lies():
    X = tied_table()
    encoded = auto(dtype=np.float64).fit(X).transform(np.median(X, axis=0)[None])
    assert not encoded.any()


def test_other_columns_have_the_bits_of_robust_ones():
    X = tied_table()
    same_bits(auto().fit_transform(X)[:, OTHERS], TableEncoder().fit_transform(X)[:, OTHERS])
    frame = pd.DataFrame(X)
    same_bits(auto().fit_transform(frame)[:, OTHERS], TableEncoder().fit_transform(frame)[:, OTHERS])


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
def test_two_values_are_scaled_as_they_are_by_robust(share):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((N, 2)) < share, [2.5, 1e6], [-1.0, 0.0])
    X[::9, 1] = np.nan
    one, other = auto().fit(X), TableEncoder().fit(X)
    assert not one.encoding.ranks
    new = np.concatenate([X, rng.normal(size=(50, 2)) * 1e6])
    same_bits(one.transform(new), other.transform(new))


def test_center_and_scale_describe_the_column():
    X = tied_table()
    one, other = auto().fit(X), TableEncoder().fit(X)
    assert_array_equal(one.center_, np.median(X, axis=0))
    same_bits(one.center_, other.center_)
    same_bits(one.scale_, other.scale_)
    assert_allclose(one.scale_[RANKED], np.ptp(X, axis=0)[RANKED] / 2)


@pytest.mark.parametrize("distinct", [999, 1000, 1001, 1500, 5000])
def test_many_values(distinct):
    rng = np.random.default_rng(distinct)
    column = np.concatenate([np.full(3 * distinct, 0.5), np.unique(rng.lognormal(size=2 * distinct))[:distinct]])
    encoder = auto(dtype=np.float64).fit(column[:, None])
    ranks = encoder.encoding.ranks[0]
    assert len(ranks.values) == min(distinct + 1, N_QUANTILES)
    assert (ranks.values[0], ranks.values[-1]) == (column.min(), column.max())
    assert ranks.ranks[-1] - ranks.ranks[0] == pytest.approx(2)
    new = np.concatenate([column, rng.lognormal(size=300)])
    assert_allclose(encoder.transform(new[:, None])[:, 0], reference(column, new), atol=1e-14)
    every = reference(column, new, most=10**9)
    assert np.abs(every - encoder.transform(new[:, None])[:, 0]).max() < 2 * 2 / N_QUANTILES


def test_missing_values():
    X = tied_table()
    missing = np.random.default_rng(1).random(X.shape) < 0.2
    X[missing] = np.nan
    encoder = auto(dtype=np.float64)
    encoded = encoder.fit_transform(X)
    assert sorted(encoder.encoding.ranks) == RANKED
    assert_array_equal(encoded[:, 6:], missing)
    assert not encoded[:, :6][missing].any()
    for place in RANKED:
        assert_allclose(encoded[:, place], reference(X[:, place], X[:, place]), atol=1e-15)
    later = auto().fit(tied_table()).transform(np.full((1, 6), np.nan))
    assert not later.any()


def test_all_tables_and_any_number_of_rows_agree_to_the_bit():
    X = tied_table(3000)
    X[::5, 1] = np.nan
    encoder = auto()
    together = encoder.fit_transform(X)
    assert sorted(encoder.encoding.ranks) == RANKED
    same_bits(together, encoder.transform(X))
    same_bits(together, np.concatenate([encoder.transform(X[i : i + 1]) for i in range(len(X))]))
    same_bits(together, np.concatenate([encoder.transform(X[i : i + 77]) for i in range(0, len(X), 77)]))
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for table in (frame, pl.from_pandas(frame), X.astype(object), np.asfortranarray(X), frame.convert_dtypes()):
        same_bits(together, auto().fit_transform(table))
        same_bits(together, auto().fit(table).transform(table))
    same_bits(together, auto().fit(X[::-1]).transform(X))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "float16", "float32"])
def test_other_types_of_numbers(dtype):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((N, 2)) < 0.8, 4, rng.integers(0, 50, (N, 2))).astype(dtype)
    encoder = auto().fit(X)
    assert len(encoder.encoding.ranks) == 2
    same_bits(encoder.transform(X), auto().fit_transform(X.astype(float)))
    same_bits(encoder.transform(X), encoder.transform(X.astype(float)))
    same_bits(encoder.transform(X), auto().fit_transform(pd.DataFrame(X)))


@pytest.mark.parametrize("kind", ["array", "frame"])
class TestWeights:
    @staticmethod
    def table(kind):
        X = tied_table()
        X[::7, 1] = np.nan
        return pd.DataFrame(X) if kind == "frame" else X

    @staticmethod
    def same(one, other, table):
        assert one.encoding.ranks == other.encoding.ranks
        for name in ("center_", "scale_", "indicator_columns_"):
            same_bits(getattr(one, name), getattr(other, name))
        same_bits(one.transform(table), other.transform(table))

    def test_zero_is_the_row_removed(self, kind):
        table, rng = self.table(kind), np.random.default_rng(5)
        weights = rng.random(N) * (rng.random(N) < 0.3)
        rows = np.flatnonzero(weights)
        fitted = auto().fit(table, None, weights)
        values = fitted.encoding.ranks[0].values
        assert len(values) < len(auto().fit(table).encoding.ranks[0].values)
        self.same(fitted, auto().fit(np.asarray(table)[rows], None, weights[rows]), np.asarray(table))
        same_bits(fitted.transform(table), auto().fit_transform(table, None, weights))

    def test_integers_are_rows_repeated(self, kind):
        table, weights = self.table(kind), np.random.default_rng(0).integers(0, 4, N)
        repeated = np.repeat(np.asarray(table), weights, axis=0)
        self.same(auto().fit(table, None, weights), auto().fit(repeated), np.asarray(table))

    def test_equal_weights_are_none(self, kind):
        table = self.table(kind)
        for weight in (0.1, 3):
            self.same(auto().fit(table, None, np.full(N, weight)), auto().fit(table), table)

    def test_they_say_whether_the_quartiles_coincide(self, kind):
        table = self.table(kind)
        at_zero = np.asarray(table)[:, 0] == 0
        fitted = auto().fit(table, None, np.where(at_zero, 1.0, 30.0))
        assert 0 not in fitted.encoding.ranks
        assert fitted.center_[0] > 0
        normal = np.asarray(table)[:, 4]
        fitted = auto().fit(table, None, np.where(normal == normal[3], 5000.0, 1.0))
        assert len(fitted.encoding.ranks[4].values) == N
        assert fitted.transform(table)[3, 4] == 0


@pytest.mark.parametrize("magnitude", [5e-324, 1e-320, 1e-308, 1e-300, 1e300, 1.7e308])
def test_numbers_beyond_float32(magnitude):
    X = np.repeat([-1.0, -0.5, 0.0, 0.5, 1.0], [2, 2, 20, 2, 2])[:, None] * magnitude
    encoder = auto().fit(X)
    encoded = encoder.transform(X)
    between = encoder.transform(np.linspace(-1, 1, 101)[:, None] * magnitude)
    ends = encoder.transform([[-1.7e308], [-5e-324], [5e-324], [1.7e308]])
    for one in (encoded, between, ends):
        assert np.isfinite(one).all()
        assert (np.diff(one[:, 0]) >= 0).all()
    if 1e-300 <= magnitude <= 1e300:
        expected = np.array([-1, -0.5, 0, 0.5, 1])
        assert_allclose(np.unique(encoded), expected / np.sqrt(1 + (expected / 3) ** 2), atol=1e-6)


def test_both_signs_of_zero_are_one_value():
    X = np.repeat([-0.0, 0.0, 1.0, 8.0], [30, 30, 5, 5])[:, None]
    assert auto().fit(X).encoding.ranks[0].values.tolist() == [0, 1, 8]
    assert len(np.unique(auto().fit_transform(X))) == 3


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity(value):
    X = tied_table()
    encoder, bad = auto().fit(X), X.copy()
    bad[3, 0] = value
    for call in (auto().fit, auto().fit_transform, encoder.transform):
        for table in (bad, pd.DataFrame(bad)):
            with pytest.raises(ValueError, match="Input X contains infinity"):
                call(table)


def test_the_users_table_stays_as_it_is():
    X = tied_table()
    before = X.copy()
    auto().fit_transform(X)
    assert_array_equal(X, before)


def test_pickle():
    X = tied_table()
    encoder = auto().fit(X)
    again = pickle.loads(pickle.dumps(encoder))
    assert again.encoding.ranks == encoder.encoding.ranks
    same_bits(again.transform(X), encoder.transform(X))


def test_fitted_again_nothing_is_left():
    X = tied_table()
    encoder = auto().fit(X)
    other = np.random.default_rng(0).normal(size=X.shape)
    same_bits(encoder.fit(other).transform(other), TableEncoder().fit_transform(other))


def test_sparse_tables_are_scaled_as_by_robust():
    X = sparse.csr_array(tied_table())
    one, other = auto().fit_transform(X), TableEncoder().fit_transform(X)
    same_bits(one.toarray(), other.toarray())
    assert auto().__sklearn_tags__().input_tags.sparse


def test_statistics_of_a_column():
    column = tied_table()[:, 0]
    robust, ranked = robust_statistics(column), rank_statistics(column)
    assert (ranked.center, ranked.scale, ranked.missing) == (robust.center, robust.scale, robust.missing)
    assert robust.ranks is None
    assert ranked == rank_statistics(column[::-1])
    assert ranked != rank_statistics(column + 1)
    assert ranked.ranks != Ranks(ranked.ranks.values, ranked.ranks.ranks + 1)
    assert ranked.ranks != "ranks"


class TestEstimators:
    settings = {**BASIC, "hidden_layer_sizes": (8,), "max_epochs": 5, "random_state": 0}

    def test_by_default_such_columns_are_encoded_by_ranks(self):
        X = tied_table()
        y = X[:, 1] > 5
        default, robust = (NNClassifier(**self.settings | more).fit(X, y) for more in ({}, {"preprocessing": "robust"}))
        same_bits(default.preprocessor_.transform(X), auto().fit_transform(X))
        same_bits(robust.preprocessor_.transform(X), TableEncoder().fit_transform(X))
        assert (default.predict_proba(X) != robust.predict_proba(X)).any()

    def test_only_training_rows_count(self):
        X = tied_table()
        distinct = len(np.unique(X[:, 0]))
        for early_stopping in (False, True):
            fitted = NNRegressor(**{**self.settings, "early_stopping": early_stopping, "validation_fraction": 0.3}).fit(
                X, X[:, 4]
            )
            assert (len(fitted.preprocessor_.encoding.ranks[0].values) < distinct) == early_stopping

    def test_a_zero_weight_is_the_row_removed(self):
        X = tied_table()
        y, counted = X[:, 4], np.random.default_rng(0).random(N) < 0.6
        weighted = NNRegressor(**self.settings).fit(X, y, counted.astype(float))
        removed = NNRegressor(**self.settings).fit(X[counted], y[counted])
        assert_array_equal(weighted.predict(X), removed.predict(X))


QUICK = {
    **BASIC, "hidden_layer_sizes": (8,), "max_epochs": 20, "batch_size": 32, "learning_rate": 0.02, "random_state": 0,
    "precision": "float64",
}  # fmt: skip
STILL = {**QUICK, "learning_rate": 1e-12, "max_epochs": 1, "random_state": 1}
PAIRS = [pair for pair in product(STATISTICS, repeat=2) if "auto" in pair]
AMOUNTS = np.where(np.random.default_rng(0).random(600) < 0.6, 4.0, np.random.default_rng(1).integers(0, 7, 600) ** 2)
FRAME = pd.DataFrame({"amount": AMOUNTS})
Y = np.sin(AMOUNTS / 9)


class TestTransfer:
    """`initial_weights` between networks of which one encodes a column by ranks."""

    @pytest.mark.parametrize(
        "settings",
        [{}, {"numeric_embedding": PiecewiseLinear(n_bins=6)}, {"numeric_embedding": Periodic(n_frequencies=4)}],
        ids=["plain", "bins", "waves"],
    )
    def test_equal_ranks_change_nothing(self, settings):
        X, y = tied_table()[:, RANKED], tied_table()[:, 4]
        X[::7, 1] = np.nan
        source = NNRegressor(**QUICK | settings).fit(X, y)
        weight = np.where(X[:, 0] > 0, 0.5, 1.0)  # other shares of rows, the same values
        same = NNRegressor(**STILL | settings, initial_weights=source).fit(X, y, weight)
        assert_allclose(same.predict(X), source.predict(X), atol=1e-9)

    @pytest.mark.parametrize("pair", PAIRS, ids="-".join)
    def test_other_encodings_are_as_near_as_a_line(self, pair):
        X, y = tied_table()[:, :5], tied_table()[:, 4]
        some = np.random.default_rng(7).random(N) < 0.5
        source = NNRegressor(**{**QUICK, "hidden_layer_sizes": ()}, preprocessing=pair[0]).fit(X, y)
        still = {**STILL, "hidden_layer_sizes": (), "preprocessing": pair[1]}
        same = NNRegressor(**still, initial_weights=source).fit(X[some], y[some])
        before, now = (one.preprocessor_.transform(X[some]) for one in (source, same))
        lines = [np.polyfit(*columns, 1) for columns in zip(now.T, before.T, strict=True)]
        values = np.column_stack([np.polyval(line, column) for line, column in zip(lines, now.T, strict=True)])
        wanted = source.target_.decode(source.module_(torch.from_numpy(values)).detach().numpy())
        assert_allclose(same.predict(X[some]), wanted.ravel(), atol=1e-6)

    @pytest.mark.parametrize("pair", PAIRS, ids="-".join)
    def test_edges_lie_where_they_lay(self, pair):
        """Where every value is an edge, the embedding of each is what it was, whatever values are left."""
        settings = {"numeric_embedding": PiecewiseLinear(n_bins=60)}
        source = NNRegressor(**QUICK | settings, preprocessing=pair[0]).fit(FRAME, Y)
        for rows in (AMOUNTS >= 0, AMOUNTS > 1, AMOUNTS < 30, (AMOUNTS > 1) & (AMOUNTS != 16)):
            same = NNRegressor(**STILL | settings, preprocessing=pair[1], initial_weights=source)
            same.fit(FRAME[rows], Y[rows])
            wanted = source.predict(FRAME[rows])
            assert wanted.std() > 0.1
            assert_allclose(same.predict(FRAME[rows]), wanted, atol=1e-6)
            if rows.all():
                fresh = NNRegressor(**STILL | settings, preprocessing=pair[1]).fit(FRAME, Y)
                assert np.abs(fresh.predict(FRAME) - wanted).max() > 0.1

    @pytest.mark.parametrize("pair", [("auto", "robust"), ("robust", "auto"), ("auto", "auto")], ids="-".join)
    def test_a_column_that_is_constant_here_or_there(self, pair):
        flat = FRAME.assign(amount=9.0)
        for first, second in ((FRAME, flat), (flat, FRAME)):
            for settings in ({}, {"numeric_embedding": PiecewiseLinear(n_bins=8)}):
                source = NNRegressor(**QUICK | settings, preprocessing=pair[0]).fit(first, Y)
                same = NNRegressor(**STILL | settings, preprocessing=pair[1], initial_weights=source).fit(second, Y)
                assert_allclose(same.predict(second), source.predict(second), atol=1e-6)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    @pytest.mark.parametrize("pair", PAIRS, ids="-".join)
    def test_far_apart_values_are_not_moved_by_rounding(self, pair, precision):
        """A hundred values between 1 and 1e4, every one an edge, of which the upper ones are gone."""
        levels = np.unique(np.geomspace(1, 1e4, 140).round())[:100]
        amounts = np.repeat(levels, np.where(np.arange(100) == 50, 1800, 12))
        y, frame = np.sin(3 * np.log(amounts)), pd.DataFrame({"a": amounts})
        settings = {"numeric_embedding": PiecewiseLinear(n_bins=400), "precision": precision}
        source = NNRegressor(**{**QUICK, **settings}, preprocessing=pair[0]).fit(frame, y)
        some = amounts < levels[-30]
        same = NNRegressor(**{**STILL, **settings}, preprocessing=pair[1], initial_weights=source)
        wanted = source.predict(frame[some])
        assert np.abs(np.diff(np.unique(wanted))).max() > 0.03
        near = 0.003 if precision == "float32" else 1e-6
        assert_allclose(same.fit(frame[some], y[some]).predict(frame[some]), wanted, atol=near)

    @pytest.mark.parametrize("pair", PAIRS, ids="-".join)
    def test_the_ends_beyond_the_old_ranks_stay_as_they_were(self, pair):
        settings = {"numeric_embedding": PiecewiseLinear(n_bins=60)}
        some = (AMOUNTS > 0) & (AMOUNTS < 30)
        source = NNRegressor(**QUICK | settings, preprocessing=pair[0]).fit(FRAME[some], Y[some])
        same = NNRegressor(**STILL | settings, preprocessing=pair[1], initial_weights=source).fit(FRAME, Y)
        ends = pd.DataFrame({"amount": [0.0, 4.0, 9.0, 36.0]})
        assert_allclose(same.predict(ends), source.predict(ends), atol=1e-6)

    def test_edges_between_values_stay_between_them(self):
        """Half-way between values that are next to each other beside the range."""
        amounts = np.repeat([*range(12), 1e9], [2000, *[30] * 12])
        y, frame = np.sin(amounts), pd.DataFrame({"a": amounts})
        settings = {"numeric_embedding": PiecewiseLinear(n_bins=12, bins="target")}
        source = NNRegressor(**QUICK | settings).fit(frame, y)
        some = amounts != 11
        same = NNRegressor(**STILL | settings, initial_weights=source).fit(frame[some], y[some])
        few = frame[amounts < 11]
        assert source.preprocessor_.encoding.ranks[0] != same.preprocessor_.encoding.ranks[0]
        assert_allclose(same.predict(few), source.predict(few), atol=0.02)

    def test_values_that_many_rows_share_are_met_in_float32(self):
        """Below a wide gap a rank that is rounded would be a number far above the value."""
        amounts = np.repeat([*range(292), 1e6, 2e6], [4000, *[1] * 290, 600, 50, 50])
        y, frame = np.sin(amounts), pd.DataFrame({"a": amounts})
        settings = {"numeric_embedding": PiecewiseLinear(n_bins=60), "precision": "float32"}
        source = NNRegressor(**{**QUICK, **settings}).fit(frame, y)
        same = NNRegressor(**{**STILL, **settings}, preprocessing="quantile_normal", initial_weights=source)
        shared = pd.DataFrame({"a": [0.0, 291.0]})
        assert_allclose(same.fit(frame, y).predict(shared), source.predict(shared), atol=1e-3)
