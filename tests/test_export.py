"""What is exported predicts what the estimator predicts: in torch, and in onnxruntime from raw columns."""

import importlib.util
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from scipy import sparse
from scipy.special import ndtri
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from support import basic
from torch import nn

import sknnopt
from sknnopt import NNClassifier, NNRegressor, activations, embeddings, export_onnx, export_torch, losses
from sknnopt.data.encoding import STATISTICS
from sknnopt.embeddings import Periodic, PiecewiseLinear
from sknnopt.estimators._parameters import NETWORKS
from sknnopt.export._table import NormalQuantile
from sknnopt.losses import FunctionLoss, Quantile
from sknnopt.nn import set_temperature

N = 60
RNG = np.random.RandomState(0)
NUMBERS = RNG.normal(size=(N, 3)) * [1.0, 100.0, 1e-3] + [0.0, 1e4, 0.0]
CLASSES = np.arange(N) % 3
TARGET = NUMBERS[:, 0] * 5 + 100 + RNG.normal(size=N)
CELLS = {"network": "mlp", "hidden_layer_sizes": (4, 4), "max_epochs": 1, "random_state": 0}


def frame() -> pd.DataFrame:
    """Columns of every kind, with missing values."""
    rng = np.random.RandomState(1)
    out = pd.DataFrame(
        {
            "size": NUMBERS[:, 0],
            "zeros": np.where(np.arange(N) % 8 > 1, 0.0, rng.exponential(size=N)),
            "few": np.where(np.arange(N) % 8 > 0, 3.0, np.arange(N)),
            "count": rng.randint(100, size=N),
            "constant": 7.0,
            "day": pd.date_range("2020-02-27", periods=N, freq="17h"),
            "colour": pd.Series(rng.choice(["red", "blue", "grün"], N), dtype=object),
            "always": pd.Series(rng.choice(["on", "off"], N), dtype=object),
            "year": pd.Categorical(rng.choice([2001, 2002, 2005], N)),
            "share": pd.Categorical(rng.choice([0.1, 0.2], N)),
            "flag": rng.rand(N) > 0.5,
            "label": rng.normal(size=N),
        }
    )
    out.loc[::7, ["size", "colour"]] = None
    out.loc[1::7, "day"] = pd.NaT
    out.loc[2::7, "year"] = None
    return out


def strange(X: pd.DataFrame) -> pd.DataFrame:
    """Rows with levels unseen, and values missing and large where none were."""
    out = X.astype(dict.fromkeys(("colour", "always", "year", "share"), object))
    out.loc[::3, ["colour", "always", "year", "share"]] = ["pink", "between", 1999, 0.15]
    out.loc[1::3, ["always", "share", "label"]] = None
    out.loc[::4, ["size", "few", "zeros"]] = [1e300, -1e300, 1e12]
    return out.astype({"year": "category", "share": "category"})


def feeds(session: onnxruntime.InferenceSession, X: Any, missing: str = "") -> dict[str, Any]:
    """The inputs of a session."""
    inputs = session.get_inputs()
    if [one.name for one in inputs] == ["X"]:
        return {"X": np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)}
    X = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X, columns=[one.name for one in inputs])
    return {one.name: column(X[one.name], one.type, missing) for one in inputs}


def column(values: pd.Series, kind: str, missing: str) -> np.ndarray:
    if kind == "tensor(string)":
        return values.astype(object).where(values.notna(), missing).to_numpy(object).reshape(-1, 1)
    if values.dtype.kind == "M":
        values = (values - pd.Timestamp(0)).dt.total_seconds()
    return values.astype(object).to_numpy(dtype=np.float64, na_value=np.nan).reshape(-1, 1)


