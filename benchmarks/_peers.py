"""The models that benchmarks/accuracy.py compares, each built for one frame, its package imported then.

Peers stand at their own defaults; what is done to the frame before them is what their own documentation asks for.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

SEED = 0  # of every model; the seed of a run is that of its split
HGB_LEVELS = 255  # HistGradientBoosting takes no categorical column with more


class Setting(NamedTuple):
    """What a model is built for: the frame of its training rows and the kind of its target."""

    frame: Any
    regression: bool

    @property
    def categorical(self) -> list[str]:
        return list(self.frame.select_dtypes("category").columns)


class Coded(BaseEstimator):
    """A classifier that wants its classes as 0, 1, ..., given any labels."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: Any) -> "Coded":
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.model.fit(X, codes.astype(np.int64))
        return self

    def predict_proba(self, X: Any) -> Any:
        return self.model.predict_proba(X)

    def predict(self, X: Any) -> Any:
        return self.classes_[np.asarray(self.model.predict(X)).ravel()]


class SkorchMLP(BaseEstimator):
    """2 × 128 ReLU in skorch: Adam 1e-3, batches of 128, at most 50 epochs, the best kept, early stopping (8)."""

    def __init__(self, regression: bool) -> None:
        self.regression = regression

    def fit(self, X: Any, y: Any) -> "SkorchMLP":
        import torch
        from skorch import NeuralNetClassifier, NeuralNetRegressor
        from skorch.callbacks import EarlyStopping
        from torch import nn

        torch.manual_seed(SEED)
        last = nn.Linear(128, 1 if self.regression else int(y.max()) + 1)
        self.net_ = (NeuralNetRegressor if self.regression else NeuralNetClassifier)(
            nn.Sequential(nn.Linear(X.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), last),
            criterion=nn.MSELoss if self.regression else nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=1e-3,
            batch_size=128,
            max_epochs=50,
            iterator_train__shuffle=True,
            callbacks=[EarlyStopping(patience=8, load_best=True)],
            verbose=0,
        )
        self.net_.fit(X, y.astype(np.float32).reshape(-1, 1) if self.regression else y)
        return self

    def predict(self, X: Any) -> Any:
        return self.net_.predict(X)

    def predict_proba(self, X: Any) -> Any:
        return self.net_.predict_proba(X)


def usual_encoder() -> Any:
    """Means for missing numbers and unit scale; one column for each category that is not rare."""
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    categories = OneHotEncoder(min_frequency=5, handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("categories", categories, make_column_selector(dtype_exclude="number")),
        ]
    )


def standardised(model: Any) -> Any:
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def sklearn_mlp(setting: Setting) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    network = (MLPRegressor if setting.regression else MLPClassifier)(early_stopping=True, random_state=SEED)
    return make_pipeline(usual_encoder(), standardised(network) if setting.regression else network)


def skorch_mlp(setting: Setting) -> Any:
    network = SkorchMLP(setting.regression)
    model = standardised(network) if setting.regression else Coded(network)
    return make_pipeline(usual_encoder(), FunctionTransformer(partial(np.asarray, dtype=np.float32)), model)


def many_levels_as_codes(frame: Any) -> Any:
    many = [name for name in frame.select_dtypes("category") if len(frame[name].cat.categories) > HGB_LEVELS]
    return frame.assign(**{name: frame[name].cat.codes.where(frame[name].notna()) for name in many})


def hgb(setting: Setting) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor if setting.regression else HistGradientBoostingClassifier
    return make_pipeline(FunctionTransformer(many_levels_as_codes), model(random_state=SEED))


def missing_as_level(frame: Any) -> Any:
    names = frame.select_dtypes("category").columns
    return frame.assign(**{name: frame[name].astype(object).fillna("missing").astype(str) for name in names})


def catboost(setting: Setting) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    model = (CatBoostRegressor if setting.regression else CatBoostClassifier)(
        cat_features=setting.categorical,
        random_seed=SEED,
        thread_count=1,
        verbose=0,
        allow_writing_files=False,
    )
    return make_pipeline(FunctionTransformer(missing_as_level), model)


def columns_numbered(frame: Any) -> Any:
    """LightGBM and XGBoost refuse some characters in names."""
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1)


def lightgbm(setting: Setting) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = LGBMRegressor if setting.regression else LGBMClassifier
    return make_pipeline(FunctionTransformer(columns_numbered), model(n_jobs=1, verbose=-1, random_state=SEED))


def xgboost(setting: Setting) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    model = (XGBRegressor if setting.regression else XGBClassifier)(
        enable_categorical=True, n_jobs=1, random_state=SEED
    )
    return make_pipeline(FunctionTransformer(columns_numbered), model if setting.regression else Coded(model))


def realmlp(setting: Setting, name: str) -> Any:
    import logging

    import pytabkit

    for logger in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    model = getattr(pytabkit, f"{name}_{'Regressor' if setting.regression else 'Classifier'}")
    means = ColumnTransformer(
        [("numbers", SimpleImputer(keep_empty_features=True), make_column_selector(dtype_include="number"))],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    return make_pipeline(means, model(n_cv=1, device="cpu", n_threads=1, random_state=SEED))


def ours(setting: Setting, preset: str, **params: Any) -> Any:
    import sknnopt

    estimator = sknnopt.NNRegressor if setting.regression else sknnopt.NNClassifier
    make = getattr(estimator, preset) if preset else estimator
    both = sknnopt.NNClassifier().get_params(deep=False), estimator().get_params(deep=False)
    given = {name: value for name, value in params.items() if name not in both[0] or name in both[1]}
    return make(**{"random_state": SEED, **given})  # a classifier's own parameters are not for the regressor


OURS: dict[str, str] = {"sknnopt": "", "sknnopt-fast": "fast", "sknnopt-strong": "strong"}
PEERS: dict[str, tuple[Callable[[Setting], Any], tuple[str, ...]]] = {
    "hgb": (hgb, ("sklearn",)),
    "lightgbm": (lightgbm, ("lightgbm",)),
    "xgboost": (xgboost, ("xgboost",)),
    "sklearn-mlp": (sklearn_mlp, ("sklearn",)),
    "skorch-mlp": (skorch_mlp, ("skorch", "torch")),
    "catboost": (catboost, ("catboost",)),
    "realmlp-td": (partial(realmlp, name="RealMLP_TD"), ("pytabkit", "torch")),
    "realmlp-td-s": (partial(realmlp, name="RealMLP_TD_S"), ("pytabkit", "torch")),
}
MODELS = [*OURS, *PEERS]


def build(name: str, setting: Setting, params: Mapping[str, Any]) -> Any:
    """The estimator of that name, unfitted; ``params`` are for ours alone."""
    if name in OURS:
        return ours(setting, OURS[name], **params)
    return PEERS[name][0](setting)


def versions(name: str) -> str:
    """The packages behind a model that has been built."""
    from importlib.metadata import version

    packages = ("sknnopt", "torch") if name in OURS else PEERS[name][1]
    return ", ".join(f"{p} {getattr(sys.modules[p], '__version__', None) or version(p)}" for p in packages)
