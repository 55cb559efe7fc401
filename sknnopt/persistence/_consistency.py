"""Whether what a file says of an estimator goes together: sizes, types, names, and what comes out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sknnopt import regularization
from sknnopt.data import RegressionTarget, TableEncoder
from sknnopt.data.encoding import Encoding
from sknnopt.engine import Progress
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.estimators._conformal import Conformal
from sknnopt.estimators._inputs import resolve_inputs
from sknnopt.estimators._parameters import resolve_network
from sknnopt.losses import Quantile
from sknnopt.nn import Network, StackedNetwork, predict_scores
from sknnopt.persistence._errors import require


def check_members(own: Mapping[str, Any]) -> None:
    """Refuse weights that are not those of the networks, and numbers of members or kinds that disagree."""
    networks, kind_of, settings = own["_networks"], own["_member_kinds"], own["_settings"]
    kinds, members = len(networks), len(kind_of)
    per_kind = (settings.temperatures, settings.weights, own["_optimizers"], own["_rates"])
    require(all(len(one) == kinds for one in per_kind), "there must be as much of each kind of members as networks")
    require(0 < members == len(own["_places"]) == len(own["_weights"]), "there must be weights of each member")
    require(all(np.diff(own["_places"]) > 0), "places of members must ascend")
    require(max(kind_of) < kinds and all(np.diff(kind_of) >= 0), "kinds of members must ascend")
    require(sum(settings.weights[r] for r in set(kind_of)) > 0, "some kind of members must count")
    require(
        {r for r in range(kinds) if networks[r] is not None} == set(kind_of), "kinds must have a network, or nobody"
    )
    for r, weights in zip(kind_of, own["_weights"], strict=True):
        shapes = {name: one.shape for name, one in weights.items()}
        require(shapes == _shapes(networks[r]), "weights must be those of the network")
    require(
        len({one.dtype for weights in own["_weights"] for one in weights.values()}) == 1, "weights of several types"
    )
    for name in ("best_epoch_", "best_loss_"):
        several = isinstance(own[name], np.ndarray)
        require(several == (members > 1) and (not several or len(own[name]) == members), f"{name} must be of members")
    for name, rows in own["member_histories_"].items():
        require(name.isidentifier() and rows.shape == (members, len(own["history_"])), f"wrong history of {name!r:.80}")
    double = own["_fitted_shape"]["precision"] == "float64"
    require(double == (_dtype(own) == np.float64), "weights must be of the fitted precision")
    best = np.ravel(own["best_epoch_"])
    require(best.min() > 0 and best.max() <= len(own["history_"]), "best_epoch_ must be in history_")
    rates = own["learning_rate_"]
    require(not isinstance(rates, np.ndarray) or len(rates) == kinds, "learning_rate_ must be of kinds")
    if own["_progress"] is not None:
        _check_progress(own)


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {name: one.shape for layout in (network.layout, network.buffers) for name, one in layout.blocks.items()}


def _check_progress(own: Mapping[str, Any]) -> None:
    """Refuse a state of training that is not of the optimizers and networks; nothing of its size is made."""
    dtype = torch.float32 if _dtype(own) == np.float32 else torch.float64
    require(len(own["_progress"]) == len(own["_member_kinds"]), "there must be progress of each member")
    for r, progress in zip(own["_member_kinds"], own["_progress"], strict=True):
        network = own["_networks"][r]
        flat = torch.empty((1, network.layout.size), dtype=dtype, device="meta")
        state = own["_optimizers"][r].start(flat, network.layout)
        expected = {f"optimizer.{name}": one[0] for name, one in state.items() if not name.startswith("_")}
        expected |= {"parameters": flat[0], "buffers": flat.new_empty(network.buffers.size)}
        given = {**progress.state, "parameters": progress.parameters, "buffers": progress.buffers}
        for name in expected:
            require(name in given, f"progress must have {name!r}")
        expected["averaging.average"] = flat[0]
        for name, one in given.items():
            like = expected.get(name)
            require(like is not None or name.startswith("regularization."), f"progress has an unknown {name!r:.80}")
            same = like is None or (one.shape, one.dtype) == (like.shape, like.dtype)
            require(same, f"progress has a wrong {name!r}")


def _dtype(own: Mapping[str, Any]) -> Any:
    """Return the type of the weights."""
    return next(iter(own["_weights"][0].values())).dtype


def check_ends(kind: type[Any], own: Mapping[str, Any]) -> None:
    """Refuse networks that do not fit the columns, the target or the loss."""
    target, loss, encoder = own["target_"], own["loss_"], own["preprocessor_"]
    task = "regression" if kind is NNRegressor else "multilabel" if target.kind == "multilabel" else "classification"
    require(task in loss.tasks, f"loss_ is none for {task}")
    scaled = not isinstance(target, RegressionTarget) or np.dtype(target.dtype) == _dtype(own)
    require(scaled, "target_ must be of the type of weights")
    factors = own["_class_factors"]
    require(factors is None or (kind is NNClassifier and len(factors) == target.n_outputs_), "wrong _class_factors")
    found = own["_settings"].quantiles
    require(found is None or (isinstance(loss, Quantile) and _fits(found, loss, target)), "wrong quantiles")
    width, names = own["n_features_in_"], own["feature_names_in_"]
    require(names is None or len(names) == width, "there must be a name for each column")
    if encoder is not None:
        require(np.dtype(encoder.dtype) == _dtype(own), "preprocessor_ must be of the type of weights")
        require(encoder.n_features_in_ == width, "preprocessor_ must be of as many columns")
        theirs = getattr(encoder, "feature_names_in_", None)
        same = theirs is None if names is None else theirs is not None and np.array_equal(names, theirs)
        require(same, "columns must have the same names everywhere")
        width = encoder.n_features_out_
    size = width, loss.n_scores(target.n_outputs_)
    for network in own["_networks"]:
        if network is not None:
            require((network.n_inputs, network.n_outputs) == size, "networks must fit columns and target")
            require(getattr(network, "link", loss.link) == loss.link, "networks must fit the loss")
            _check_inputs(network, encoder)


def _fits(found: Conformal, loss: Quantile, target: Any) -> bool:
    shape = (target.n_outputs_, len(loss.levels))
    sizes = found.center == loss.central and found.shift.shape == shape[:1] and found.factors.shape == shape
    return sizes and bool((found.factors >= 0).all())


def _check_inputs(network: StackedNetwork, encoder: TableEncoder | None) -> None:
    """Refuse embeddings of other columns."""
    if network.inputs is None:
        return
    numbers, known = network.n_inputs, set()
    if encoder is not None:
        encoding = encoder.encoding
        numbers = len(encoding.center)
        known = {(start, one.width) for start, one in zip(encoding.starts, encoding.levels, strict=True)}
    require(network.inputs.numbers == numbers, "networks must fit the columns of numbers")
    require(all(one[:2] in known for one in network.inputs.categories), "networks must fit the categories")


def check_continuation(estimator: Any) -> None:
    """Refuse parameters by which training could go on, but with other networks.

    Where they have been changed since, it does not go on.
    """
    if estimator._shape() != estimator._fitted_shape:
        return
    kinds, networks, encoder = estimator._kinds(), estimator._networks, estimator.preprocessor_
    require(len(kinds) == len(networks), "the parameters are of other kinds of members")
    require(estimator._places[-1] < sum(kind.size for kind in kinds), "there are too many members")
    require(estimator._kind_of(estimator._places) == estimator._member_kinds, "members are of other kinds")
    members = zip(estimator._member_kinds, estimator.__dict__.get("_progress") or (), strict=False)
    for kind, network in zip(kinds, networks, strict=True):
        if network is not None:
            inputs = resolve_inputs(kind.params, encoder, np.empty((0, network.n_inputs)))
            now = resolve_network(kind.params, network.n_inputs, network.n_outputs, estimator.loss_.link, inputs)
            require(_shapes(now) == _shapes(network), "the parameters are of other networks")
    for r, progress in members:
        _check_penalty(kinds[r].params["regularization"], networks[r], progress)


def _check_penalty(given: Any, network: StackedNetwork, progress: Progress) -> None:
    penalty = regularization.get(given)
    if penalty is None:
        return
    flat = torch.empty((1, network.layout.weight_size), dtype=progress.parameters.dtype, device="meta")
    for name, one in penalty.start(flat, network.layout).items():
        own = progress.state.get(f"regularization.{name}")
        require(own is None or (own.shape, own.dtype) == (one[0].shape, one.dtype), f"progress has a wrong {name!r}")


class _Rows:
    """Scores of some encoded rows, in the place of a network."""

    def __init__(self, scores: Any) -> None:
        self._scores = scores

    def scores(self, X: Any) -> Any:
        return self._scores


def check_predicts(estimator: Any) -> None:
    """Encode a row and predict some, and refuse the estimator if it cannot."""
    network = estimator._networks[estimator._member_kinds[0]]
    dtype = next(estimator.module_.parameters()).detach().numpy().dtype
    rows = np.repeat(np.array([[0.0], [3.0], [-3.0]], dtype), network.n_inputs, axis=1)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        scores = predict_scores(estimator.module_, rows)
        require(scores.shape == (len(rows), estimator.n_outputs_), "the networks give a wrong number of scores")
        require(bool(np.isfinite(scores).all()), "the networks' scores are not finite")
        estimator._epoch = _Rows(scores)
        require(estimator.predict(None).shape[0] == len(rows), "there is a wrong number of predictions")
        del estimator._epoch
        if estimator.preprocessor_ is not None:
            require(bool(np.isfinite(_encoded(estimator.preprocessor_.encoding)).all()), "an encoded row is not finite")


def _encoded(encoding: Encoding) -> Any:
    """Return a row of zeros and of the first levels, encoded."""
    if not encoding.levels:
        return encoding.array(np.zeros((1, len(encoding.center))))
    out = encoding.empty(1)
    for place in range(len(encoding.center)):
        encoding.write_numbers(np.zeros(1), place, out)
    encoding.write_levels(
        [one.positions(np.zeros(1, np.intp), one.categories[:1].tolist()) for one in encoding.levels], out
    )
    return out