def numbers_and_codes(estimator: Any, X: Any) -> list[torch.Tensor]:
    """What the exported module takes."""
    encoder = estimator.preprocessor_
    if encoder is None or not len(encoder.categorical_columns_):
        X = X.toarray() if sparse.issparse(X) else X
        if not isinstance(X, pd.DataFrame):
            return [torch.from_numpy(np.array(X))]
    X = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
    numbers = [column(X.iloc[:, place], "number", "") for place in encoder.numeric_columns_]
    codes = []
    for place, levels in zip(encoder.categorical_columns_, encoder.categories_, strict=True):
        code_of = {None if level != level else level: code for code, level in enumerate(levels)}
        values = X.iloc[:, place]
        codes.append([code_of.get(None if pd.isna(value) else value, -1) for value in values])
    rows = torch.from_numpy(np.hstack(numbers)) if numbers else torch.empty((len(X), 0))
    return [rows, torch.tensor(codes).T] if codes else [rows]


def stirred(estimator: Any) -> Any:
    """The fitted estimator with other weights, so that no two parameters are alike."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, values in estimator.module_.state_dict().items():
            if values.is_floating_point() and "edges" not in name:
                noise = torch.randn(values.shape, generator=generator) * 0.3
                values += noise.abs() if name.endswith("var") else noise
    return estimator


def session_of(estimator: Any, path: Path, **options: Any) -> onnxruntime.InferenceSession:
    export_onnx(estimator, path / "model.onnx", **options)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path / "model.onnx", settings)


def check(estimator: Any, X: Any, path: Path, *, missing: str = "", **options: Any) -> None:
    """Both exports predict what the estimator does, of all rows and of a single one."""
    session = session_of(estimator, path, missing=missing, **options)
    classifies = isinstance(estimator, NNClassifier)
    quantiles = isinstance(estimator.loss_, Quantile)
    module = export_torch(estimator, quantiles=quantiles)
    for rows in (X, X[:1]):
        found = session.run(None, feeds(session, rows, missing))
        served = module(*numbers_and_codes(estimator, rows))
        served = [part.numpy() for part in (served if isinstance(served, tuple) else (served,))]
        if classifies:
            wanted = [estimator.predict_proba(rows)]
            labels, *found = found
            np.testing.assert_array_equal(labels, estimator.predict(rows))
        else:
            wanted = [estimator.predict(rows), *([estimator.predict_quantiles(rows)] if quantiles else [])]
        for own, graph, expected in zip(served, found, wanted, strict=True):
            spread = 1.0 if classifies else np.abs(expected).max()
            np.testing.assert_allclose(own, expected, rtol=0, atol=5e-6 * spread)
            np.testing.assert_allclose(graph, expected, rtol=0, atol=1e-5 * spread)
            assert own.dtype == graph.dtype == np.float64


def classifier(X: Any = NUMBERS, y: Any = CLASSES, **settings: Any) -> NNClassifier:
    fitted: NNClassifier = stirred(basic(NNClassifier, **{**CELLS, **settings}).fit(X, y))
    return fitted


def regressor(X: Any = NUMBERS, y: Any = TARGET, **settings: Any) -> NNRegressor:
    fitted: NNRegressor = stirred(basic(NNRegressor, **{**CELLS, **settings}).fit(X, y))
    return fitted


def distinct_activations() -> list[str]:
    """One name of each activation in the registry."""
    kinds = {repr(activations.get(name).key()): name for name in activations.names()}
    return sorted(kinds.values())


@pytest.mark.parametrize("name", distinct_activations())
def test_activations(name: str, tmp_path: Path) -> None:
    check(classifier(activation=name), NUMBERS, tmp_path)


@pytest.mark.parametrize("name", ["prelu", "learnable_swish", "parametric_silu", "swiglu"])
@pytest.mark.parametrize("network", sorted(set(NETWORKS) - {"mlp"}))
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_networks(network: str, normalization: str, name: str, tmp_path: Path) -> None:
    settings = {"network": network, "normalization": normalization, "activation": name, "n_heads": 3}
    check(classifier(**settings, hidden_layer_sizes=(4, 6)), NUMBERS, tmp_path)


@pytest.mark.parametrize("normalization", ["batch", "layer", None])
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_in_double_precision(network: str, normalization: str | None, tmp_path: Path) -> None:
    settings = {"network": network, "normalization": normalization, "n_heads": 3, "precision": "float64"}
    check(regressor(**settings, activation="gelu"), NUMBERS, tmp_path)


@pytest.mark.parametrize("name", ["ntk", "lecun_normal"])
def test_layers_that_are_scaled(name: str, tmp_path: Path) -> None:
    for network in NETWORKS:
        check(classifier(network=network, n_heads=2, initializer=name), NUMBERS, tmp_path)


def test_functions_as_activations(tmp_path: Path) -> None:
    check(classifier(activation=torch.sin), NUMBERS, tmp_path)
    check(classifier(activation=lambda x: x * torch.sigmoid(1.7 * x)), NUMBERS, tmp_path)


EMBEDDINGS = {
    **{name: embeddings.get(name) for name in embeddings.names()},
    "one bin": PiecewiseLinear(n_bins=1, activation=None),
    "phases": Periodic(phases=True, dense=True, n_frequencies=5, embedding_size=3, activation=None),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("network", NETWORKS)
def test_embeddings(network: str, name: str, tmp_path: Path) -> None:
    settings = {"numeric_embedding": EMBEDDINGS[name], "categorical_embedding": 3, "input_scale": True}
    X = frame()[["size", "zeros", "colour", "always", "year"]]
    check(classifier(X, network=network, n_heads=2, **settings), X, tmp_path)


@pytest.mark.parametrize("preprocessing", STATISTICS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_preprocessing_of_every_kind_of_column(preprocessing: str, precision: str, tmp_path: Path) -> None:
    X = frame()
    fitted = classifier(X, np.array(["no", "yes"])[CLASSES % 2], preprocessing=preprocessing, precision=precision)
    check(fitted, X, tmp_path)
    check(fitted, strange(X), tmp_path)


def test_categories_alone_and_many_levels(tmp_path: Path) -> None:
    names = np.array([f"n{i % 120:03d}" for i in range(240)], dtype=object)
    X = pd.DataFrame({"name": names, "number": pd.Categorical(np.arange(240) % 130)})
    fitted = classifier(X, np.arange(240) % 3)
    assert len(fitted.preprocessor_.encoding.levels[0].infrequent)
    unseen = pd.DataFrame({"name": ["n119", "other", None], "number": pd.Categorical([5.0, 200.0, None])})
    check(fitted, X, tmp_path)
    check(fitted, unseen, tmp_path)


def test_missing_categories_may_be_called_otherwise(tmp_path: Path) -> None:
    X = frame()[["colour"]].fillna("")
    fitted = classifier(X)
    with pytest.raises(ValueError, match=r"Column 'colour': '', which the 'missing' parameter .* is a level itself"):
        export_onnx(fitted, tmp_path / "model.onnx")
    check(fitted, X, tmp_path, missing="?")
    X.loc[3:9, "colour"] = None
    check(classifier(X), X, tmp_path, missing="?")


def test_tables_as_they_are(tmp_path: Path) -> None:
    X = NUMBERS / NUMBERS.std(axis=0)
    check(classifier(X, preprocessing=None), X, tmp_path)
    named = pd.DataFrame(X, columns=["a", "b", "c"])
    fitted = regressor(named, preprocessing=None)
    assert [one.name for one in session_of(fitted, tmp_path).get_inputs()] == ["a", "b", "c"]


def test_tables_that_were_sparse(tmp_path: Path) -> None:
    X = sparse.random_array((N, 8), density=0.3, rng=0, format="csr")
    X.data[::9] = np.nan
    check(classifier(X), X, tmp_path)


def test_tables_without_names(tmp_path: Path) -> None:
    X = np.array([[1.0, "a"], [2.0, None], [5.0, "b"], [np.nan, "b"]] * 5, dtype=object)
    fitted = classifier(X, np.arange(20) % 2)
    assert [one.name for one in session_of(fitted, tmp_path).get_inputs()] == ["x0", "x1"]
    check(fitted, X, tmp_path)


def test_names_of_inputs_and_outputs(tmp_path: Path) -> None:
    session = session_of(classifier(frame()), tmp_path)
    assert [one.name for one in session.get_inputs()] == list(frame().columns)
    assert {one.name: one.shape for one in session.get_outputs()} == {"label_": ["n"], "probabilities": ["n", 3]}
    session = session_of(regressor(loss=Quantile(quantile=[0.1, 0.9]), y=np.column_stack([TARGET] * 3)), tmp_path)
    assert {one.name: one.shape for one in session.get_inputs()} == {"X": ["n", 3]}
    assert {one.name: one.shape for one in session.get_outputs()} == {"prediction": ["n", 3], "quantiles": ["n", 3, 2]}


@pytest.mark.parametrize("loss", losses.names("classification"))
def test_losses_of_classes(loss: str, tmp_path: Path) -> None:
    check(classifier(y=CLASSES % 2, loss=loss), NUMBERS, tmp_path)


@pytest.mark.parametrize("loss", losses.names("multilabel"))
def test_losses_of_labels(loss: str, tmp_path: Path) -> None:
    y = np.column_stack([NUMBERS[:, 0] > 0, CLASSES == 1, CLASSES > 0]).astype(int)
    check(classifier(y=y, loss=loss, network="tabm", n_heads=2), NUMBERS, tmp_path)
    check(stirred(NNClassifier(**CELLS, loss=loss, n_members=2).fit(NUMBERS, y)), NUMBERS, tmp_path)


class Shifted(losses.SquaredError):
    """A loss with a link of its own."""

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        return torch.exp(output) + 1


LOSSES = {
    **{name: name for name in losses.names("regression")},
    "function": FunctionLoss(lambda output, target: (output - target).pow(2).mean(1), link="exp"),
    "own link": Shifted(),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_numbers(loss: str, tmp_path: Path) -> None:
    check(regressor(loss=LOSSES[loss]), NUMBERS, tmp_path)
    both = np.column_stack([TARGET, 1e3 + NUMBERS[:, 2] * 1e5])
    fitted = NNRegressor(**CELLS, loss=LOSSES[loss], n_members=2).fit(NUMBERS, both)
    check(stirred(fitted), NUMBERS, tmp_path)


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("levels", [[0.5], [0.05, 0.3, 0.5, 0.9]], ids=len)
def test_quantiles(levels: list[float], n_targets: int, tmp_path: Path) -> None:
    y = TARGET if n_targets == 1 else np.column_stack([TARGET, 50 - 20 * TARGET])
    settings = {"loss": Quantile(quantile=levels), "n_members": 2, "early_stopping": True}
    fitted = NNRegressor(**{**CELLS, **settings}).fit(NUMBERS, y)
    assert (fitted.quantile_shift_ != 0).all()
    check(stirred(fitted), NUMBERS, tmp_path)
    served = export_torch(fitted)(torch.from_numpy(NUMBERS))
    np.testing.assert_allclose(served, fitted.predict(NUMBERS), rtol=1e-6)


@pytest.mark.parametrize(
    "y", [CLASSES - 1, CLASSES % 2 == 1, np.array(["a", "b", "ü"])[CLASSES], np.array(["a", "b"], object)[CLASSES % 2]]
)
def test_types_of_classes(y: np.ndarray, tmp_path: Path) -> None:
    check(classifier(y=y), NUMBERS, tmp_path)


def test_ensembles_of_kinds_that_are_calibrated(tmp_path: Path) -> None:
    recipes = [{"network": "tabm", "n_heads": 2}, {"activation": "mish", "numeric_embedding": "piecewise_linear"}]
    settings = {**CELLS, "n_members": 2, "recipes": recipes, "early_stopping": True, "max_epochs": 3}
    for fitted, X in (
        (NNClassifier(**settings).fit(NUMBERS, CLASSES), NUMBERS),
        (NNRegressor(**settings).fit(frame(), TARGET), frame()),
    ):
        assert len(set(fitted.recipe_weights_)) > 1
        fitted.module_.temperature = 1.7
        check(stirred(fitted), X, tmp_path)
        fitted.module_.weights = (0.0, 0.25, 0.0, 0.25, 0.0, 0.5)
        check(fitted, X, tmp_path)
        assert len(export_torch(fitted).network.members) == 3


def test_the_defaults(tmp_path: Path) -> None:
    check(NNClassifier(max_epochs=2, random_state=0).fit(frame(), CLASSES), frame(), tmp_path)
    check(NNRegressor(max_epochs=2, random_state=0).fit(frame(), TARGET), frame(), tmp_path)


class Own(nn.Module):
    """A network of one's own, of many operations."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(n_inputs, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.second, self.last = nn.Linear(6, 8), nn.Linear(13, n_outputs)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, n = x.shape[0], x.size(1)
        hidden = self.first(x) * self.scale
        left, right, rest = self.second(hidden).chunk(3, -1)
        mixed = torch.cat([hidden, left * torch.sigmoid(right), rest, hidden.mean(1, keepdim=True)], dim=1)
        folded = mixed.view(rows, -1, 1).flatten(1)[:, :11]
        softened = torch.nn.functional.softmax(x.reshape(rows, n), dim=1)[:, -2:]
        return self.last(torch.cat((folded, softened), 1)).squeeze(-1)


