"""A skorch net's parameters in our words."""

import inspect
from collections.abc import Mapping
from numbers import Number
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, GradientNormClipping
from skorch.dataset import Dataset, ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from sknnopt import optimizers
from sknnopt.engine import check_callbacks, own_copies
from sknnopt.losses import AbsoluteError, CrossEntropy, Huber, Loss, SquaredError
from sknnopt.nn import Remade
from sknnopt.nn._as_scores import Returns
from sknnopt.optimizers import Optimizer, TorchOptimizer

Params = dict[str, Any]

PLAIN: Params = {
    "preprocessing": None,
    "numeric_embedding": None,
    "categorical_embedding": None,
    "n_members": 1,
    "weight_averaging": None,
    "calibration": None,
}
"""What a net has none of, where that is not the default."""

PLAIN_CLASSIFIER: Params = {**PLAIN, "dropout": 0.0, "label_smoothing": 0.0}

_WORDS = {
    "betas": ("beta_1", "beta_2"),
    "eps": ("epsilon",),
    **{name: (name,) for name in ("momentum", "dampening", "nesterov", "amsgrad", "momentum_decay", "alpha")},
    **{name: (name,) for name in ("centered", "lr_decay", "initial_accumulator_value", "rho")},
}
"""torch's words for parameters of optimizers, and ours."""

_SAME = {
    torch.optim.SGD: optimizers.SGD,
    torch.optim.Adam: optimizers.Adam,
    torch.optim.AdamW: optimizers.AdamW,
    torch.optim.NAdam: optimizers.NAdam,
    torch.optim.RAdam: optimizers.RAdam,
    torch.optim.Adamax: optimizers.Adamax,
    torch.optim.RMSprop: optimizers.RMSprop,
    torch.optim.Adagrad: optimizers.Adagrad,
    torch.optim.Adadelta: optimizers.Adadelta,
}
_ONLY_SPEED = {"foreach", "fused", "capturable", "differentiable"}

CLASSIFICATION: dict[type[nn.Module], Returns | None] = {
    nn.CrossEntropyLoss: None,
    nn.NLLLoss: "probabilities",
    nn.BCEWithLogitsLoss: "logit",
    nn.BCELoss: "probability",
}
"""Criteria of classifiers, and what their modules return."""

REGRESSION = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)


class Criterion(NamedTuple):
    """What a net's criterion becomes: a loss, what its module returns, parameters, and what is not carried over."""

    loss: Loss
    returns: Returns | None
    params: Params
    lost: list[str]


def criterion_of(net: NeuralNet, *, classifies: bool) -> Criterion:
    """Return what the criterion becomes.

    Raises
    ------
    ValueError
        If it is none of those that are known; the message names them.
    """
    criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)
    known: tuple[type, ...] = tuple(CLASSIFICATION) if classifies else REGRESSION
    if type(criterion) not in known or (type(criterion) is nn.SmoothL1Loss and criterion.beta != 1):
        *most, last = (kind.__name__ for kind in known)
        what = "classifier" if classifies else "regressor"
        raise ValueError(
            f"from_skorch takes nets of a {what} with the criterion {', '.join(most)} or {last}"
            f"{'' if classifies else ' (of beta=1)'}. This one has {criterion!r}."
        )
    lost = []
    if criterion.reduction != "mean":
        lost.append(f"criterion__reduction={criterion.reduction!r} (losses are means over rows)")
    if getattr(criterion, "ignore_index", -100) != -100:
        lost.append(f"criterion__ignore_index={criterion.ignore_index} (give such rows sample_weight=0)")
    if not classifies:
        return Criterion(_regression(criterion), None, {}, lost)
    if type(criterion) in (nn.BCEWithLogitsLoss, nn.BCELoss) and criterion.weight is not None:
        lost.append("criterion__weight (weights of rows are sample_weight)")
    params = {"label_smoothing": getattr(criterion, "label_smoothing", 0.0)}
    return Criterion(CrossEntropy(), CLASSIFICATION[type(criterion)], params, lost)


def _regression(criterion: nn.Module) -> Loss:
    if isinstance(criterion, nn.MSELoss):
        return SquaredError()
    if isinstance(criterion, nn.L1Loss):
        return AbsoluteError()
    return Huber(delta=float(getattr(criterion, "delta", 1.0)))


def class_weights(net: NeuralNet, classes: Any) -> Params:
    """Return ``class_weight`` as the criterion weighs classes."""
    criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)
    if isinstance(criterion, nn.CrossEntropyLoss | nn.NLLLoss) and criterion.weight is not None:
        return {"class_weight": dict(zip(classes.tolist(), criterion.weight.tolist(), strict=True))}
    if isinstance(criterion, nn.BCEWithLogitsLoss) and criterion.pos_weight is not None:
        return {"class_weight": {classes[0].item(): 1.0, classes[1].item(): float(criterion.pos_weight)}}
    return {}


