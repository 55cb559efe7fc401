"""Presets: ordinary estimators with parameters set, whatever these are."""

import inspect

import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris

from sknnopt import NNClassifier, NNRegressor

DATA = {NNClassifier: load_iris(return_X_y=True), NNRegressor: load_diabetes(return_X_y=True)}
each = pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
each_preset = pytest.mark.parametrize("preset", ["fast", "strong"])


@each
@each_preset
class TestPreset:
    def test_is_the_constructor_with_its_parameters(self, make, preset):
        found = getattr(make, preset)()
        own = make._presets[preset]
        assert type(found) is make
        assert repr(found) == repr(make(**own))
        assert own
        assert set(own) <= set(inspect.signature(make).parameters)
        assert repr(clone(found)) == repr(found)
        found._check_params()

    def test_what_is_given_counts(self, make, preset):
        own = make._presets[preset]
        plain = {name: make().get_params()[name] for name in own}
        given = getattr(make, preset)(**plain, tol=0.25)
        assert repr(given) == repr(make(tol=0.25))

    def test_fits(self, make, preset):
        quick = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
        if "n_members" in make._presets[preset]:
            quick["n_members"] = 2
        X, y = DATA[make]
        assert getattr(make, preset)(**quick).fit(X, y).predict(X).shape == y.shape

    def test_a_subclass_gets_its_own(self, make, preset):
        class Own(make):
            pass

        assert type(getattr(Own, preset)()) is Own

    def test_others_are_not_changed_by_what_is_done_to_one(self, make, preset):
        before = repr(make._presets[preset])
        first = getattr(make, preset)()
        for value in first.get_params(deep=False).values():
            if isinstance(value, list):
                value.clear()
        assert repr(make._presets[preset]) == before

    def test_an_unknown_parameter(self, make, preset):
        with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
            getattr(make, preset)(epochs=3)


@each
def test_fast_and_strong_differ(make):
    assert make._presets["fast"] != make._presets["strong"]
