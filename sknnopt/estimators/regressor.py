"""Regression by a neural network."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNetRegressor
from torch import nn

from sknnopt import losses
from sknnopt._compat import RegressorMixin, StrOptions, available_if
from sknnopt._literals import (
    ActivationName,
    AveragingName,
    InitializerName,
    NumericEmbeddingName,
    OptimizerName,
    PenaltyName,
    RegressionLossName,
    ScheduleName,
)
from sknnopt.activations import Activation
from sknnopt.averaging import Averaging
from sknnopt.checkpoints import Checkpoint
from sknnopt.data import RegressionTarget
from sknnopt.embeddings import NumericEmbedding
from sknnopt.engine import Job
from sknnopt.estimators._base import NetworkEstimator
from sknnopt.estimators._conformal import Conformal
from sknnopt.estimators._data import select
from sknnopt.estimators._docs import document
from sknnopt.estimators._from_skorch import FromSkorchMixin, Taken
from sknnopt.estimators._kinds import AUTO_REGRESSOR, Mixture
from sknnopt.estimators._parameters import CONSTRAINTS
from sknnopt.estimators._pieces import in_pieces
from sknnopt.estimators._preparation import PRECISIONS
from sknnopt.estimators._presets import REGRESSOR
from sknnopt.initializers import Initializer
from sknnopt.losses import Loss
from sknnopt.optimizers import Optimizer
from sknnopt.regularization import Regularizer
from sknnopt.schedules import Schedule, Scheduled


def _learns_quantiles(regressor: "NNRegressor") -> bool:
    loss = losses.get(regressor.__dict__.get("loss_", regressor.loss), task="regression")
    if isinstance(loss, losses.Quantile):
        return True
    raise AttributeError(
        f"predict_quantiles needs a loss of quantiles, loss='quantile' or loss=Quantile(quantile=[0.1, 0.5, 0.9]); got "
        f"{loss!r}."
    )


@document
class NNRegressor(RegressorMixin, FromSkorchMixin, NetworkEstimator):
    """Neural network for regression on one target or several.

    {parameters}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknnopt import NNRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = NNRegressor(max_epochs=10, random_state=0).fit(X, y)
    >>> reg.predict(X[:2]).shape
    (2,)
    """

    _tasks: ClassVar[tuple[str, ...]] = ("regression",)
    _mixture: ClassVar[Mixture] = AUTO_REGRESSOR
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "calibration": [StrOptions({"conformal"}), None],
    }
    _presets: ClassVar[dict[str, dict[str, Any]]] = REGRESSOR
    target_: RegressionTarget

    def __init__(
        self,
        *,
        network: Literal["mlp", "resnet", "tabm"] | nn.Module | Callable[..., nn.Module] = "mlp",
        hidden_layer_sizes: int | Sequence[int] = (128, 128),
        n_heads: int = 32,
        activation: ActivationName | Activation | Callable[..., Any] = "relu",
        normalization: Literal["batch", "layer"] | None = None,
        numeric_embedding: Literal["auto"] | NumericEmbeddingName | NumericEmbedding | None = "auto",
        categorical_embedding: int | Literal["auto"] | None = "auto",
        input_scale: bool = False,
        dropout: float | Sequence[float] | Scheduled = 0.0,
        initializer: Literal["auto"] | InitializerName | Initializer | Callable[..., Any] = "auto",
        optimizer: OptimizerName | Optimizer | Callable[..., Any] = "adamw",
        learning_rate: float | Literal["auto"] | None = None,
        weight_decay: float | Scheduled | None = None,
        schedule: ScheduleName | Schedule | Callable[..., Any] = "constant",
        warmup: float = 0.0,
        batch_size: int | Literal["auto"] = "auto",
        max_epochs: int = 150,
        gradient_clipping: float | None = 1.0,
        weight_averaging: Literal["auto"] | AveragingName | Averaging | Callable[..., Any] | None = "auto",
        initial_weights: Any = None,
        frozen_layers: int | str | Sequence[str] | None = None,
        layer_rates: Mapping[str, float] | float | None = None,
        loss: Literal["auto"] | RegressionLossName | Loss | Callable[..., Any] = "auto",
        regularization: PenaltyName | Regularizer | Callable[..., Any] | None = None,
        mixup: float = 0.0,
        early_stopping: bool | Literal["auto"] = "auto",
        scoring: str | Callable[..., float] = "loss",
        validation_fraction: float = 0.125,
        n_iter_no_change: int = 15,
        tol: float = 1e-4,
        on_divergence: Literal["warn", "raise"] = "warn",
        calibration: Literal["conformal"] | None = "conformal",
        n_members: int = 12,
        recipes: Sequence[Mapping[str, Any]] | None = None,
        n_restarts: int = 1,
        preprocessing: Literal["auto", "robust", "quantile_normal", "standard"] | None = "auto",
        categorical_features: Any = "from_dtype",
        device: str | torch.device | Sequence[str | torch.device] = "auto",
        precision: Literal["float32", "float64", "bf16"] = "float32",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_heads = n_heads
        self.activation = activation
        self.normalization = normalization
        self.numeric_embedding = numeric_embedding
        self.categorical_embedding = categorical_embedding
        self.input_scale = input_scale
        self.dropout = dropout
        self.initializer = initializer
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.gradient_clipping = gradient_clipping
        self.weight_averaging = weight_averaging
        self.initial_weights = initial_weights
        self.frozen_layers = frozen_layers
        self.layer_rates = layer_rates
        self.loss = loss
        self.regularization = regularization
        self.mixup = mixup
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.on_divergence = on_divergence
        self.calibration = calibration
        self.n_members = n_members
        self.recipes = recipes
        self.n_restarts = n_restarts
        self.preprocessing = preprocessing
        self.categorical_features = categorical_features
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.verbose = verbose

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch more.

        Encoders, the target's scale included, stay as the first call fitted them, and the optimizer goes on where it
        was. Schedules advance by epochs seen / ``max_epochs``; once that reaches 1 the learning rate keeps at least
        1 % of its base.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, None, sample_weight)

    @classmethod
    def _skorch_kinds(cls) -> tuple[type, ...]:
        return (NeuralNetRegressor,)

    @classmethod
    def _classifies(cls) -> bool:
        return False

    def _set_target(self, taken: Taken) -> None:
        """Let numbers be as a skorch net has learned them, not scaled."""
        self.target_ = RegressionTarget(scale="standard", dtype=PRECISIONS[self.precision].array.type)
        self.target_.n_outputs_ = taken.n_scores
        self.target_.mean_, self.target_.scale_ = np.zeros(taken.n_scores), np.ones(taken.n_scores)

    def _new_target(self, y: Any, weight: Any, classes: Any) -> None:
        self.loss_ = losses.get(self.loss, task=self._task)
        self.target_ = RegressionTarget(
            scale="standard" if self.loss_.scales_target else "mean" if self.loss_.link == "exp" else None,
            dtype=PRECISIONS[self.precision].array.type,
        )

    @property
    def _task(self) -> str:
        return "regression"

    def _codes(self, y: Any) -> None:
        return None

    def _encode_target(
        self, y: Any, codes: NDArray[Any] | None, weight: Any, rows: NDArray[np.int64] | None, *, fit: bool
    ) -> NDArray[Any]:
        if fit and rows is not None:
            self.target_.fit(select(y, rows), None if weight is None else weight[rows])
        self.loss_.check_target(np.asarray(y))
        return self.target_.encode(y)

    @in_pieces
    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the target of each row.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64 of shape (n_samples,) or (n_samples, n_targets)
            With several quantiles the one nearest to 0.5.
        """
        scores = self._feature_major(X)
        if isinstance(self.loss_, losses.Quantile):
            return self._quantiles(scores, self.loss_)[..., self.loss_.central]
        return self.target_.decode(self.loss_.predict(scores)[0].numpy().T)

    @available_if(_learns_quantiles)
    @in_pieces
    def predict_quantiles(self, X: Any) -> NDArray[np.float64]:
        """Predict every quantile of the loss; there with ``loss=Quantile(...)`` or "quantile" only.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64 of shape (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles)
            In ascending order in each row, as ``loss_.levels``. Of several members the scores are averaged, then
            sorted, then calibrated.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sknnopt import NNRegressor
        >>> from sknnopt.losses import Quantile
        >>> X, y = load_diabetes(return_X_y=True)
        >>> loss = Quantile(quantile=[0.1, 0.5, 0.9])
        >>> reg = NNRegressor(loss=loss, n_members=1, max_epochs=10, random_state=0).fit(X, y)
        >>> reg.predict_quantiles(X[:2]).shape
        (2, 3)
        """
        scores = self._feature_major(X)
        assert isinstance(self.loss_, losses.Quantile)
        return self._quantiles(scores, self.loss_)

    def _quantiles(self, scores: torch.Tensor, loss: losses.Quantile) -> NDArray[np.float64]:
        """Return the quantiles (n, Q) or (n, T, Q); while the network trains, those of its scores as they are."""
        quantiles = loss.quantiles(scores)[0].permute(2, 0, 1).numpy()
        if "_epoch" not in self.__dict__ and self._settings.quantiles is not None:
            quantiles = self._settings.quantiles(quantiles)
        return np.stack([self.target_.decode(values) for values in quantiles.transpose(2, 0, 1)], axis=-1)

    def _conforms(self) -> bool:
        return self.calibration is not None and isinstance(self.loss_, losses.Quantile)

    def _settle(
        self, jobs: Sequence[Job], modules: Sequence[nn.Module], kind_of: Sequence[int], *, again: bool,
        going_on: bool,
    ) -> None:  # fmt: skip
        super()._settle(jobs, modules, kind_of, again=again, going_on=going_on)
        self._show_quantiles()

    def _show_quantiles(self) -> None:
        """Set the attributes that tell what becomes of quantiles; there are none with another loss."""
        for name in ("quantile_shift_", "quantile_factors_"):
            self.__dict__.pop(name, None)
        if isinstance(self.loss_, losses.Quantile):
            n_targets = self.target_.n_outputs_
            found = self._settings.quantiles or Conformal.none(n_targets, len(self.loss_.levels), self.loss_.central)
            self.quantile_shift_, self.quantile_factors_ = found.shift * self.target_.scale_, found.factors

    def _feature_major(self, X: Any) -> torch.Tensor:
        """Return the network's scores of raw rows as a loss takes them, float64 (1, O, n)."""
        return torch.from_numpy(self._raw_scores(X).T).double().unsqueeze(0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