def test_networks_of_ones_own(tmp_path: Path) -> None:
    check(classifier(network=Own), NUMBERS, tmp_path)
    check(regressor(network=Own), NUMBERS, tmp_path)
    members = NNRegressor(**{**CELLS, "network": Own, "n_members": 2}).fit(NUMBERS, TARGET)
    check(members, NUMBERS, tmp_path)


@pytest.mark.parametrize("network", [Own, nn.Linear])
def test_temperatures_of_networks_of_ones_own(network: Any, tmp_path: Path) -> None:
    fitted = classifier(network=network)
    before = fitted.predict_proba(NUMBERS)
    set_temperature(fitted.module_, 2.5)
    assert np.abs(fitted.predict_proba(NUMBERS) - before).max() > 0.01
    check(fitted, NUMBERS, tmp_path)


class Unknown(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cumsum(x, 1))


class Branching(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if x.sum() > -1e9 else x


class OfImages(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.mean(2))


class OddArguments(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.add(x, x, alpha=2))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Unknown, "The network uses torch's 'cumsum', which has no translation"),
        (Branching, "torch.fx cannot trace the network"),
        (OddArguments, r"The network uses torch's 'add' with \(.*alpha=2\)"),
    ],
)
def test_networks_that_cannot_be_translated(network: Any, message: str, tmp_path: Path) -> None:
    fitted = classifier(network=network)
    with pytest.raises(NotImplementedError, match=rf"{message}.* tried with torch.onnx.export"):
        export_onnx(fitted, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    served = export_torch(fitted)(torch.from_numpy(NUMBERS))
    np.testing.assert_allclose(served, fitted.predict_proba(NUMBERS), atol=1e-6)


def test_rows_of_several_axes(tmp_path: Path) -> None:
    X = np.stack([NUMBERS / 1e4] * 2, axis=2).astype(np.float32)
    fitted = classifier(X, network=OfImages, preprocessing=None)
    served = export_torch(fitted)(torch.from_numpy(X))
    np.testing.assert_allclose(served, fitted.predict_proba(X), atol=1e-6)
    with pytest.raises(NotImplementedError, match=r"The network cannot take rows of shape \(5, 3\): [^\n]*$"):
        export_onnx(fitted, tmp_path / "model.onnx")


@pytest.mark.parametrize("opset", [18, 21])
def test_later_operators(opset: int, tmp_path: Path) -> None:
    X = frame()
    fitted = NNClassifier(max_epochs=1, random_state=0, preprocessing="quantile_normal").fit(X, CLASSES)
    check(fitted, X, tmp_path, opset=opset)
    check(classifier(network=Own), NUMBERS, tmp_path, opset=opset)


@pytest.mark.parametrize("opset", [16, 1000, True, "17"])
def test_operators_that_are_not_known(opset: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"The 'opset' parameter of export_onnx must be None or an int .*\[17, "):
        export_onnx(classifier(), tmp_path / "model.onnx", opset=opset)


@pytest.mark.parametrize(
    "settings",
    [
        {"network": "mlp", "n_members": 2, "numeric_embedding": "periodic"},
        {
            "network": "tabm",
            "n_heads": 3,
            "normalization": "batch",
            "activation": "prelu",
            "preprocessing": "quantile_normal",
            "numeric_embedding": "piecewise_linear",
        },
    ],
    ids=lambda settings: settings["network"],
)
def test_modules_go_through_torch_export(settings: dict[str, Any]) -> None:
    X = frame()[["size", "zeros", "colour"]] if settings["network"] == "tabm" else NUMBERS
    fitted = classifier(X, **settings)
    given = tuple(numbers_and_codes(fitted, X))
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(export_torch(fitted), given, dynamic_shapes=(rows,) * len(given))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for count in (1, 7, N):
        part = [one[:count] for one in given]
        np.testing.assert_allclose(loaded(*part), fitted.predict_proba(X[:count]), atol=5e-6)


def test_modules_are_copies_that_can_be_traced_and_loaded() -> None:
    X = frame()
    fitted = classifier(X)
    given = numbers_and_codes(fitted, X)
    module = export_torch(fitted)
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    wanted = module(*given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit as a whole
        traced = torch.jit.trace(module, tuple(one[:2] for one in given))
    assert torch.equal(traced(*given), wanted)
    other = export_torch(classifier(X, random_state=1))
    assert not torch.allclose(other(*given), wanted)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(*given), wanted)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_allclose(wanted, fitted.predict_proba(X), atol=5e-6)


def test_normal_quantiles() -> None:
    from sknnopt.export._graph import Graph
    from sknnopt.export._translate import translate

    graph = Graph(17, ["p", "z"])
    given = graph.input("p", torch.float64, ["n"])
    graph.output("z", translate(nn.Sequential(NormalQuantile()), graph, [given], [torch.rand(5)]), ["n"])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    near = np.geomspace(1e-7, 0.5, 999)
    share = np.concatenate([[0.0], near, 1 - near, [1.0]])
    wanted = ndtri(share.clip(1e-7, 1 - 1e-7))
    np.testing.assert_allclose(session.run(None, {"p": share})[0], wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("preprocessing", STATISTICS)
def test_infinite_numbers_count_as_the_largest(preprocessing: str, tmp_path: Path) -> None:
    X = np.column_stack([NUMBERS, np.ones(N), np.where(np.arange(N) % 8 > 1, 0.0, NUMBERS[:, 0])])
    fitted = classifier(X, preprocessing=preprocessing)
    module, session = export_torch(fitted), session_of(fitted, tmp_path)
    for sign in (-1, 1):
        wanted = fitted.predict_proba(np.full((2, 5), sign * 1e308))
        infinite = np.full((2, 5), sign * np.inf)
        np.testing.assert_allclose(module(torch.from_numpy(infinite)), wanted, atol=5e-6)
        np.testing.assert_allclose(session.run(["probabilities"], {"X": infinite})[0], wanted, atol=1e-5)


def test_levels_that_are_neither_strings_nor_numbers(tmp_path: Path) -> None:
    X = pd.DataFrame({"when": pd.Categorical(pd.date_range("2020-01-01", periods=3).repeat(N // 3))})
    with pytest.raises(TypeError, match="Column 'when': levels must be strings, numbers or bools"):
        export_onnx(classifier(X), tmp_path / "model.onnx")
    X = pd.DataFrame({"id": pd.Categorical(np.array([2**60, 2**60 + 1]).repeat(N // 2))})
    with pytest.raises(TypeError, match="Column 'id': levels are too large"):
        export_onnx(classifier(X), tmp_path / "model.onnx")


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    for export in (export_torch, lambda one: export_onnx(one, tmp_path / "model.onnx")):
        with pytest.raises(NotFittedError):
            export(NNClassifier())
        with pytest.raises(TypeError, match="must be an NNClassifier or NNRegressor, got Pipeline"):
            export(make_pipeline(classifier()))
    with pytest.raises(ValueError, match=r"quantiles=True needs a regressor with loss=Quantile"):
        export_torch(regressor(), quantiles=True)


def test_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, found = classifier(), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else found(name))
    with pytest.raises(ImportError, match=r"needs the package onnx. Install it: pip install onnx"):
        export_onnx(fitted, tmp_path / "model.onnx")


def test_public_names_come_when_they_are_asked_for() -> None:
    assert {"export_onnx", "export_torch"} <= set(sknnopt.__all__)
    with pytest.raises(AttributeError, match="module 'sknnopt' has no attribute 'export_onxn'"):
        _ = sknnopt.export_onxn