def parameters_of(net: NeuralNet, *, classifies: bool) -> tuple[Params, list[str]]:
    """Return the parameters but for those of network and loss, and what of the net has no equivalent."""
    lost: list[str] = []
    optimizer, rate, decay = _optimizer(net, lost)
    clipping: float | None = None
    stopper: EarlyStopping | None = None
    withholding, kept = _withholding(net, lost), []
    for given in net.callbacks if isinstance(net.callbacks, list | tuple) else ():
        callback = given[1] if isinstance(given, tuple) else given
        if isinstance(callback, GradientNormClipping) and callback.gradient_clip_norm_type == 2:
            clipping = callback.gradient_clip_value
        elif withholding["early_stopping"] and stopper is None and _stops(callback, classifies=classifies):
            stopper = callback
        elif _is_usable(callback, lost):
            kept.append(given)
    if withholding["early_stopping"]:
        withholding |= _patience(stopper, net)
    batch = int(net.get_params_for("iterator_train").get("batch_size", net.batch_size))
    for name, usual in {"iterator_train": DataLoader, "iterator_valid": DataLoader, "dataset": Dataset}.items():
        if getattr(net, name) is not usual:
            lost.append(f"{name}={getattr(net, name)!r} (batches are made by the engine)")
    if net.predict_nonlinearity != "auto":
        lost.append("predict_nonlinearity (what the criterion stands for is applied)")
    if not type(net).get_loss.__module__.startswith("skorch."):
        lost.append("get_loss (the criterion counts)")
    if getattr(net, "threshold", 0.5) != 0.5:
        lost.append(f"threshold={net.threshold} (use sklearn.model_selection.FixedThresholdClassifier)")
    params = {
        **(PLAIN_CLASSIFIER if classifies else PLAIN),
        **withholding,
        "optimizer": optimizer,
        "learning_rate": rate,
        "weight_decay": decay,
        "gradient_clipping": clipping,
        "batch_size": batch if batch > 0 else 2**31 - 1,
        "max_epochs": net.max_epochs,
        "callbacks": own_copies(kept) or None,
        "device": "auto" if net.device is None else str(net.device),
        "warm_start": bool(net.warm_start),
        "verbose": int(net.verbose),
    }
    return params, lost


def _optimizer(net: NeuralNet, lost: list[str]) -> tuple[Optimizer, float, float]:
    """Return the optimizer, ours where it is the same, its learning rate and the decay that is the estimator's."""
    kind, given = net.optimizer, dict(net.get_params_for("optimizer"))
    if given.pop("param_groups", None):
        lost.append("optimizer__param_groups (use 'layer_rates')")
    rate = float(given.pop("lr", net.lr))
    given = {name: value for name, value in given.items() if name not in _ONLY_SPEED}
    ours = _SAME.get(kind)
    signature = inspect.signature(kind).parameters if ours is not None else {}
    decay = float(given.get("weight_decay", signature["weight_decay"].default)) if ours is not None else 0.0
    others = {name: value for name, value in given.items() if name != "weight_decay"}
    if ours is None or not set(others) <= set(_WORDS) or (decay and ours is not optimizers.AdamW):
        return TorchOptimizer(kind, **given), rate, 0.0
    return ours(**_translated(others)), rate, decay


def _translated(given: Mapping[str, Any]) -> Params:
    out: Params = {}
    for name, value in given.items():
        words = _WORDS[name]
        out |= zip(words, value, strict=True) if len(words) > 1 else {words[0]: value}
    return out


def _withholding(net: NeuralNet, lost: list[str]) -> Params:
    split = net.train_split
    if not split:
        return {"early_stopping": False}
    if isinstance(split, ValidSplit) and isinstance(split.cv, Number):
        return {"early_stopping": True, "validation_fraction": split.cv if split.cv < 1 else 1 / split.cv}  # type: ignore[operator]
    lost.append(f"train_split={split!r} (give fit X_val and y_val)")
    return {"early_stopping": False}


def _patience(stopper: EarlyStopping | None, net: NeuralNet) -> Params:
    """Return when training ends for want of improvement, never without a callback for that."""
    if stopper is None:
        return {"n_iter_no_change": net.max_epochs}
    params: Params = {"n_iter_no_change": stopper.patience}
    if stopper.threshold_mode == "abs":
        params["tol"] = stopper.threshold
    if stopper.monitor == "valid_acc":
        params["scoring"] = "accuracy"
    return params


def _stops(callback: Any, *, classifies: bool) -> bool:
    known = {("valid_loss", True), ("valid_acc", False)} if classifies else {("valid_loss", True)}
    return type(callback) is EarlyStopping and (callback.monitor, callback.lower_is_better) in known


def _is_usable(callback: Any, lost: list[str]) -> bool:
    try:
        check_callbacks([callback])
    except (TypeError, ValueError) as error:
        lost.append(f"a callback ({error})")
        return False
    return True


def network_of(net: NeuralNet, returns: Returns | None) -> tuple[Any, Params]:
    """Return what makes modules like the net's, and its parameters."""
    params = net.get_params_for("module")
    module: Any = net.module
    if isinstance(module, nn.Module) and params:
        module = type(module)
    if returns is None and not isinstance(module, nn.Module):
        return module, params
    return Remade(module, returns), params
